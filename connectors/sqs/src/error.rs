//! Errors of the SDK, classified: [`connector_error`] makes a [`ConnectorError`] of its kind, with a text that includes what to do.

use std::error::Error;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use broadway_core::connector::{ConnectorError, ConnectorErrorKind, TlsFault, error_chain};

/// The error, with its kind. Errors without a known cause are transient.
pub(crate) fn connector_error<E>(error: &SdkError<E>) -> ConnectorError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let text = error_text(error);
    let Some(cause) = ErrorCause::of(error, &text) else {
        // A server that is starting up also closes connections during the handshake, so this stays transient.
        let is_cut = text.contains("tls handshake eof");
        let help = if is_cut {
            " (the server may not use TLS: use http:// if that is intended)"
        } else {
            ""
        };
        return ConnectorError::transient(text + help);
    };
    let text = match cause.help() {
        Some(help) => format!("{text}; {help}"),
        None => text,
    };
    ConnectorError::new(cause.kind(), text)
}

/// Whether the queue does not exist. Some servers report it by the code only.
pub(crate) fn is_missing_queue<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(
        error.code(),
        Some("QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue")
    )
}

/// Whether a permission is missing.
pub(crate) fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(
        error.code(),
        Some("AccessDenied" | "AccessDeniedException" | "NotAuthorized")
    )
}

/// Causes that no later attempt changes: someone has to act first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorCause {
    MissingQueue,
    OtherEndpoint,
    Permission,
    KeyPermission,
    UnusableKey,
    Credentials,
    Tls(TlsFault),
    InvalidRequest,
}

impl ErrorCause {
    fn of<E>(error: &SdkError<E>, text: &str) -> Option<Self>
    where
        E: ProvideErrorMetadata,
    {
        let tls = || TlsFault::in_text(text).map(Self::Tls);
        match error {
            SdkError::ServiceError(_) => error.code().and_then(Self::of_code),
            SdkError::DispatchFailure(failure) => {
                tls().or(failure.is_user().then_some(Self::InvalidRequest))
            }
            SdkError::ConstructionFailure(_) => Some(Self::InvalidRequest),
            // A TLS server answers a plain request with bytes that are not HTTP, which the SDK reports as a response error.
            _ => tls(),
        }
    }

    /// An expired token is among them, since new credentials come with a new client. Where a code has two forms, the first is that
    /// of the older protocol, which the service sends along in a header.
    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist" => Self::MissingQueue,
            "InvalidAddress" => Self::OtherEndpoint,
            "AccessDenied" | "AccessDeniedException" | "NotAuthorized" => Self::Permission,
            "KMS.AccessDeniedException" | "KmsAccessDenied" => Self::KeyPermission,
            "KMS.DisabledException" | "KmsDisabled" => Self::UnusableKey,
            "KMS.InvalidKeyUsageException" | "KmsInvalidKeyUsage" => Self::UnusableKey,
            "KMS.InvalidStateException" | "KmsInvalidState" => Self::UnusableKey,
            "KMS.NotFoundException" | "KmsNotFound" => Self::UnusableKey,
            "KMS.OptInRequired" | "KmsOptInRequired" => Self::UnusableKey,
            "AuthFailure" | "OptInRequired" => Self::Credentials,
            "ExpiredToken" | "ExpiredTokenException" => Self::Credentials,
            "IncompleteSignature" | "IncompleteSignatureException" => Self::Credentials,
            "InvalidAccessKeyId" | "InvalidClientTokenId" => Self::Credentials,
            "InvalidSecurity" | "UnrecognizedClientException" => Self::Credentials,
            "InvalidSignatureException" | "SignatureDoesNotMatch" => Self::Credentials,
            "MissingAuthenticationToken" => Self::Credentials,
            "MissingAuthenticationTokenException" => Self::Credentials,
            "InvalidParameterValue" | "ValidationError" => Self::InvalidRequest,
            "AWS.SimpleQueueService.UnsupportedOperation" | "UnsupportedOperation" => {
                Self::InvalidRequest
            }
            _ => return None,
        })
    }

    const fn kind(self) -> ConnectorErrorKind {
        match self {
            Self::Permission | Self::KeyPermission | Self::Credentials => ConnectorErrorKind::Auth,
            Self::MissingQueue
            | Self::OtherEndpoint
            | Self::UnusableKey
            | Self::Tls(_)
            | Self::InvalidRequest => ConnectorErrorKind::Permanent,
        }
    }

    /// What to do, as the end of an error text.
    const fn help(self) -> Option<&'static str> {
        Some(match self {
            Self::MissingQueue => "create it, or correct the URL, its account and its region",
            Self::OtherEndpoint => {
                "the URL belongs to another endpoint than the client's: correct `queue`, `region` or `endpoint`"
            }
            Self::Permission => {
                "grant this permission to the principal of the credentials, or correct the account in the URL"
            }
            Self::KeyPermission | Self::UnusableKey => {
                "the queue is encrypted: check that its KMS key is enabled, and grant kms:Decrypt on it, and kms:GenerateDataKey for \
                 sending"
            }
            Self::Credentials => {
                "check the credentials (`credentials`, `client`, or what the SDK's chain finds), the region, and the clock of this machine"
            }
            Self::Tls(fault) => fault.help(),
            Self::InvalidRequest => return None,
        })
    }
}

/// The code and the message of the service, or the chain of causes of a request that did not reach it.
fn error_text<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ServiceError(_) = error {
        let code = error.code().unwrap_or("an error without a code");
        // The first line only: for a wrong signature the service may add all that should have been signed, session token included.
        let message = error.message().and_then(|text| text.lines().next());
        return match message {
            Some(message) => format!("{code}: {}", message.trim_end_matches('.')),
            None => code.to_owned(),
        };
    }
    error_chain(error)
}
