//! A source that leaves returns its messages.

use std::collections::BTreeSet;

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, must, number},
};

/// Unsettled messages of a closed source are delivered again well before their lease would end: the source returned
/// them.
pub async fn a_drain_leaves_no_message_leased<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(lease) = connector.capabilities().lease else {
        return Verdict::DoesNotApply(
            "the broker has no leases: messages are released with the connection",
        );
    };
    let fixture = Fixture::with(connector, "leaves", 0..30).await;
    let mut reader = fixture.open().await;
    let held = reader.exactly(5).await;
    // `close` may fail here, because messages are unsettled.
    let _ = reader.close().await;
    drop(held);
    let mut reader = fixture.open().await;
    let (came, is_all) = fixture.read_within(&mut reader, 0..30, lease / 2).await;
    assert!(
        is_all,
        "left leased: of 30 messages only {} came within half a lease after a close",
        came.len()
    );
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// A source that is dropped without a close, as the engine does after a failure, keeps no message: its messages are
/// delivered again, with leases when these have ended.
pub async fn a_dropped_source_returns_its_messages<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::with(connector, "dropped_source", 0..40).await;
    let mut reader = fixture.open().await;
    let mut done = reader.exactly(30).await;
    let held = done.split_off(10);
    let numbers: BTreeSet<u64> = done.iter().map(number).collect();
    reader.done(done).await;
    drop((reader, held));
    let mut reader = fixture.open().await;
    let rest: BTreeSet<u64> = (0..40).filter(|number| !numbers.contains(number)).collect();
    let came = fixture.read_all(&mut reader, rest).await;
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    // Done messages may be delivered again too, if the drop was faster than their acknowledgement.
    fixture.finish_rest().await;
    Verdict::Kept
}
