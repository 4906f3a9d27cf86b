//! How to reach a broker: what both the source and the publisher are told of it, and the first step of each.
//!
//! [`ConnectOptions`] holds the options, says what cannot work, and opens a connection. All that goes wrong is said in words that
//! name the option and never show the password. Connections don't recover by themselves: who uses one opens the next, so that
//! nothing of an old connection is mistaken for the new one's.

use std::{
    fmt,
    io::{Error as IoError, ErrorKind as IoErrorKind},
    sync::Arc,
    time::Duration,
};

use async_rs::Runtime;
use broadway_core::{Checks, Problem};
use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties, Error, ErrorKind,
    tcp::{AMQPUriTcpExt, OwnedTLSConfig},
    uri::{AMQPScheme, AMQPUri},
};
use tokio::time::timeout;

use crate::{
    error::{ACCESS_REFUSED, NOT_ALLOWED, Trouble},
    names::longer_than_amqp_carries,
    socket_guard::SocketGuard,
    wire::{ClientKit, MendedDeliveries, MendingStream, client_runtime},
};

/// Without another word, the broker is given up after twice as long without a sign of it.
const HEARTBEAT: Duration = Duration::from_secs(30);
const HEARTBEAT_MAX: Duration = Duration::from_secs(3_600);
/// What a uri may say behind its `?`.
const PARAMETERS: [&str; 4] = ["auth_mechanism", "channel_max", "frame_max", "heartbeat"];

/// Where a broker is and how to come in.
#[derive(Clone)]
pub(crate) struct ConnectOptions {
    pub(crate) uri: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) connection_name: Option<String>,
    /// In PEM. The system's certificates are trusted besides.
    pub(crate) ca_certificate: Option<String>,
}

/// A connection that has just been opened.
pub(crate) struct OpenConnection {
    pub(crate) connection: Connection,
    pub(crate) socket_guard: SocketGuard,
    /// Deliveries on it that the client could not have parsed.
    pub(crate) mended: Arc<MendedDeliveries>,
}

impl ConnectOptions {
    pub(crate) fn new() -> Self {
        Self {
            uri: String::new(),
            connect_timeout: Duration::from_secs(10),
            heartbeat: None,
            connection_name: None,
            ca_certificate: None,
        }
    }

    /// All that cannot work and is known without the broker.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.require(
            self.connect_timeout >= Duration::from_millis(1),
            "connect_timeout",
            format_args!(
                "is {:?}; give a millisecond at least, or `Duration::MAX` for no limit",
                self.connect_timeout
            ),
        );
        let heartbeat = self.heartbeat.unwrap_or(HEARTBEAT);
        checks.require(
            (Duration::from_secs(1)..=HEARTBEAT_MAX).contains(&heartbeat)
                && heartbeat.subsec_nanos() == 0,
            "heartbeat",
            format_args!("is {heartbeat:?}; give whole seconds from 1 s to an hour"),
        );
        if let Some(pem) = &self.ca_certificate {
            checks.require(
                pem.contains("-----BEGIN CERTIFICATE-----"),
                "ca_certificate",
                "holds no certificate in PEM; give the text of the file, not its name",
            );
            checks.require(
                !self.uri.starts_with("amqp:"),
                "ca_certificate",
                "is given for a connection without TLS; begin the `uri` with amqps://",
            );
        }
        if let Err(why) = self.parse() {
            checks.add("uri", why);
        }
        checks.into_problems()
    }

    /// Opens a connection, within `connect_timeout`. Nothing of an attempt that fails, or is dropped, stays. The connection lives on a
    /// thread of the connector, whatever the runtime of the caller does.
    pub(crate) async fn connect(&self) -> Result<OpenConnection, Trouble> {
        let uri = self
            .parse()
            .map_err(|why| Trouble::Lasting(format!("the option `uri` {why}").into()))?;
        let mut properties = ConnectionProperties::default();
        if let Some(name) = &self.connection_name {
            properties = properties.with_connection_name(name.as_str().into());
        }
        let tls = OwnedTLSConfig {
            identity: None,
            cert_chain: self.ca_certificate.clone(),
        };
        let within = self.connect_timeout;
        let handle = client_runtime().await.map_err(Trouble::Passing)?;
        let kit = ClientKit::new(handle);
        let sockets = kit.sockets();
        let mended = Arc::new(MendedDeliveries::default());
        let marked = mended.clone();
        let socket_guard = SocketGuard::new();
        let hold = socket_guard.hold();
        let connecting = Connection::connector(
            uri.clone(),
            Runtime::new(kit),
            // The client runs this on a thread of its own: so it has a bound of its own.
            async move |uri: AMQPUri, _| {
                let reached = uri.connect_with_config_async(tls.as_ref(), &sockets);
                let Ok(stream) = timeout(within, reached).await else {
                    return Err(IoError::from(IoErrorKind::TimedOut).into());
                };
                let stream = stream?;
                match &stream {
                    AsyncTcpStream::Plain(tcp) => hold.take(tcp.get_ref())?,
                    AsyncTcpStream::Rustls(tls) => hold.take(tls.get_ref().0.get_ref())?,
                    // There is no other kind in this build of the client.
                    _ => {}
                }
                let screened = MendingStream::new(stream, marked.clone());
                Ok(AsyncTcpStream::Plain(screened))
            },
            properties,
        );
        match timeout(within, connecting).await {
            Ok(Ok(connection)) => Ok(OpenConnection {
                connection,
                socket_guard,
                mended,
            }),
            Ok(Err(error)) => Err(self.explain(&uri, &error)),
            Err(_) => Err(Trouble::Passing(self.overdue().into())),
        }
    }

    /// The uri as it may be shown: without its password.
    pub(crate) fn shown(&self) -> String {
        redacted(&self.uri)
    }

    fn parse(&self) -> Result<AMQPUri, String> {
        if self.uri.trim().is_empty() {
            return Err("is empty; give amqp://user:password@host:5672/vhost".to_owned());
        }
        let shown = self.shown();
        // The client's own words may repeat the uri, with its password.
        let mut uri: AMQPUri = self.uri.parse().map_err(|_| {
            format!(
                "is {shown:?}, which is not a valid AMQP URI; give amqp://user:password@host:5672/vhost, or amqps:// for TLS, with special characters percent-encoded"
            )
        })?;
        let query = self.uri.split_once('?').map_or("", |(_, query)| query);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split('=').next().unwrap_or_default();
            if !PARAMETERS.contains(&name) {
                return Err(format!(
                    "is {shown:?}, whose parameter `{name}` is not supported; use the options of the connector"
                ));
            }
        }
        // The client takes an address in brackets for no host at all.
        if let Some((_, rest)) = authority(&self.uri)
            .rsplit('@')
            .next()
            .and_then(|host| host.split_once('['))
            && let Some((address, _)) = rest.split_once(']')
        {
            uri.authority.host = address.to_owned();
        }
        if let Some(long) = longer_than_amqp_carries(&uri.vhost) {
            return Err(format!("is {shown:?}, whose vhost {long}"));
        }
        // `amqp://host/` and `amqp://host` mean the same here.
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        if self.heartbeat.is_some() || uri.query.heartbeat.is_none() {
            let heartbeat = self.heartbeat.unwrap_or(HEARTBEAT);
            uri.query.heartbeat = u16::try_from(heartbeat.as_secs()).ok();
        }
        Ok(uri)
    }

    fn explain(&self, uri: &AMQPUri, error: &Error) -> Trouble {
        let shown = self.shown();
        let user = &uri.authority.userinfo.username;
        let vhost = &uri.vhost;
        let text = match error.kind() {
            ErrorKind::ProtocolError(said) if said.get_id() == ACCESS_REFUSED => {
                let said = said.get_message();
                return Trouble::Refused(format!(
                    "the broker at `uri` = {shown:?} refuses the user {user:?}: check the user and the password ({said})"
                ).into());
            }
            ErrorKind::ProtocolError(said) if said.get_id() == NOT_ALLOWED => {
                let said = said.get_message();
                return Trouble::Refused(format!(
                    "the broker at `uri` = {shown:?} does not let the user {user:?} into the vhost {vhost:?}: create it, correct the uri's path (%2F is the vhost /), or grant permission ({said})"
                ).into());
            }
            ErrorKind::IOError(error) => self.explain_io(uri, error),
            ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => format!(
                "what answers at `uri` = {shown:?} does not speak AMQP 0-9-1: check the port ({error})"
            ),
            _ => format!("no connection to `uri` = {shown:?}: {error}"),
        };
        Trouble::Passing(text.into())
    }

    fn explain_io(&self, uri: &AMQPUri, error: &IoError) -> String {
        let shown = self.shown();
        match error.kind() {
            IoErrorKind::TimedOut => self.overdue(),
            IoErrorKind::ConnectionRefused => format!(
                "no broker listens at `uri` = {shown:?}: check host and port, and that it runs ({error})"
            ),
            IoErrorKind::ConnectionAborted
            | IoErrorKind::ConnectionReset
            | IoErrorKind::UnexpectedEof => format!(
                "what listens at `uri` = {shown:?} closed the connection: check user and password, and that the port is that of AMQP, and of TLS for amqps:// ({error})"
            ),
            IoErrorKind::InvalidData if uri.scheme == AMQPScheme::AMQPS => format!(
                "no TLS with `uri` = {shown:?}: {error}; the certificate must name the host {:?} and be signed by an authority that the system or `ca_certificate` knows, and the port must be that of TLS",
                uri.authority.host
            ),
            _ => format!(
                "the host of `uri` = {shown:?} cannot be reached: {error}; check its name and the network"
            ),
        }
    }

    fn overdue(&self) -> String {
        format!(
            "no answer from `uri` = {:?} within {:?} (`connect_timeout`): check host, port and the network",
            self.shown(),
            self.connect_timeout
        )
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("uri", &self.shown())
            .field("connect_timeout", &self.connect_timeout)
            .field("heartbeat", &self.heartbeat)
            .field("connection_name", &self.connection_name)
            .field("ca_certificate", &self.ca_certificate.is_some())
            .finish()
    }
}

/// What stands between `//` and the path.
fn authority(uri: &str) -> &str {
    let rest = uri.split_once("//").map_or(uri, |(_, rest)| rest);
    // A password with a slash in it is no uri any more, but must not be shown either.
    let end = rest.rfind('@').unwrap_or(0);
    let path = rest[end..].find(['/', '?', '#']);
    &rest[..path.map_or(rest.len(), |at| end + at)]
}

/// Without the password, whatever the text is.
fn redacted(uri: &str) -> String {
    let authority = authority(uri);
    let Some((user, host)) = authority.rsplit_once('@') else {
        return uri.to_owned();
    };
    let name = user.split(':').next().unwrap_or_default();
    let at = uri.find(authority).unwrap_or_default();
    let (before, after) = (&uri[..at], &uri[at + authority.len()..]);
    format!("{before}{name}@{host}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect_options(uri: &str) -> ConnectOptions {
        ConnectOptions {
            uri: uri.to_owned(),
            ..ConnectOptions::new()
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        for uri in [
            "amqp://me:secret@host:5672/%2f",
            "amqp://me:secret@host",
            "amqps://me:secret@@host/x?heartbeat=5",
            "amqp://me:secret/secret@host/x",
            "http://me:secret@host",
            "me:secret@host",
            "amqp://me:secret@host?verify=verify_none",
            "amqp://me:secret@:port/x",
        ] {
            let connect_options = connect_options(uri);
            let said = format!(
                "{connect_options:?} {} {:?}",
                connect_options.shown(),
                connect_options.problems()
            );
            assert!(!said.contains("secret"), "{uri}: {said}");
            assert!(said.contains("me@"), "{uri}: {said}");
        }
    }

    #[test]
    fn what_cannot_be_a_uri_is_a_problem_of_it() {
        for uri in [
            "",
            "localhost:5672",
            "http://localhost",
            "amqp://host:port",
            "amqp://host?verify=none",
        ] {
            let problems = connect_options(uri).problems();
            assert_eq!(problems.len(), 1, "{uri}: {problems:?}");
            assert_eq!(problems[0].option(), "uri", "{uri}");
        }
        for uri in [
            "amqp://localhost",
            "amqp://localhost/",
            "amqps://me:x@host:1/v?heartbeat=5",
        ] {
            assert!(connect_options(uri).problems().is_empty(), "{uri}");
        }
    }

    #[test]
    fn a_uri_is_read_as_rabbitmq_documents_it() {
        let uri = connect_options("amqps://me:a%2Fb@[::1]:7/v%2f?heartbeat=5")
            .parse()
            .unwrap();
        assert_eq!(uri.authority.host, "::1");
        assert_eq!(uri.authority.userinfo.password, "a/b");
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("v/", Some(5)));
        let uri = connect_options("amqp://localhost/").parse().unwrap();
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("/", Some(30)));
        let uri = ConnectOptions {
            heartbeat: Some(Duration::from_secs(7)),
            ..connect_options("amqp://localhost/?heartbeat=5")
        };
        assert_eq!(uri.parse().unwrap().query.heartbeat, Some(7));
    }

    #[test]
    fn options_that_do_not_fit_are_problems() {
        let connect_options = ConnectOptions {
            connect_timeout: Duration::ZERO,
            heartbeat: Some(Duration::from_millis(1_500)),
            ca_certificate: Some("ca.pem".to_owned()),
            ..connect_options("amqp://localhost")
        };
        let problems = connect_options.problems();
        let named: Vec<_> = problems.iter().map(Problem::option).collect();
        assert_eq!(
            named,
            [
                "connect_timeout",
                "heartbeat",
                "ca_certificate",
                "ca_certificate"
            ]
        );
    }

    #[test]
    fn what_is_no_uri_is_a_sentence_after_the_name_of_the_option() {
        for uri in ["http://localhost", "amqp://localhost?unknown=1", ""] {
            let problems = connect_options(uri).problems();
            assert_eq!(problems[0].option(), "uri");
            let message = problems[0].message();
            assert!(message.starts_with("is "), "uri: {message}");
        }
    }
}
