//! The messages of the scenarios, the same in every round.

use std::time::Duration;

use broadway::{BoxError, Handler, Message, Next, NoBatcher, Processors};

/// How many handlers run at once.
pub(crate) const IN_FLIGHT: usize = 100;

/// A message with its key, and how long its handler sleeps.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) key: u64,
    pub(crate) sleep: Duration,
}

/// Message `n`, of one of `keys` keys, with a sleep of 0 to 5 ms.
pub(crate) fn work(n: u64, keys: u64) -> Work {
    let random = scattered(n);
    Work {
        key: random % keys,
        sleep: Duration::from_micros((random >> 32) % 5_001),
    }
}

/// Scatters a number over 64 bits. SplitMix64's last step.
pub(crate) fn scattered(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Sleeps for the time in the message.
pub(crate) struct Sleeper;

impl Handler for Sleeper {
    type In = Work;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Work>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        tokio::time::sleep(message.data().sleep).await;
        Ok(Next::Ack)
    }
}

pub(crate) fn by_key() -> Processors<Work> {
    Processors::new(2)
        .in_flight(IN_FLIGHT)
        .partition_by(|message: &Message<Work>| message.data().key)
}
