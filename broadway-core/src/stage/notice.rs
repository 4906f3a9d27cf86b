//! [`ConsumerNotice`]: how a stage that sends events learns of its consumers.

use super::{End, SubscriptionId};

/// A consumer has come or gone.
#[derive(Debug)]
pub(super) enum ConsumerNotice {
    Subscribed(SubscriptionId),
    Cancelled(SubscriptionId, End),
}
