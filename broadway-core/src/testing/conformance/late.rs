//! Results that arrive after their connection is gone.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    ConnectorUnderTest, Verdict,
    connection::{NO_ADDRESS, proxy_before},
    fixture::{Fixture, PATIENCE, ProducerOf, ReceivedBy, must, number},
};
use crate::{
    ack::{Acknowledger, Outcome, Settled},
    testing::Reader,
};

/// How long one call to produce may wait.
const SLICE: Duration = Duration::from_secs(1);
/// The pause before a source that failed is opened again.
const PAUSE: Duration = Duration::from_millis(200);

/// Results of messages delivered before a cut, settled after it, count for their own messages or not at all: they
/// acknowledge no other message, and the source continues.
pub async fn late_results_are_ignored<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(proxy) = proxy_before(connector.capabilities()).await else {
        return NO_ADDRESS;
    };
    let fixture = Fixture::with(connector, "late", 0..60).await;
    let source = connector.source(&fixture.name, Some(proxy.address()));
    let mut reader = must("open the source", Reader::open(&source).await);
    let mut early = reader.exactly(30).await;
    let known: BTreeSet<u64> = early.iter().map(number).collect();
    // Done messages shift the rest: the same position among the deliveries is another message now.
    let late = early.split_off(10);
    reader.done(early).await;
    let acknowledger = reader.acknowledger();
    proxy.cut();
    let fresh: BTreeSet<u64> = (0..60).filter(|number| !known.contains(number)).collect();
    let (before, after) = (20, fresh.len());
    let mut held = Vec::new();
    reader = read_on::<S>(&source, reader, &mut held, &fresh, before).await;
    let settled = late
        .into_iter()
        .map(|received| Settled::for_test(received.token, Outcome::Done));
    // The acknowledger may report that they are late.
    let _ = acknowledger.settle(&mut settled.collect()).await;
    reader = read_on::<S>(&source, reader, &mut held, &fresh, after).await;
    // `close` may fail here, because messages are unsettled.
    let _ = reader.close().await;
    drop(held);
    // None of these messages was done.
    let mut reader = fixture.open().await;
    let came = fixture.read_all(&mut reader, fresh).await;
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.finish_rest().await;
    Verdict::Kept
}

/// Reads until this many of the numbers are held, opening the source again when it fails, as the engine does.
async fn read_on<S: ConnectorUnderTest>(
    source: &S::Source,
    mut reader: Reader<ProducerOf<S>>,
    held: &mut Vec<ReceivedBy<S>>,
    numbers: &BTreeSet<u64>,
    count: usize,
) -> Reader<ProducerOf<S>> {
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        let came: BTreeSet<u64> = held.iter().map(number).collect();
        let distinct = came.intersection(numbers).count();
        if distinct >= count {
            return reader;
        }
        assert!(
            Instant::now() < deadline,
            "lost: after a cut and late results only {distinct} of {count} come"
        );
        if let Ok(Err(_)) = timeout(SLICE, reader.some_into(100, held)).await {
            drop(reader);
            reader = loop {
                sleep(PAUSE).await;
                match Reader::open(source).await {
                    Ok(reader) => break reader,
                    Err(error) => assert!(Instant::now() < deadline, "cannot reopen: {error}"),
                }
            };
        }
    }
}
