//! Errors of the client, classified: [`Resource::explain`] makes a [`ConnectorError`] of its kind, with a text that includes what to do.

use broadway_core::connector::{ConnectorError, ConnectorErrorKind, TlsFault, error_chain};
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::Error;

/// The subscription or topic that a request is for, for error texts.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    /// The option that names it: `subscription` or `topic`.
    pub(crate) option: &'static str,
    pub(crate) name: String,
    pub(crate) endpoint: String,
}

impl Resource {
    /// The error if it does not exist.
    pub(crate) fn missing(&self) -> ConnectorError {
        ConnectorError::permanent(self.missing_text())
    }

    /// An error of the service or the client, with what to do if that is known.
    pub(crate) fn explain(&self, error: &Error) -> ConnectorError {
        let Self {
            option,
            name,
            endpoint,
        } = self;
        let reason = error_chain(error);
        let text = match status_code(error) {
            Some(Code::NotFound) => format!("{} ({reason})", self.missing_text()),
            Some(Code::PermissionDenied) => format!(
                "no permission for `{option}` = {name:?} at {endpoint}: grant roles/pubsub.{} on it, or correct its project ({reason})",
                if *option == "topic" {
                    "publisher"
                } else {
                    "subscriber"
                }
            ),
            Some(Code::Unauthenticated) => format!(
                "{endpoint} does not accept the credentials, used for `{option}` = {name:?}: renew them (`gcloud auth \
                 application-default login`, or the key that GOOGLE_APPLICATION_CREDENTIALS names), or check the credentials of `client` \
                 ({reason})"
            ),
            _ if error.is_authentication() => no_credentials(&reason),
            _ if error.is_connect() => format!(
                "cannot connect to {endpoint} for `{option}` = {name:?}: {reason}; {}",
                TlsFault::in_text(&reason).map_or("check the host and the network", TlsFault::help)
            ),
            _ => format!(
                "`{option}` = {name:?} at {endpoint}: {reason}{}",
                tls_help(&reason)
            ),
        };
        ConnectorError::new(error_kind(error), text)
    }

    fn missing_text(&self) -> String {
        let Self {
            option,
            name,
            endpoint,
        } = self;
        format!(
            "the {option} {name:?} (option `{option}`) does not exist at {endpoint}: create it, or correct the name and its project"
        )
    }
}

/// The kind of an error. Errors without a known cause are transient.
pub(crate) fn error_kind(error: &Error) -> ConnectorErrorKind {
    match status_code(error) {
        Some(Code::PermissionDenied | Code::Unauthenticated) => ConnectorErrorKind::Auth,
        Some(Code::NotFound | Code::InvalidArgument | Code::FailedPrecondition) => {
            ConnectorErrorKind::Permanent
        }
        _ if error.is_authentication() => ConnectorErrorKind::Auth,
        _ if TlsFault::in_text(&error_chain(error)).is_some() => ConnectorErrorKind::Permanent,
        _ => ConnectorErrorKind::Transient,
    }
}

/// The status of the service, from gRPC or from HTTP.
pub(crate) fn status_code(error: &Error) -> Option<Code> {
    match (error.status(), error.http_status_code()) {
        (Some(status), _) => Some(status.code),
        (None, Some(404)) => Some(Code::NotFound),
        (None, Some(403)) => Some(Code::PermissionDenied),
        (None, Some(401)) => Some(Code::Unauthenticated),
        (None, _) => None,
    }
}

pub(crate) fn no_credentials(reason: &str) -> String {
    format!(
        "no credentials for Google Cloud (Application Default Credentials): run `gcloud auth application-default login`, name a \
         key file in GOOGLE_APPLICATION_CREDENTIALS, or run where a service account is attached; for an emulator set `endpoint` \
         or PUBSUB_EMULATOR_HOST ({reason})"
    )
}

/// What to do about a TLS fault, as the end of an error text.
fn tls_help(reason: &str) -> String {
    TlsFault::in_text(reason).map_or_else(String::new, |fault| format!("; {}", fault.help()))
}
