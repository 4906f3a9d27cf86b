//! Addresses without their secrets, for logs, errors and `Debug`.

use std::{borrow::Cow, ops::Range};

/// The address without its password: `amqp://user:secret@host/vhost` becomes `amqp://user@host/vhost`.
///
/// Works on any text, valid address or not: the text between the scheme and the last `@` counts as user and
/// password, and a password may itself hold `@` and `/`.
///
/// ```
/// use broadway_core::connector::without_password;
///
/// assert_eq!(without_password("amqp://me:secret@host:5672/%2f"), "amqp://me@host:5672/%2f");
/// assert_eq!(without_password("amqp://me:sec/ret@@host"), "amqp://me@host");
/// assert_eq!(without_password("https://host/path"), "https://host/path");
/// ```
#[must_use]
pub fn without_password(address: &str) -> Cow<'_, str> {
    let Some((begin, at)) = user_info(address) else {
        return without_misplaced_password(Cow::Borrowed(address));
    };
    let user = address[begin..at].split(':').next().unwrap_or_default();
    let shown = format!("{}{user}{}", &address[..begin], &address[at..]);
    without_misplaced_password(Cow::Owned(shown))
}

/// The address without user and password: `https://user:secret@host/queue` becomes `https://…@host/queue`. For addresses that should
/// hold neither, where even the user may be a secret.
///
/// ```
/// use broadway_core::connector::without_user_info;
///
/// assert_eq!(without_user_info("https://token@host/queue"), "https://…@host/queue");
/// assert_eq!(without_user_info("https://host/queue"), "https://host/queue");
/// ```
#[must_use]
pub fn without_user_info(address: &str) -> Cow<'_, str> {
    let Some((begin, at)) = user_info(address) else {
        return without_misplaced_password(Cow::Borrowed(address));
    };
    let shown = format!("{}…{}", &address[..begin], &address[at..]);
    without_misplaced_password(Cow::Owned(shown))
}

/// Hides what may be a password in another place: in the parameters, as in `?password=secret`, and, in an address without an `@`, in
/// place of the port, as in `amqp://user:secret/vhost`.
fn without_misplaced_password(mut address: Cow<'_, str>) -> Cow<'_, str> {
    // The parameters first: they end the address, so the place of the port stays as it is.
    for hidden in [secret_parameters, malformed_port] {
        if let Some(range) = hidden(&address) {
            address.to_mut().replace_range(range, "…");
        }
    }
    address
}

fn secret_parameters(address: &str) -> Option<Range<usize>> {
    let query = address.find('?')? + 1;
    let names = address[query..].to_ascii_lowercase();
    let is_secret = ["pass", "secret", "token", "key"]
        .iter()
        .any(|mark| names.contains(mark));
    is_secret.then_some(query..address.len())
}

fn malformed_port(address: &str) -> Option<Range<usize>> {
    let begin = address.find("//")? + 2;
    if address.contains('@') {
        return None;
    }
    let end = address[begin..].find(['/', '?', '#']);
    let end = end.map_or(address.len(), |at| begin + at);
    // The colons of an IPv6 address are in brackets.
    let host_end = begin + address[begin..end].rfind(']').unwrap_or(0);
    let port = host_end + address[host_end..end].find(':')? + 1;
    let is_number = address[port..end].bytes().all(|byte| byte.is_ascii_digit());
    (!is_number).then_some(port..end)
}

/// Where user and password begin, and the `@` that ends them.
fn user_info(address: &str) -> Option<(usize, usize)> {
    let begin = address.find("//").map_or(0, |at| at + 2);
    // The last `@`, not the first before the path: a password that was not percent-encoded may hold both. An `@` in a path makes the
    // result shorter than it needs to be, and never shows a secret.
    let at = begin + address[begin..].rfind('@')?;
    Some((begin, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_address_shows_its_password() {
        for address in [
            "amqp://me:secret@host:5672/%2f",
            "amqps://me:secret@@host/x?heartbeat=5",
            "amqp://me:secret/secret@host/x",
            "me:secret@host:1",
            "amqp://me:secret@:port/x",
            "https://me:secret@host/123/orders",
        ] {
            for shown in [without_password(address), without_user_info(address)] {
                assert!(!shown.contains("secret"), "{address}: {shown}");
                assert!(shown.contains('@'), "{address}: {shown}");
            }
            assert!(without_password(address).contains("me@"), "{address}");
            assert!(!without_user_info(address).contains("me"), "{address}");
        }
    }

    #[test]
    fn a_password_without_a_host_is_not_shown_either() {
        for address in [
            "amqp://me:secret/%2f",
            "amqp://me:secret",
            "amqp://host?password=secret",
            "amqp://me:secret@host:5672/v?password=secret",
            "amqp://me:secret?token=secret",
            "https://host:1/path?access_token=secret",
        ] {
            let (shown, bare) = (without_password(address), without_user_info(address));
            assert!(!shown.contains("secret"), "{address}: {shown}");
            assert!(!bare.contains("secret"), "{address}: {bare}");
        }
    }

    #[test]
    fn an_address_without_user_is_shown_as_it_is() {
        for address in [
            "",
            "host:9092",
            "a:1,b:2",
            "https://host/a/b?c=d",
            "http://[::1]:80",
            "amqp://h:1/v?heartbeat=5",
        ] {
            assert_eq!(without_password(address), address);
            assert_eq!(without_user_info(address), address);
        }
    }
}
