//! A queue's URL, parsed: [`QueueUrl`] knows the endpoint, the region as far as the host names it, and the queue's name.

use std::fmt;

use broadway_core::connector::without_user_info;

/// For URLs with a user or a password, as the end of an error text.
pub(crate) const USER_INFO: &str = "has a user or a password before the host; set the option `credentials`, or leave credentials to the SDK";

/// The most characters of a queue's name, `.fifo` included.
const NAME_MAX: usize = 80;

/// A queue's URL, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueUrl {
    /// Scheme, host and port.
    pub(crate) origin: String,
    pub(crate) name: String,
    /// `None` if the host does not name one.
    pub(crate) region: Option<String>,
    /// Whether the SDK derives the host from the region alone.
    pub(crate) is_regional: bool,
}

/// Why a text is not the URL of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueUrlError(String);

impl fmt::Display for QueueUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl QueueUrl {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// The text completes a sentence that begins with the name of the option. It never shows user or password.
    pub(crate) fn parse(url: &str) -> Result<Self, QueueUrlError> {
        const EXAMPLE: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders";
        let invalid = |reason: &str| {
            QueueUrlError(format!(
                "is {:?}, {reason}; give the URL of a queue, such as {EXAMPLE}",
                without_user_info(url)
            ))
        };
        if url.starts_with("arn:") {
            return Err(invalid("which is an ARN"));
        }
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
            .ok_or_else(|| invalid("which does not begin with https:// or http://"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            // The text does not show the URL: the part before the `@` may be a password.
            return Err(QueueUrlError(USER_INFO.to_owned()));
        }
        let host = host_of(authority).ok_or_else(|| invalid("whose host or port is malformed"))?;
        let name = path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        if !is_name(name) {
            return Err(invalid(
                "whose last part is not a valid queue name (letters, digits, - and _, at most 80, .fifo at the end of a FIFO queue)",
            ));
        }
        let region = region_of(host);
        let is_regional = region.is_some() && !host.contains("vpce");
        Ok(Self {
            origin: format!("{scheme}://{authority}"),
            name: name.to_owned(),
            region,
            is_regional,
        })
    }

    pub(crate) fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }
}

fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rsplit_once(':') {
        // An IPv6 address in brackets contains colons itself.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte));
    (is_host && is_port).then_some(host)
}

fn is_name(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    !stem.is_empty()
        && name.len() <= NAME_MAX
        && stem
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The region of `sqs.eu-central-1.amazonaws.com`, `sqs-fips.…`, `vpce-0a1b.sqs.eu-central-1.vpce.amazonaws.com`, `sqs.….api.aws`, and the
/// older `eu-central-1.queue.amazonaws.com`.
fn region_of(host: &str) -> Option<String> {
    let is_aws = ["amazonaws.com", "amazonaws.com.cn", "api.aws"]
        .into_iter()
        .any(|end| {
            host.strip_suffix(end)
                .is_some_and(|rest| rest.ends_with('.'))
        });
    if !is_aws {
        return None;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let after = labels
        .iter()
        .position(|label| matches!(*label, "sqs" | "sqs-fips"))
        .and_then(|at| labels.get(at + 1));
    let before = || {
        let at = labels.iter().position(|label| *label == "queue")?;
        labels.get(at.checked_sub(1)?)
    };
    after
        .or_else(before)
        .filter(|label| label.contains('-'))
        .map(|region| (*region).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use super::*;

    #[test]
    fn the_region_is_parsed_from_the_host() {
        let hosts = [
            ("sqs.eu-central-1.amazonaws.com", true),
            ("sqs-fips.us-east-2.amazonaws.com", true),
            ("sqs.cn-north-1.amazonaws.com.cn", true),
            ("sqs.eu-west-1.api.aws", true),
            ("us-west-2.queue.amazonaws.com", true),
            ("vpce-0a1b-2c.sqs.eu-central-1.vpce.amazonaws.com", false),
        ];
        for (host, is_regional) in hosts {
            let url = QueueUrl::parse(&format!("https://{host}/123/orders")).unwrap();
            assert!(host.contains(&url.region.unwrap()), "{host}");
            assert_eq!(url.is_regional, is_regional, "{host}");
        }
    }

    #[test]
    fn a_local_queue_has_an_origin_and_no_region() {
        let url = QueueUrl::parse("http://127.0.0.1:9324/000000000000/jobs.fifo").unwrap();
        assert_eq!(url.origin, "http://127.0.0.1:9324");
        assert_eq!((url.region.as_deref(), url.is_fifo()), (None, true));
        assert_eq!(url.name, "jobs.fifo");
        assert!(QueueUrl::parse("http://[::1]:9324/queue/jobs").is_ok());
    }

    #[test]
    fn invalid_urls_fail_with_the_reason() {
        let invalid = [
            ("orders", "does not begin with"),
            ("arn:aws:sqs:eu-central-1:123:orders", "an ARN"),
            ("https://", "host"),
            ("https://host:port/123/orders", "host or port"),
            (
                "https://sqs.eu-central-1.amazonaws.com/",
                "not a valid queue name",
            ),
            ("https://host/123/or ders", "not a valid queue name"),
            ("https://host/123/a.b", "not a valid queue name"),
        ];
        for (url, why) in invalid {
            let error = QueueUrl::parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
        let error = QueueUrl::parse("https://me:hush@host/123/orders").unwrap_err();
        assert!(!error.to_string().contains("hush"));
    }
}
