//! Replaces a lost consumer: pauses between attempts, and which errors end the attempts.

use std::{sync::Arc, time::Duration};

use broadway_core::{
    BoxError,
    connector::{Backoff, ConnectorError, ConnectorErrorKind, Jitter},
};
use tokio::time::sleep;

use crate::{
    config::RabbitMq,
    consume::{OpenConsumer, OpenConsumerError},
    shared::SharedChannel,
};

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
/// After this many rejections of the user or the vhost in a row the producer fails. Fewer are retried: a broker that is starting up
/// may not have loaded its users and vhosts yet.
const REJECTIONS_MAX: u32 = 6;

/// A consumer that replaces a lost one.
pub(crate) struct Reconnected {
    pub(crate) opened: OpenConsumer,
    /// Failures in a row, those before this reconnect included.
    pub(crate) failures: u32,
}

/// Opens a consumer, with as many attempts as it takes.
///
/// # Errors
///
/// Fails if a later attempt would fail too: a missing queue, a missing permission, or six rejections of the user or the vhost in a row.
pub(crate) async fn reconnect(
    source: Arc<RabbitMq>,
    shared: Arc<SharedChannel>,
    mut failures: u32,
) -> Result<Reconnected, BoxError> {
    let mut rejections = 0;
    loop {
        sleep(BACKOFF.pause(failures, Jitter::random())).await;
        let opened = source.open_consumer(shared.window, shared.resume_offset());
        match opened.await {
            Ok(opened) => return Ok(Reconnected { opened, failures }),
            Err(OpenConsumerError::SetUp(error)) if !error.is_transient() => {
                return Err(error.into());
            }
            Err(OpenConsumerError::Connect(error)) if error.kind() == ConnectorErrorKind::Auth => {
                rejections += 1;
                if rejections == REJECTIONS_MAX {
                    let text = format!("{error}; rejected {rejections} times in a row");
                    return Err(ConnectorError::auth(text).into());
                }
                shared.report_source_error(&error.to_string());
            }
            Err(OpenConsumerError::Connect(error) | OpenConsumerError::SetUp(error)) => {
                rejections = 0;
                shared.report_source_error(&error.to_string());
            }
        }
        failures = failures.saturating_add(1);
    }
}

/// The number of failures in a row after a connection was lost. A connection that settled a message, or that lasted, was a success. One
/// that only delivered messages was not: a message that makes the broker close the connection would come again and again without a
/// pause.
pub(crate) const fn failures_after(failures: u32, has_settled: bool, has_lasted: bool) -> u32 {
    if has_settled || has_lasted {
        0
    } else {
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_tenth_of_a_second_to_half_a_minute() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(30));
        assert_eq!(BACKOFF.pause(0, Jitter::MAX), first);
        assert_eq!(BACKOFF.pause(0, Jitter::MIN), first / 2);
        assert_eq!(BACKOFF.pause(3, Jitter::MAX), first * 8);
        assert_eq!(BACKOFF.pause(u32::MAX, Jitter::MAX), max);
        assert_eq!(BACKOFF.pause(40, Jitter::MIN), max / 2);
    }

    #[test]
    fn connections_that_settle_nothing_are_opened_later_each_time() {
        let mut failures = 0;
        for _ in 0..20 {
            // Each attempt that connects counts as a failure until its connection settles a message or lasts.
            failures = failures_after(failures + 1, false, false);
        }
        let max = Duration::from_secs(30);
        assert_eq!(BACKOFF.pause(failures, Jitter::MAX), max);
        assert_eq!(failures_after(failures, true, false), 0);
        assert_eq!(failures_after(failures, false, true), 0);
    }
}
