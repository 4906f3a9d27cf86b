//! Who is slow keeps what it has.

use tokio::time::sleep;

use super::{
    Subject, Verdict,
    place::{Place, must},
};

/// A message that is held for longer than its lease is delivered to nobody else, and its result counts.
pub async fn a_slow_handler_keeps_its_message<S: Subject>(subject: &S) -> Verdict {
    let Some(lease) = subject.abilities().lease else {
        return Verdict::DoesNotApply(
            "there are no leases: a message is kept for as long as its connection",
        );
    };
    let place = Place::with(subject, "slow", 0..1).await;
    let mut reader = place.open().await;
    let held = reader.exactly(1).await;
    let mut other = place.open().await;
    other.nothing_until(sleep(lease * 5 / 2)).await;
    reader.done(held).await;
    must("close", reader.close().await);
    must("close", other.close().await);
    place.assert_nothing_left().await;
    Verdict::Kept
}
