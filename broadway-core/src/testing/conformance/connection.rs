//! Network failures: a proxy between connector and broker cuts, freezes, slows and refuses connections, and no message
//! may be lost.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::{
    Capabilities, ConnectorUnderTest, Verdict,
    fixture::{Fixture, ProducerOf, must, number_of},
    through_a_pipeline::wait_distinct,
};
use crate::{
    error::BoxError,
    handler::handler_fn,
    machine::restart::RestartPolicy,
    message::Message,
    pipeline::{Pipeline, Topology},
    publisher::Publisher,
    source::SourceProducer,
    testing::{Collector, Proxy, Reader},
};

type ItemOf<S> = <ProducerOf<S> as SourceProducer>::Item;

pub(super) const NO_ADDRESS: Verdict =
    Verdict::DoesNotApply("no proxy can stand before this broker");
/// The maximum number of connections for each cut: clients hold several, and retry.
const CONNECTIONS_PER_CUT: usize = 10;
/// The maximum number of connections that a client opens at its start.
const CONNECTIONS_AT_START: usize = 10;
const CUTS: usize = 100;
const SILENCE: Duration = Duration::from_secs(4);
/// Connectors give up after 10 s; the rest is for a slow machine, on which only a hang reaches it.
const OPEN_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn proxy_before(capabilities: Capabilities) -> Option<Proxy> {
    let broker = capabilities.broker?;
    let proxy = match capabilities.proxy_at {
        Some(address) => Proxy::start_at(address, broker).await,
        None => Proxy::start(broker).await,
    };
    Some(must("start the proxy", proxy.map_err(BoxError::from)))
}

/// A pipeline that reads through the proxy, with short restart delays: the delays of the engine are not tested here.
async fn run<S: ConnectorUnderTest>(
    fixture: &Fixture<'_, S>,
    proxy: &Proxy,
) -> (Topology<ItemOf<S>>, Collector<u64>) {
    let done = Collector::new();
    let seen = done.clone();
    let handler = handler_fn(move |message: &mut Message<ItemOf<S>>| {
        seen.push(number_of(message.data()));
        Ok(())
    });
    let source = fixture
        .connector
        .source(&fixture.name, Some(proxy.address()));
    let policy = RestartPolicy {
        max: Duration::from_millis(500),
        ..RestartPolicy::default()
    };
    let topology = Pipeline::new(source, handler).restart(policy).start().await;
    let topology = topology.unwrap_or_else(|error| panic!("cannot start the pipeline: {error}"));
    (topology, done)
}

/// Ends the pipeline. The source's errors about cut connections do not matter.
async fn ended<T: Send + 'static>(topology: Topology<T>) {
    let _ = topology.drain().await;
}

/// Reads the messages that the cuts left: none may stay at the broker.
async fn nothing_stays<S: ConnectorUnderTest>(fixture: &Fixture<'_, S>) -> usize {
    fixture.finish_rest().await.values().sum()
}

/// After a cut the source continues, and no message is lost. Messages that the broker knew to be done before the cut
/// are not delivered again.
pub async fn reconnects_after_a_cut<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(proxy) = proxy_before(connector.capabilities()).await else {
        return NO_ADDRESS;
    };
    let fixture = Fixture::with(connector, "cut", 0..100).await;
    let (topology, done) = run(&fixture, &proxy).await;
    wait_distinct(&done, 20).await;
    proxy.cut();
    wait_distinct(&done, 100).await;
    fixture.assert_unacknowledged_at_most(0).await;
    let repeats_max = match fixture.unacknowledged().await {
        // The broker has all acknowledgements.
        Some(_) => 0,
        // Messages of the first cut may still be in transit too.
        None => fixture
            .capabilities()
            .repeats_max
            .map_or(u64::MAX, |max| 2 * max),
    };
    let calm = done.len();
    proxy.cut();
    fixture.send_numbers(100..200).await;
    let all = wait_distinct(&done, 200).await;
    ended(topology).await;
    let repeats = all[calm..].iter().filter(|number| **number < 100).count() as u64;
    assert!(
        repeats <= repeats_max,
        "acknowledged and delivered again: {repeats} messages, {repeats_max} at most may not have been acknowledged before the cut"
    );
    nothing_stays(&fixture).await;
    Verdict::Kept
}

/// A hundred cuts, each after some progress, lose no message and do not cause a storm of connections.
pub async fn survives_a_hundred_cuts<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(proxy) = proxy_before(connector.capabilities()).await else {
        return NO_ADDRESS;
    };
    let fixture = Fixture::new(connector, "hundred_cuts").await;
    let (topology, done) = run(&fixture, &proxy).await;
    let mut sent = 0;
    for cut in 1..=CUTS {
        fixture.send_numbers(sent..sent + 5).await;
        sent += 5;
        wait_distinct(&done, cut).await;
        proxy.cut();
    }
    wait_distinct(&done, CUTS * 5).await;
    let accepted = proxy.accepted();
    let most = CONNECTIONS_AT_START + CUTS * CONNECTIONS_PER_CUT;
    assert!(
        accepted <= most,
        "a storm: {accepted} connections for {CUTS} cuts, {most} at most"
    );
    ended(topology).await;
    nothing_stays(&fixture).await;
    Verdict::Kept
}

/// A network that is silent for seconds, with connections half open, loses no message.
pub async fn survives_silence<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(proxy) = proxy_before(connector.capabilities()).await else {
        return NO_ADDRESS;
    };
    let fixture = Fixture::with(connector, "silence", 0..100).await;
    let (topology, done) = run(&fixture, &proxy).await;
    wait_distinct(&done, 20).await;
    proxy.freeze();
    fixture.send_numbers(100..200).await;
    sleep(SILENCE).await;
    proxy.thaw();
    wait_distinct(&done, 200).await;
    ended(topology).await;
    nothing_stays(&fixture).await;
    Verdict::Kept
}

/// A slow and distant network only slows the pipeline.
pub async fn a_slow_connection_loses_nothing<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(proxy) = proxy_before(connector.capabilities()).await else {
        return NO_ADDRESS;
    };
    let fixture = Fixture::with(connector, "slow_network", 0..100).await;
    proxy.slow(50_000);
    proxy.delay(Duration::from_millis(50));
    let (topology, done) = run(&fixture, &proxy).await;
    wait_distinct(&done, 100).await;
    ended(topology).await;
    Verdict::Kept
}

/// Opening a source at a broker that refuses, or never answers, fails with a text and does not hang.
pub async fn an_unreachable_broker_fails_in_time<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(proxy) = proxy_before(connector.capabilities()).await else {
        return NO_ADDRESS;
    };
    let fixture = Fixture::new(connector, "unreachable").await;
    proxy.refuse(true);
    fails_to_open(&fixture, &proxy, "refuses").await;
    proxy.refuse(false);
    proxy.freeze();
    fails_to_open(&fixture, &proxy, "never answers").await;
    Verdict::Kept
}

async fn fails_to_open<S: ConnectorUnderTest>(fixture: &Fixture<'_, S>, proxy: &Proxy, what: &str) {
    let source = fixture
        .connector
        .source(&fixture.name, Some(proxy.address()));
    let begun = Instant::now();
    let Ok(opened) = timeout(OPEN_WITHIN, Reader::open(&source)).await else {
        panic!("hangs: opening at a broker that {what} did not fail within {OPEN_WITHIN:?}");
    };
    let Err(error) = opened else {
        panic!("a source was opened at a broker that {what}");
    };
    let text = error.to_string();
    assert!(!text.is_empty(), "an error without words");
    println!("a broker that {what}: {text} (after {:?})", begun.elapsed());
}

/// After a cut the publisher confirms messages again, and confirmed messages can be read.
pub async fn publisher_reconnects_after_a_cut<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(proxy) = proxy_before(connector.capabilities()).await else {
        return NO_ADDRESS;
    };
    let fixture = Fixture::new(connector, "publisher_cut").await;
    let publisher = connector
        .publisher(&fixture.name, Some(proxy.address()))
        .await;
    let publisher = must("open the publisher", publisher);
    let mut number = 0;
    for _ in 0..3 {
        let begun = Instant::now();
        // Messages in transit at the cut may fail; the caller sends them again.
        while let Err(error) = publisher.publish_one(fixture.numbered(number)).await {
            assert!(
                begun.elapsed() < 2 * OPEN_WITHIN,
                "does not come back after a cut: {error}"
            );
            sleep(Duration::from_millis(100)).await;
        }
        number += 1;
        proxy.cut();
    }
    let _ = publisher.close().await;
    let mut reader = fixture.open().await;
    let came = fixture.read_all(&mut reader, 0..number).await;
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    Verdict::Kept
}
