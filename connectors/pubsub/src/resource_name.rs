//! Names of subscriptions and topics, checked without asking the service.

use broadway_core::Problem;

/// Returns a problem of `option` unless `name` is `projects/<project>/<kind>/<id>`, with an id that the service accepts.
pub(crate) fn check(option: &str, kind: &str, name: &str) -> Option<Problem> {
    let format = || format!("is {name:?}; give `projects/<project>/{kind}/<id>`");
    let mut parts = name.split('/');
    let (projects, project) = (parts.next(), parts.next());
    let (found, id) = (parts.next(), parts.next());
    let project = project.unwrap_or_default();
    let is_well_formed = projects == Some("projects")
        && !project.is_empty()
        && !project.contains(char::is_whitespace)
        && found == Some(kind)
        && parts.next().is_none();
    let Some(id) = id.filter(|_| is_well_formed) else {
        return Some(Problem::new(option, format()));
    };
    let is_id_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+%".contains(&byte);
    let is_valid = (3..=255).contains(&id.len())
        && id.starts_with(|first: char| first.is_ascii_alphabetic())
        && id.bytes().all(is_id_byte)
        && !id.starts_with("goog");
    (!is_valid).then(|| {
        let message = format!(
            "has the id {id:?}; an id has 3 to 255 letters, digits or -_.~+%, starts with a letter, and does not start with `goog`"
        );
        Problem::new(option, message)
    })
}

/// The project of a name that was checked: `projects/<project>`.
pub(crate) fn project(name: &str) -> &str {
    let mut ends = name.match_indices('/').map(|(at, _)| at);
    ends.nth(1).map_or(name, |end| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_another_format_are_a_problem() {
        let check =
            |name| check("subscription", "subscriptions", name).map(|problem| problem.to_string());
        assert_eq!(check("projects/p/subscriptions/sensors"), None);
        assert_eq!(
            check("projects/example.com:p/subscriptions/a.b~c+d%e_f-1"),
            None
        );
        for invalid in [
            "sensors",
            "projects/p/topics/sensors",
            "projects//subscriptions/sensors",
            "projects/p/subscriptions/sensors/x",
            "projects/p/subscriptions/",
            "projects/p/subscriptions/ab",
            "projects/p/subscriptions/1abc",
            "projects/p/subscriptions/google-things",
            "projects/p/subscriptions/a b c",
            "projects/p q/subscriptions/abc",
            "",
        ] {
            let problem = check(invalid).expect(invalid);
            assert!(problem.contains("subscription"), "{problem}");
        }
    }

    #[test]
    fn the_project_of_a_name_is_its_first_two_parts() {
        assert_eq!(project("projects/p/topics/t"), "projects/p");
    }
}
