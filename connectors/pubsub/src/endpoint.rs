//! Where the service is: [`Endpoint`], from the option, the environment or the default.

use std::env;

use broadway_core::{Problem, connector::without_user_info};

/// The service itself.
const SERVICE: &str = "https://pubsub.googleapis.com";
/// The variable that Google's tools set for programs that use the emulator: `host:port`.
const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";

/// Where the service is, and which option or variable sets that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    /// For error texts: what the user has to change.
    pub(crate) option: &'static str,
}

impl Endpoint {
    /// The endpoint from the option, or else from the environment, or else the service.
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

    /// A URL without TLS is an emulator's. Credentials are never sent there, so never in clear text.
    pub(crate) fn is_emulator(&self) -> bool {
        self.url.starts_with("http://")
    }

    /// A problem of the option, or of the variable if the option is not set.
    pub(crate) fn problem(option: Option<&str>) -> Option<Problem> {
        match option {
            Some(url) => Self::check(url),
            None => Self::check_emulator(env::var(EMULATOR).ok().as_deref()?),
        }
    }

    fn check_emulator(variable: &str) -> Option<Problem> {
        let host = variable.trim();
        let address = host.trim_start_matches("http://").trim_end_matches('/');
        let is_address = address.rsplit_once(':').is_some_and(|(host, port)| {
            let is_host = !host.is_empty() && !host.contains(['/', '@', ' ']);
            is_host && port.parse::<u16>().is_ok()
        });
        (!host.is_empty() && !is_address).then(|| {
            let message = format!(
                "is not set, so the variable {EMULATOR} applies, which is {:?}: set it to host:port, or unset it for the service",
                without_user_info(variable)
            );
            Problem::new("endpoint", message)
        })
    }

    fn check(url: &str) -> Option<Problem> {
        if url.contains('@') {
            // The text does not show the URL: the part before the `@` may be a password.
            let message = "has a user or a password; leave credentials to the client, or set the option `client`";
            return Some(Problem::new("endpoint", message));
        }
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        let is_url =
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
        (!is_url).then(|| {
            let message =
                format!("is {url:?}; give a URL: https://…, or http://host:port of an emulator");
            Problem::new("endpoint", message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_overrides_the_environment_and_plain_http_is_an_emulator() {
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
    fn the_endpoint_must_be_a_url() {
        assert_eq!(Endpoint::check("http://127.0.0.1:8085"), None);
        assert!(Endpoint::check("127.0.0.1:8085").is_some());
        assert!(Endpoint::check("https://").is_some());
        let problem = Endpoint::check("http://me:hush@host").expect("a problem");
        assert!(!problem.to_string().contains("hush"));
    }

    #[test]
    fn the_variable_must_be_an_address() {
        for valid in [
            "127.0.0.1:8085",
            "http://localhost:8085/",
            "[::1]:8085",
            " ",
            "",
        ] {
            assert_eq!(Endpoint::check_emulator(valid), None, "{valid}");
        }
        for invalid in [
            "https://host:8085",
            "host:8085/v1",
            "host",
            "ho st:1",
            ":8085",
            "host:http",
        ] {
            let text = Endpoint::check_emulator(invalid)
                .expect(invalid)
                .to_string();
            assert!(text.contains(EMULATOR) && text.contains(invalid), "{text}");
        }
        let problem = Endpoint::check_emulator("me:hush@host:1").expect("a problem");
        assert!(!problem.to_string().contains("hush"));
    }
}
