//! The background task that sends frames when they become due: acknowledgements that were held back, and requeues whose pause is over.

use std::time::Instant;

use tokio::time::sleep_until;

use crate::shared::SharedChannel;

/// Sends frames when they become due. Never returns.
pub(crate) async fn send_due(shared: &SharedChannel) {
    loop {
        let due = shared.next_due();
        // `notify_one` keeps a permit if nothing waits, so a change between the two lines is not missed.
        let earlier = shared.due_earlier.notified();
        match due {
            None => earlier.await,
            Some(due) => {
                tokio::select! {
                    () = earlier => {}
                    () = sleep_until(due.into()) => shared.flush(Instant::now()),
                }
            }
        }
    }
}
