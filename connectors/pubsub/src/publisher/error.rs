//! Errors of the client about one message, as a [`PublishError`].

use broadway_core::PublishError;
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::error::PublishError as ClientPublishError;

use crate::error::{Resource, status_code};

pub(super) fn publish_error(error: &ClientPublishError, resource: &Resource) -> PublishError {
    match error {
        ClientPublishError::Rpc(cause) => {
            let text = resource.explain(cause).to_string();
            match status_code(cause) {
                Some(
                    Code::NotFound
                    | Code::PermissionDenied
                    | Code::Unauthenticated
                    | Code::InvalidArgument
                    | Code::FailedPrecondition,
                ) => PublishError::refused(text),
                _ => PublishError::unconfirmed(text),
            }
        }
        ClientPublishError::OrderingKeyPaused => PublishError::unconfirmed(
            "not sent, since an earlier message with the same key failed; publish it again to keep the order",
        ),
        ClientPublishError::Shutdown => PublishError::closed(),
        other => PublishError::unconfirmed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::PublishErrorKind;
    use google_cloud_gax::error::rpc::Status;
    use google_cloud_pubsub::Error;

    use super::*;

    #[test]
    fn transient_errors_may_be_retried_and_others_are_refused() {
        let resource = Resource {
            option: "topic",
            name: "projects/p/topics/readings".to_owned(),
            endpoint: "somewhere".to_owned(),
        };
        let publish_error = |code: Code| {
            let status = Status::default().set_code(code).set_message("no");
            let error = ClientPublishError::Rpc(std::sync::Arc::new(Error::service(status)));
            publish_error(&error, &resource)
        };
        for code in [
            Code::NotFound,
            Code::PermissionDenied,
            Code::InvalidArgument,
        ] {
            let error = publish_error(code);
            assert_eq!(error.kind(), PublishErrorKind::Refused, "{code:?}");
            assert!(
                error.to_string().contains("projects/p/topics/readings"),
                "{error}"
            );
        }
        for code in [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
        ] {
            assert!(publish_error(code).is_retryable(), "{code:?}");
        }
    }
}
