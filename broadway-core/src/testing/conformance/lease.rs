//! A slow handler keeps its lease.

use tokio::time::sleep;

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, must},
};

/// A message that is held for longer than its lease is not delivered to another consumer, and its result counts.
pub async fn a_slow_handler_keeps_its_message<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(lease) = connector.capabilities().lease else {
        return Verdict::DoesNotApply(
            "the broker has no leases: a message is kept for as long as its connection",
        );
    };
    let fixture = Fixture::with(connector, "slow", 0..1).await;
    let mut reader = fixture.open().await;
    let held = reader.exactly(1).await;
    let mut other = fixture.open().await;
    other.nothing_until(sleep(lease * 5 / 2)).await;
    reader.done(held).await;
    must("close", reader.close().await);
    must("close", other.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}
