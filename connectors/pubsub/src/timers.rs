//! The timer task of a producer: it nacks delayed messages when they are due, and notices a dead connection.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use broadway_core::connector::ConnectorError;
use tokio::time::{interval, sleep_until};

use crate::{
    liveness::{Liveness, SILENCE_MAX},
    unsettled::UnsettledMessages,
};

/// How often liveness is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);

/// Runs until it is aborted.
pub(crate) async fn run(
    unsettled: Arc<UnsettledMessages>,
    liveness: Arc<Mutex<Liveness>>,
    subscription: String,
) {
    let mut check = interval(CHECK_INTERVAL);
    loop {
        let due = unsettled.next_due();
        let next_due = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = next_due => unsettled.nack_due(Instant::now()),
            // An earlier message is due: the loop reads `next_due` again.
            () = unsettled.delayed() => {}
            _ = check.tick() => {
                let liveness = liveness.lock().unwrap_or_else(PoisonError::into_inner);
                let is_dead = liveness.is_dead(Instant::now());
                drop(liveness);
                if is_dead {
                    unsettled.lose(ConnectorError::transient(format!(
                        "the connection for `subscription` = {subscription:?} is dead: no messages and no heartbeats for {SILENCE_MAX:?}"
                    )));
                }
            }
        }
    }
}
