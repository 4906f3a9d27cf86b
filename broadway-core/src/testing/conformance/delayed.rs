//! Messages that the pipeline leaves to the broker for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, must, number},
};
use crate::ack::{Acknowledger, Outcome};

/// Longer than the pauses of failed messages in tests, and in whole seconds, as some brokers count.
const DELAY: Duration = Duration::from_secs(3);
/// By how much two clocks may differ over the delay.
const TOLERANCE: Duration = Duration::from_millis(50);

/// A delayed message is delivered again after its delay, not before, and holds up no other. A source that cannot
/// delay returns `None` as its longest delay.
pub async fn a_delayed_message_comes_back_after_its_delay<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::with(connector, "delayed", 0..2).await;
    let mut reader = fixture.open().await;
    let mut received = reader.exactly(2).await;
    received.sort_unstable_by_key(number);
    let (delayed, other) = (received.swap_remove(0), received.swap_remove(0));
    let delay_max = reader.acknowledger().delay_max(&delayed.token);
    if !connector.capabilities().delays {
        assert_eq!(delay_max, None, "it is declared as unable to delay");
        reader.done([delayed, other]).await;
        must("close", reader.close().await);
        return Verdict::DoesNotApply("the broker cannot delay a message");
    }
    assert!(
        delay_max.is_some_and(|max| max >= DELAY),
        "a fresh message can be delayed by {delay_max:?} only"
    );
    let due = Instant::now() + DELAY - TOLERANCE;
    let delaying = reader.settle(&Outcome::Delayed(DELAY), [delayed]).await;
    must("delay", delaying);
    reader.done([other]).await;
    fixture.send_numbers(2..3).await;
    let next = reader.exactly(1).await;
    assert_eq!(number(&next[0]), 2, "a message came before its delay");
    reader.done(next).await;
    reader.nothing_until(sleep_until(due)).await;
    let again = reader.exactly(1).await;
    assert_eq!(number(&again[0]), 0, "another message came again");
    reader.done(again).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}
