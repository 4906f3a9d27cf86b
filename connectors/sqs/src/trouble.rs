//! What errors of the SDK mean: passing trouble, or something that only a person can mend.

use std::error::Error;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

/// An error, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Throttling, a broken connection, no answer, a fault of the service: the next attempt may work.
    Passing(String),
    /// The same request will be refused again.
    Lasting(String),
}

/// Codes of refusals that no later attempt changes. An expired token is among them, since new credentials come with a new
/// client.
const LASTING: [&str; 28] = [
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidAddress",
    "InvalidClientTokenId",
    "InvalidParameterValue",
    "InvalidSecurity",
    "InvalidSignatureException",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalidKeyUsage",
    "KmsInvalidState",
    "KmsNotFound",
    "KmsOptInRequired",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "UnsupportedOperation",
    "ValidationError",
];

impl Trouble {
    pub(crate) fn of<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let text = explain(error);
        let is_lasting = match error {
            SdkError::ConstructionFailure(_) => true,
            SdkError::DispatchFailure(failure) => failure.is_user(),
            SdkError::ServiceError(_) => error.code().is_some_and(|code| LASTING.contains(&code)),
            _ => false,
        };
        if is_lasting {
            Self::Lasting(text)
        } else {
            Self::Passing(text)
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Passing(text) | Self::Lasting(text) => text,
        }
    }
}

/// Whether the queue is not there. Some servers say so by the code only.
pub(crate) fn is_missing_queue<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(
        error.code(),
        Some("QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue")
    )
}

/// Whether this is a refusal for want of a permission.
pub(crate) fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(
        error.code(),
        Some("AccessDenied" | "AccessDeniedException" | "NotAuthorized")
    )
}

/// The code and the words of the service, or what went wrong on the way there, down to its cause.
fn explain<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ServiceError(_) = error {
        let code = error.code().unwrap_or("an error without a code");
        return match error.message() {
            Some(message) => format!("{code}: {}", message.trim_end_matches('.')),
            None => code.to_owned(),
        };
    }
    chain(error)
}

/// An error and its causes, each said once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text.truncate(text.trim_end_matches('.').len());
    text
}

/// Any number, for the spread of retries.
pub(crate) fn jitter() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
