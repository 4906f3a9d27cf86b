//! Done messages stay done; all others are delivered again.

use crate::Outcome;

use super::{
    ConnectorUnderTest, Redelivery, Verdict,
    fixture::{Fixture, must, number},
};

/// An acknowledged message is not delivered again: not at once, not after reopening, and not when its lease would have
/// ended. It makes no difference whether `settle_done` or `settle` acknowledges it.
pub async fn done_messages_are_not_redelivered<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::with(connector, "done", 0..100).await;
    let mut reader = fixture.open().await;
    for _ in 0..5 {
        let some = reader.exactly(10).await;
        reader.done(some).await;
        let others = reader.exactly(10).await;
        must("settle", reader.settle(&Outcome::Done, others).await);
    }
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// Results in any order acknowledge exactly their own messages: when the later half is done, the earlier half is
/// delivered again.
pub async fn results_in_any_order_acknowledge_the_right_messages<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::with(connector, "any_order", 0..60).await;
    let mut reader = fixture.open().await;
    let mut came = reader.exactly(60).await;
    came.sort_by_key(number);
    let mut last = came.split_off(30);
    last.reverse();
    for received in last.split_off(15) {
        reader.done([received]).await;
    }
    reader.done(last).await;
    // `close` may fail here, because messages are unsettled.
    let _ = reader.close().await;
    drop(came);
    let mut reader = fixture.open().await;
    // A log resumes at the first message that was not done, and delivers the later half again.
    let again = match fixture.capabilities().redelivery {
        Redelivery::AfterReopening => 0..60,
        Redelivery::ToAnyone => 0..30,
    };
    let came = fixture.read_all(&mut reader, again).await;
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// A message that was delivered and not settled is not acknowledged: closed without a result, it is delivered again.
pub async fn no_message_is_acknowledged_before_it_is_done<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::with(connector, "before_done", 0..40).await;
    let mut reader = fixture.open().await;
    let held = reader.exactly(40).await;
    // `close` may fail here, because messages are unsettled.
    let _ = reader.close().await;
    drop(held);
    let mut reader = fixture.open().await;
    let came = fixture.read_all(&mut reader, 0..40).await;
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// A failed message is not acknowledged: it is delivered again, as the broker delivers such messages.
pub async fn a_failed_message_is_redelivered<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::with(connector, "failed", 0..20).await;
    let mut reader = fixture.open().await;
    let mut came = reader.exactly(20).await;
    came.sort_by_key(number);
    let failed = came.remove(7);
    reader.failed([failed]).await;
    reader.done(came).await;
    if fixture.capabilities().redelivery == Redelivery::AfterReopening {
        must("close", reader.close().await);
        reader = fixture.open().await;
    }
    let again = fixture.read_all(&mut reader, 7..8).await;
    reader.done(again.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}
