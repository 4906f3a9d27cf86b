//! What happens to a message that failed: the class of its error ([`ErrorClass`]), and the policy that follows from it
//! ([`FailurePolicy`]).

mod action;
mod class;
mod policy;
mod retry;

pub(crate) use self::policy::Verdict;
pub use self::{
    action::FailureAction,
    class::{ClassifiedError, Classify, ErrorClass, permanent, poison, postpone, transient},
    policy::FailurePolicy,
    retry::Retry,
};
