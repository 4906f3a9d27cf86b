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

/// What a person has to look at, and so what to tell them. Everything that is blamed for something here is lasting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    Queue,
    Place,
    Permission,
    Key,
    Credentials,
    Certificate,
    NoTls,
    Tls,
    Request,
}

impl Blame {
    fn of<E>(error: &SdkError<E>, text: &str) -> Option<Self>
    where
        E: ProvideErrorMetadata,
    {
        match error {
            SdkError::ServiceError(_) => error.code().and_then(Self::of_code),
            SdkError::DispatchFailure(failure) => {
                Self::of_connection(text).or(failure.is_user().then_some(Self::Request))
            }
            SdkError::ConstructionFailure(_) => Some(Self::Request),
            // A TLS server that is spoken to without TLS answers with what is no HTTP.
            _ => Self::of_connection(text),
        }
    }

    /// Codes of refusals that no later attempt changes. An expired token is among them, since new credentials come with a new
    /// client. Where a code has two forms, the first is that of the older protocol, which the service sends along in a header.
    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist" => Self::Queue,
            "InvalidAddress" => Self::Place,
            "AccessDenied" | "AccessDeniedException" | "NotAuthorized" => Self::Permission,
            "KMS.AccessDeniedException" | "KmsAccessDenied" => Self::Key,
            "KMS.DisabledException" | "KmsDisabled" => Self::Key,
            "KMS.InvalidKeyUsageException" | "KmsInvalidKeyUsage" => Self::Key,
            "KMS.InvalidStateException" | "KmsInvalidState" => Self::Key,
            "KMS.NotFoundException" | "KmsNotFound" => Self::Key,
            "KMS.OptInRequired" | "KmsOptInRequired" => Self::Key,
            "AuthFailure" | "OptInRequired" => Self::Credentials,
            "ExpiredToken" | "ExpiredTokenException" => Self::Credentials,
            "IncompleteSignature" | "IncompleteSignatureException" => Self::Credentials,
            "InvalidAccessKeyId" | "InvalidClientTokenId" => Self::Credentials,
            "InvalidSecurity" | "UnrecognizedClientException" => Self::Credentials,
            "InvalidSignatureException" | "SignatureDoesNotMatch" => Self::Credentials,
            "MissingAuthenticationToken" => Self::Credentials,
            "MissingAuthenticationTokenException" => Self::Credentials,
            "InvalidParameterValue" | "ValidationError" => Self::Request,
            "AWS.SimpleQueueService.UnsupportedOperation" | "UnsupportedOperation" => Self::Request,
            _ => return None,
        })
    }

    /// By the words of rustls and hyper, for the SDK hides their types.
    fn of_connection(text: &str) -> Option<Self> {
        let marks = [
            ("invalid peer certificate", Self::Certificate),
            ("InvalidContentType", Self::NoTls),
            ("invalid HTTP version", Self::Tls),
        ];
        let found = marks.into_iter().find(|(mark, _)| text.contains(mark));
        found.map(|(_, blame)| blame)
    }

    /// What to do.
    fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::Queue => "create it, or correct the URL, its account and its region",
            Self::Place => {
                "the URL is of another place than the client: correct `queue`, `region` or `endpoint`"
            }
            Self::Permission => {
                "grant that permission to whom the credentials are of, or correct the account in the URL"
            }
            Self::Key => {
                "the queue is encrypted: see that its KMS key is enabled, and grant kms:Decrypt on it, for sending kms:GenerateDataKey too"
            }
            Self::Credentials => {
                "check the credentials (`credentials`, `client`, or what the SDK's chain finds), the region, and the clock of this machine"
            }
            Self::Certificate => {
                "the host of `queue` (or `endpoint`) has to be a name that its certificate is for, and the authority one that this \
                 machine trusts; SSL_CERT_FILE names a file of others"
            }
            Self::NoTls => {
                "nobody speaks TLS there: give http:// if that is meant, or the right port"
            }
            Self::Tls => "it may be that TLS is spoken there: give https://, or the right port",
            Self::Request => return None,
        })
    }
}

impl Trouble {
    pub(crate) fn of<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let text = explain(error);
        let Some(blame) = Blame::of(error, &text) else {
            // A server that is just starting does it too.
            let is_cut = text.contains("tls handshake eof");
            let hint = if is_cut {
                " (perhaps nobody speaks TLS there, and http:// is meant)"
            } else {
                ""
            };
            return Self::Passing(text + hint);
        };
        Self::Lasting(match blame.advice() {
            Some(advice) => format!("{text}; {advice}"),
            None => text,
        })
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
        // The first line only: to a wrong signature the service may add all that should have been signed, session token included.
        let message = error.message().and_then(|text| text.lines().next());
        return match message {
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
