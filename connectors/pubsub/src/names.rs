//! Names of resources, and where the service is: what can be known to be wrong without asking it.

use std::env;

use broadway_core::Problem;

/// The service itself.
const SERVICE: &str = "https://pubsub.googleapis.com";
/// What Google's tools set for programs that are to use their emulator: `host:port`.
const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";

/// A problem of `option` unless `name` is `projects/<project>/<kind>/<id>`, with an id that the service would take.
pub(crate) fn check(option: &str, kind: &str, name: &str) -> Option<Problem> {
    let shape = || format!("is {name:?}; give `projects/<project>/{kind}/<id>`");
    let mut parts = name.split('/');
    let (projects, project) = (parts.next(), parts.next());
    let (found, id) = (parts.next(), parts.next());
    let project = project.unwrap_or_default();
    let has_shape = projects == Some("projects")
        && !project.is_empty()
        && !project.contains(char::is_whitespace)
        && found == Some(kind)
        && parts.next().is_none();
    let Some(id) = id.filter(|_| has_shape) else {
        return Some(Problem::new(option, shape()));
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+%".contains(&byte);
    let is_legal = (3..=255).contains(&id.len())
        && id.starts_with(|first: char| first.is_ascii_alphabetic())
        && id.bytes().all(legal)
        && !id.starts_with("goog");
    (!is_legal).then(|| {
        let why = format!(
            "ends in {id:?}; an id has 3 to 255 letters, digits or -_.~+%, begins with a letter, and not with `goog`"
        );
        Problem::new(option, why)
    })
}

/// The project of a name that was checked.
pub(crate) fn project(name: &str) -> &str {
    let mut ends = name.match_indices('/').map(|(at, _)| at);
    ends.nth(1).map_or(name, |end| &name[..end])
}

/// Where the service is, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    /// For error texts: what a user has to change.
    pub(crate) option: &'static str,
}

impl Endpoint {
    /// The option wins over the environment.
    pub(crate) fn find(option: Option<&str>) -> Self {
        Self::choose(option, env::var(EMULATOR).ok().as_deref())
    }

    fn choose(option: Option<&str>, emulator: Option<&str>) -> Self {
        let emulator = emulator.filter(|host| !host.trim().is_empty());
        match (option, emulator) {
            (Some(url), _) => Self {
                url: url.trim_end_matches('/').to_owned(),
                option: "`endpoint`",
            },
            (None, Some(host)) => Self {
                url: format!("http://{}", host.trim().trim_start_matches("http://")),
                option: "the variable PUBSUB_EMULATOR_HOST",
            },
            (None, None) => Self {
                url: SERVICE.to_owned(),
                option: "the default of `endpoint`",
            },
        }
    }

    /// Without TLS there is an emulator, which takes no credentials: none are ever sent in the clear.
    pub(crate) fn is_emulator(&self) -> bool {
        self.url.starts_with("http://")
    }

    pub(crate) fn check(url: &str) -> Option<Problem> {
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        let is_url =
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
        (!is_url).then(|| {
            let why =
                format!("is {url:?}; give a URL: https://…, or http://host:port of an emulator");
            Problem::new("endpoint", why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_apart_from_what_resembles_one() {
        let check =
            |name| check("subscription", "subscriptions", name).map(|problem| problem.to_string());
        assert_eq!(check("projects/p/subscriptions/sensors"), None);
        assert_eq!(
            check("projects/example.com:p/subscriptions/a.b~c+d%e_f-1"),
            None
        );
        for wrong in [
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
            let told = check(wrong).expect(wrong);
            assert!(told.contains("subscription"), "{told}");
        }
    }

    #[test]
    fn the_option_wins_over_the_environment_and_only_plain_http_is_an_emulator() {
        let option = Endpoint::choose(Some("https://eu-pubsub.example/"), Some("localhost:8085"));
        assert_eq!(option.url, "https://eu-pubsub.example");
        assert!(!option.is_emulator());
        let emulator = Endpoint::choose(None, Some("localhost:8085"));
        assert_eq!(emulator.url, "http://localhost:8085");
        assert!(emulator.is_emulator());
        assert_eq!(Endpoint::choose(None, Some(" ")).url, SERVICE);
        assert!(!Endpoint::choose(None, None).is_emulator());
    }

    #[test]
    fn the_project_of_a_name_is_its_first_two_parts() {
        assert_eq!(project("projects/p/topics/t"), "projects/p");
    }

    #[test]
    fn an_endpoint_is_a_url() {
        assert_eq!(Endpoint::check("http://127.0.0.1:8085"), None);
        assert!(Endpoint::check("127.0.0.1:8085").is_some());
        assert!(Endpoint::check("https://").is_some());
    }
}
