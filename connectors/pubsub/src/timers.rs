//! What has to happen at its time: delayed messages are given back, and a dead connection is noticed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::{interval, sleep_until};

use crate::{
    held::Held,
    pulse::{Pulse, SILENCE_MAX},
};

/// How often the pulse is felt.
const FEEL: Duration = Duration::from_secs(15);

/// Runs until it is aborted.
pub(crate) async fn mind(held: Arc<Held>, pulse: Arc<Mutex<Pulse>>, subscription: String) {
    let mut feel = interval(FEEL);
    loop {
        let due = held.next_due();
        let wait = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => held.give_back_due(Instant::now()),
            () = held.delayed() => {}
            _ = feel.tick() => {
                let is_silent = pulse.lock().unwrap_or_else(PoisonError::into_inner).is_silent(Instant::now());
                if is_silent {
                    let error = format!(
                        "nothing was heard from `subscription` = {subscription:?} for {SILENCE_MAX:?}, not even a heartbeat: the connection is dead"
                    );
                    held.fail(error, true);
                }
            }
        }
    }
}
