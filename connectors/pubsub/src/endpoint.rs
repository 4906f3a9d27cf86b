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
                url: format!(
                    "http://{}",
                    host.trim()
                        .trim_start_matches("http://")
                        .trim_end_matches('/')
                ),
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

    /// What is wrong with the option, or, where it is not given, with the variable.
    pub(crate) fn problem(option: Option<&str>) -> Option<Problem> {
        match option {
            Some(url) => Self::check(url),
            None => Self::check_emulator(env::var(EMULATOR).ok().as_deref()?),
        }
    }

    /// The option as it may be shown, before it is known to be good: what stands before an @ may be a password.
    pub(crate) fn shown(option: Option<&str>) -> Option<&str> {
        let is_secret = |url: &str| url.contains('@');
        option.map(|url| if is_secret(url) { "(holds an @)" } else { url })
    }

    fn check_emulator(given: &str) -> Option<Problem> {
        let host = given.trim();
        let address = host.trim_start_matches("http://").trim_end_matches('/');
        let is_address = address.rsplit_once(':').is_some_and(|(host, port)| {
            let is_host = !host.is_empty() && !host.contains(['/', '@', ' ']);
            is_host && port.parse::<u16>().is_ok()
        });
        (!host.is_empty() && !is_address).then(|| {
            let shown = if host.contains('@') {
                "holds an @ (not shown)".to_owned()
            } else {
                format!("is {given:?}")
            };
            let why = format!(
                "is not given, so the variable {EMULATOR} counts, which {shown}: set that to host:port, or unset it for the service"
            );
            Problem::new("endpoint", why)
        })
    }

    fn check(url: &str) -> Option<Problem> {
        if url.contains('@') {
            // Not shown: what stands before the sign may be a password.
            let why = "holds a user or a password; credentials are found by the client, or given with `client`";
            return Some(Problem::new("endpoint", why));
        }
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
        let told = Endpoint::check("http://me:hush@host").map(|told| told.to_string());
        assert!(!told.expect("a problem").contains("hush"));
    }

    #[test]
    fn the_variable_is_an_address() {
        for right in [
            "127.0.0.1:8085",
            "http://localhost:8085/",
            "[::1]:8085",
            " ",
            "",
        ] {
            assert_eq!(Endpoint::check_emulator(right), None, "{right}");
        }
        for wrong in [
            "https://host:8085",
            "host:8085/v1",
            "host",
            "ho st:1",
            ":8085",
            "host:http",
        ] {
            let told = Endpoint::check_emulator(wrong).expect(wrong).to_string();
            assert!(told.contains(EMULATOR) && told.contains(wrong), "{told}");
        }
        let told = Endpoint::check_emulator("me:hush@host:1").map(|told| told.to_string());
        assert!(!told.expect("a problem").contains("hush"));
    }
}
