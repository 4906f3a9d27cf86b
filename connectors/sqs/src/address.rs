//! The address of a queue: what its URL says about where it is and what it is.

use std::{borrow::Cow, fmt};

/// The most characters of a queue's name, `.fifo` included.
const NAME_MAX: usize = 80;

/// A queue's URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Scheme, host and port.
    pub(crate) origin: String,
    pub(crate) name: String,
    /// As far as the host tells.
    pub(crate) region: Option<String>,
    /// Whether the host is one that the SDK finds by region alone.
    pub(crate) is_regional: bool,
}

/// Why a text is no queue URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAQueue(String);

impl fmt::Display for NotAQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Address {
    /// # Errors
    ///
    /// What is wrong with it, in words that follow the name of the option.
    pub(crate) fn parse(url: &str) -> Result<Self, NotAQueue> {
        const LIKE: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders";
        let wrong = |why: &str| {
            NotAQueue(format!(
                "is {:?}, {why}; give the URL of a queue, like {LIKE}",
                without_user(url)
            ))
        };
        if url.starts_with("arn:") {
            return Err(wrong("which is an ARN"));
        }
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
            .ok_or_else(|| wrong("which does not begin with https:// or http://"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            // Not shown: what stands before the sign may be a password.
            return Err(NotAQueue(
                "holds a user or a password before the host; credentials are given to the SDK"
                    .to_owned(),
            ));
        }
        let host = host_of(authority).ok_or_else(|| wrong("whose host or port is malformed"))?;
        let name = path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        if !is_name(name) {
            return Err(wrong(
                "whose last part is no queue name (letters, digits, - and _, at most 80, .fifo at the end of a FIFO queue)",
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

/// A URL as it may be shown: what stands before its host may be a password.
pub(crate) fn without_user(url: &str) -> Cow<'_, str> {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url[begin..].find('/').map_or(url.len(), |at| begin + at);
    match url[begin..end].rfind('@') {
        None => Cow::Borrowed(url),
        Some(at) => Cow::Owned(format!("{}…{}", &url[..begin], &url[begin + at..])),
    }
}

fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rsplit_once(':') {
        // An address in brackets holds colons of its own.
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

/// `sqs.eu-central-1.amazonaws.com`, `sqs-fips.…`, `vpce-0a1b.sqs.eu-central-1.vpce.amazonaws.com`, `sqs.….api.aws`, and the
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
    fn the_host_tells_the_region() {
        let hosts = [
            ("sqs.eu-central-1.amazonaws.com", true),
            ("sqs-fips.us-east-2.amazonaws.com", true),
            ("sqs.cn-north-1.amazonaws.com.cn", true),
            ("sqs.eu-west-1.api.aws", true),
            ("us-west-2.queue.amazonaws.com", true),
            ("vpce-0a1b-2c.sqs.eu-central-1.vpce.amazonaws.com", false),
        ];
        for (host, is_regional) in hosts {
            let address = Address::parse(&format!("https://{host}/123/orders")).unwrap();
            assert!(host.contains(&address.region.unwrap()), "{host}");
            assert_eq!(address.is_regional, is_regional, "{host}");
        }
    }

    #[test]
    fn a_local_queue_has_an_origin_and_no_region() {
        let address = Address::parse("http://127.0.0.1:9324/000000000000/jobs.fifo").unwrap();
        assert_eq!(address.origin, "http://127.0.0.1:9324");
        assert_eq!((address.region.as_deref(), address.is_fifo()), (None, true));
        assert_eq!(address.name, "jobs.fifo");
        assert!(Address::parse("http://[::1]:9324/queue/jobs").is_ok());
    }

    #[test]
    fn what_is_no_queue_url_is_refused_with_the_reason() {
        let wrong = [
            ("orders", "does not begin with"),
            ("arn:aws:sqs:eu-central-1:123:orders", "an ARN"),
            ("https://", "host"),
            ("https://host:port/123/orders", "host or port"),
            ("https://sqs.eu-central-1.amazonaws.com/", "no queue name"),
            ("https://host/123/or ders", "no queue name"),
            ("https://host/123/a.b", "no queue name"),
        ];
        for (url, why) in wrong {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
        let error = Address::parse("https://me:hush@host/123/orders").unwrap_err();
        assert!(!error.to_string().contains("hush"));
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_a_password() {
        for url in [
            "https://host/123/orders",
            "http://host:1",
            "host",
            "http://host/a@b",
        ] {
            assert_eq!(without_user(url), url);
        }
        for url in ["https://me:hush@host/123/orders", "me:hush@host:1"] {
            let shown = without_user(url);
            assert!(
                shown.contains("@host") && !shown.contains("hush"),
                "{shown}"
            );
        }
    }
}
