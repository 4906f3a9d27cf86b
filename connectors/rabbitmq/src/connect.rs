//! The first steps of a connection: its options, their checks, and opening it.
//!
//! [`ConnectOptions`] are the options that the source and the publisher have in common. Errors name the option, the address without
//! its password, and what to do. The client's own recovery is not used: the source and the publisher replace a lost connection
//! themselves, so that no channel or delivery tag of the lost connection can be taken for one of the new connection.

use std::{
    fmt,
    io::{Error as IoError, ErrorKind as IoErrorKind},
    sync::Arc,
    time::Duration,
};

use async_rs::Runtime;
use broadway_core::{
    Checks, Problem,
    connector::{ConnectorError, TlsFault, error_chain, without_password},
};
use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties, Error, ErrorKind,
    tcp::{AMQPUriTcpExt, OwnedTLSConfig},
    uri::{AMQPScheme, AMQPUri},
};
use tokio::time::timeout;

use crate::{
    error::{ACCESS_REFUSED, NOT_ALLOWED},
    names::name_too_long,
    socket_guard::SocketGuard,
    wire::{ClientKit, MendedDeliveries, MendingStream, client_runtime},
};

const DEFAULT_URI: &str = "amqp://guest:guest@localhost:5672/%2f";
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(30);
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
const HEARTBEAT_MAX: Duration = Duration::from_secs(3_600);
/// The parameters that a URI may have. The client knows others, which bypass the connector's options.
const URI_PARAMETERS: [&str; 4] = ["auth_mechanism", "channel_max", "frame_max", "heartbeat"];

/// The options of a connection.
#[derive(Clone)]
pub(crate) struct ConnectOptions {
    pub(crate) uri: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) connection_name: Option<String>,
    /// In PEM. Trusted in addition to the system's certificates.
    pub(crate) ca_certificate: Option<String>,
}

/// A connection that has just been opened.
pub(crate) struct OpenConnection {
    pub(crate) connection: Connection,
    pub(crate) socket_guard: SocketGuard,
    /// The deliveries on this connection that the client could not have parsed.
    pub(crate) mended: Arc<MendedDeliveries>,
}

impl ConnectOptions {
    pub(crate) fn new() -> Self {
        Self {
            uri: DEFAULT_URI.to_owned(),
            connect_timeout: Duration::from_secs(10),
            heartbeat: None,
            connection_name: None,
            ca_certificate: None,
        }
    }

    /// The options that cannot work, found without connecting.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        if let Err(problem) = self.parse_uri() {
            checks.add("uri", problem);
        }
        if let Some(pem) = &self.ca_certificate {
            checks.require(
                pem.contains("-----BEGIN CERTIFICATE-----"),
                "ca_certificate",
                "does not contain a certificate in PEM; give the text of the file, not its name",
            );
            checks.require(
                !self.uri.starts_with("amqp:"),
                "ca_certificate",
                "has no effect on a connection without TLS; use a `uri` that begins with amqps://",
            );
        }
        checks.timeout("connect_timeout", self.connect_timeout);
        let heartbeat = self.heartbeat.unwrap_or(HEARTBEAT_DEFAULT);
        checks.duration_within("heartbeat", heartbeat, HEARTBEAT_MIN..=HEARTBEAT_MAX);
        checks.require(
            heartbeat.subsec_nanos() == 0,
            "heartbeat",
            format_args!("is {heartbeat:?}; give whole seconds"),
        );
        checks.into_problems()
    }

    /// Opens a connection within `connect_timeout`. The connection's tasks run on the connector's own thread, independently of the
    /// caller's runtime.
    ///
    /// # Cancel safety
    ///
    /// An attempt that fails or is dropped leaves neither a socket nor a thread behind.
    pub(crate) async fn connect(&self) -> Result<OpenConnection, ConnectorError> {
        let uri = self
            .parse_uri()
            .map_err(|problem| ConnectorError::permanent(format!("the option `uri` {problem}")))?;
        let mut properties = ConnectionProperties::default();
        if let Some(name) = &self.connection_name {
            properties = properties.with_connection_name(name.as_str().into());
        }
        let tls = OwnedTLSConfig {
            identity: None,
            cert_chain: self.ca_certificate.clone(),
        };
        let within = self.connect_timeout;
        let runtime = client_runtime().await.map_err(ConnectorError::transient)?;
        let kit = ClientKit::new(runtime);
        let sockets = kit.sockets();
        let mended = Arc::new(MendedDeliveries::default());
        let mended_by_stream = mended.clone();
        let socket_guard = SocketGuard::new();
        let slot = socket_guard.slot();
        let connecting = Connection::connector(
            uri.clone(),
            Runtime::new(kit),
            // The client runs this closure on a thread of its own, which dropping `connecting` does not stop. So the closure has
            // its own timeout, and `slot` refuses a socket that arrives after the guard was dropped.
            async move |uri: AMQPUri, _| {
                let connecting = uri.connect_with_config_async(tls.as_ref(), &sockets);
                let Ok(stream) = timeout(within, connecting).await else {
                    return Err(IoError::from(IoErrorKind::TimedOut).into());
                };
                let stream = stream?;
                match &stream {
                    AsyncTcpStream::Plain(tcp) => slot.fill(tcp.get_ref())?,
                    AsyncTcpStream::Rustls(tls) => slot.fill(tls.get_ref().0.get_ref())?,
                    // This build of the client has no other kind of stream.
                    _ => {}
                }
                let stream = MendingStream::new(stream, mended_by_stream.clone());
                Ok(AsyncTcpStream::Plain(stream))
            },
            properties,
        );
        match timeout(within, connecting).await {
            Ok(Ok(connection)) => Ok(OpenConnection {
                connection,
                socket_guard,
                mended,
            }),
            Ok(Err(error)) => Err(self.connect_error(&uri, &error)),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// The URI without its password.
    pub(crate) fn shown_uri(&self) -> String {
        without_password(&self.uri).into_owned()
    }

    /// # Errors
    ///
    /// A text that continues "the option `uri`".
    fn parse_uri(&self) -> Result<AMQPUri, String> {
        if self.uri.trim().is_empty() {
            return Err("is empty; give amqp://user:password@host:5672/vhost".to_owned());
        }
        let shown = self.shown_uri();
        // The client's error is left out: it may repeat the URI with its password.
        let mut uri: AMQPUri = self.uri.parse().map_err(|_| {
            format!(
                "is {shown:?}, which is not a valid AMQP URI; give amqp://user:password@host:5672/vhost, or amqps:// for TLS, with special characters percent-encoded"
            )
        })?;
        let query = self.uri.split_once('?').map_or("", |(_, query)| query);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split('=').next().unwrap_or_default();
            if !URI_PARAMETERS.contains(&name) {
                return Err(format!(
                    "is {shown:?}, whose parameter `{name}` is not supported; use the connector's options instead"
                ));
            }
        }
        // The client parses an IPv6 address in brackets as an empty host.
        if let Some(address) = bracketed_host(&self.uri) {
            address.clone_into(&mut uri.authority.host);
        }
        if let Some(problem) = name_too_long(&uri.vhost) {
            return Err(format!("is {shown:?}, whose vhost {problem}"));
        }
        // The client takes the path of `amqp://host/` for a vhost with an empty name, and no path for the vhost `/`.
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        if self.heartbeat.is_some() || uri.query.heartbeat.is_none() {
            let heartbeat = self.heartbeat.unwrap_or(HEARTBEAT_DEFAULT);
            uri.query.heartbeat = u16::try_from(heartbeat.as_secs()).ok();
        }
        Ok(uri)
    }

    fn connect_error(&self, uri: &AMQPUri, error: &Error) -> ConnectorError {
        let shown = self.shown_uri();
        let user = &uri.authority.userinfo.username;
        let vhost = &uri.vhost;
        match error.kind() {
            ErrorKind::ProtocolError(reply) if reply.get_id() == ACCESS_REFUSED => {
                ConnectorError::auth(format!(
                    "the broker at `uri` = {shown:?} rejects the user {user:?}: check the user and the password ({})",
                    reply.get_message()
                ))
            }
            ErrorKind::ProtocolError(reply) if reply.get_id() == NOT_ALLOWED => {
                ConnectorError::auth(format!(
                    "the broker at `uri` = {shown:?} denies the user {user:?} access to the vhost {vhost:?}: create the vhost, correct the path of the URI (%2F is the vhost /), or grant the user permissions ({})",
                    reply.get_message()
                ))
            }
            ErrorKind::IOError(error) => self.io_error(uri, error),
            ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => {
                ConnectorError::permanent(format!(
                    "the server at `uri` = {shown:?} does not answer in AMQP 0-9-1: check the port, and use amqps:// for a port with TLS ({error})"
                ))
            }
            _ => ConnectorError::transient(format!("cannot connect to `uri` = {shown:?}: {error}")),
        }
    }

    fn io_error(&self, uri: &AMQPUri, error: &IoError) -> ConnectorError {
        let shown = self.shown_uri();
        match error.kind() {
            IoErrorKind::TimedOut => self.timed_out(),
            IoErrorKind::ConnectionRefused => ConnectorError::transient(format!(
                "no broker listens at `uri` = {shown:?}: check the host and port, and that the broker runs ({error})"
            )),
            IoErrorKind::ConnectionAborted
            | IoErrorKind::ConnectionReset
            | IoErrorKind::UnexpectedEof => ConnectorError::transient(format!(
                "the server at `uri` = {shown:?} closed the connection: check the user and the password, and that the port is one for AMQP, with TLS for amqps:// ({error})"
            )),
            IoErrorKind::InvalidData if uri.scheme == AMQPScheme::AMQPS => self.tls_error(error),
            _ => ConnectorError::transient(format!(
                "cannot reach the host of `uri` = {shown:?}: check its name and the network ({error})"
            )),
        }
    }

    fn tls_error(&self, error: &IoError) -> ConnectorError {
        let error = error_chain(error);
        let failed = format!(
            "cannot open a TLS connection to `uri` = {:?}: {error}",
            self.shown_uri()
        );
        match TlsFault::in_text(&error) {
            Some(fault @ TlsFault::Certificate) => ConnectorError::permanent(format!(
                "{failed}; {}; `ca_certificate` adds an authority too",
                fault.help()
            )),
            Some(_) => ConnectorError::permanent(format!(
                "{failed}; the server does not use TLS: correct the port, or use amqp:// if that is intended"
            )),
            None => ConnectorError::transient(failed),
        }
    }

    fn timed_out(&self) -> ConnectorError {
        ConnectorError::transient(format!(
            "no answer from `uri` = {:?} within {:?} (`connect_timeout`): check the host, the port and the network",
            self.shown_uri(),
            self.connect_timeout
        ))
    }
}

/// Without the password and the certificate.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("uri", &self.shown_uri())
            .field("connect_timeout", &self.connect_timeout)
            .field("heartbeat", &self.heartbeat)
            .field("connection_name", &self.connection_name)
            .field("ca_certificate", &self.ca_certificate.is_some())
            .finish()
    }
}

/// The address in brackets that is the host of this URI, if it has one.
fn bracketed_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("//")?;
    // User and password end at the last `@`, as a password may contain one. Brackets in the path or the query are not a host.
    let after_user = &rest[rest.rfind('@').map_or(0, |at| at + 1)..];
    let host = after_user.split(['/', '?', '#']).next()?;
    let (address, _) = host.strip_prefix('[')?.split_once(']')?;
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(uri: &str) -> ConnectOptions {
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
            let options = options(uri);
            let shown = format!(
                "{options:?} {} {:?}",
                options.shown_uri(),
                options.problems()
            );
            assert!(!shown.contains("secret"), "{uri}: {shown}");
            assert!(shown.contains("me@"), "{uri}: {shown}");
        }
    }

    #[test]
    fn an_invalid_uri_is_one_problem_of_the_option_uri() {
        for uri in [
            "",
            "localhost:5672",
            "http://localhost",
            "amqp://host:port",
            "amqp://host?verify=none",
        ] {
            let problems = options(uri).problems();
            assert_eq!(problems.len(), 1, "{uri}: {problems:?}");
            assert_eq!(problems[0].option(), "uri", "{uri}");
        }
        for uri in [
            "amqp://localhost",
            "amqp://localhost/",
            "amqps://me:x@host:1/v?heartbeat=5",
        ] {
            assert!(options(uri).problems().is_empty(), "{uri}");
        }
    }

    #[test]
    fn a_uri_is_read_as_rabbitmq_documents_it() {
        let uri = options("amqps://me:a%2Fb@[::1]:7/v%2f?heartbeat=5")
            .parse_uri()
            .unwrap();
        assert_eq!(uri.authority.host, "::1");
        assert_eq!(uri.authority.userinfo.password, "a/b");
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("v/", Some(5)));
        let uri = options("amqp://localhost/").parse_uri().unwrap();
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("/", Some(30)));
        let uri = ConnectOptions {
            heartbeat: Some(Duration::from_secs(7)),
            ..options("amqp://localhost/?heartbeat=5")
        };
        assert_eq!(uri.parse_uri().unwrap().query.heartbeat, Some(7));
    }

    #[test]
    fn options_out_of_range_are_problems() {
        let options = ConnectOptions {
            connect_timeout: Duration::ZERO,
            heartbeat: Some(Duration::from_millis(1_500)),
            ca_certificate: Some("ca.pem".to_owned()),
            ..options("amqp://localhost")
        };
        let problems = options.problems();
        let named: Vec<_> = problems.iter().map(Problem::option).collect();
        assert_eq!(
            named,
            [
                "ca_certificate",
                "ca_certificate",
                "connect_timeout",
                "heartbeat"
            ]
        );
    }

    #[test]
    fn the_problem_of_an_invalid_uri_continues_the_name_of_the_option() {
        for uri in ["http://localhost", "amqp://localhost?unknown=1", ""] {
            let problems = options(uri).problems();
            assert_eq!(problems[0].option(), "uri");
            let message = problems[0].message();
            assert!(message.starts_with("is "), "uri: {message}");
        }
    }
}
