//! What an error of the client says about a message.

use broadway_core::PublishError;
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::error;

use crate::connect::{Target, code};

pub(super) fn explain(error: &error::PublishError, target: &Target) -> PublishError {
    match error {
        error::PublishError::Rpc(cause) => {
            let text = target.explain(cause);
            match code(cause) {
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
        error::PublishError::OrderingKeyPaused => PublishError::unconfirmed(
            "it was not sent, since a message before it with the same key had failed; send it again to keep the order",
        ),
        error::PublishError::Shutdown => PublishError::closed(),
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
    fn what_can_pass_may_be_tried_again_and_the_rest_is_refused() {
        let target = Target {
            option: "topic",
            name: "projects/p/topics/readings".to_owned(),
            endpoint: "somewhere".to_owned(),
        };
        let explain = |code: Code| {
            let status = Status::default().set_code(code).set_message("no");
            let error = error::PublishError::Rpc(std::sync::Arc::new(Error::service(status)));
            explain(&error, &target)
        };
        for code in [
            Code::NotFound,
            Code::PermissionDenied,
            Code::InvalidArgument,
        ] {
            let told = explain(code);
            assert_eq!(told.kind(), PublishErrorKind::Refused, "{code:?}");
            assert!(
                told.to_string().contains("projects/p/topics/readings"),
                "{told}"
            );
        }
        for code in [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
        ] {
            assert!(explain(code).is_retryable(), "{code:?}");
        }
    }
}
