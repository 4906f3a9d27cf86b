//! A message that the connector cannot read.

use std::collections::BTreeSet;

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, ProducerOf, must, number_of},
    through_a_pipeline::wait_distinct,
};
use crate::{
    error::BoxError, handler::handler_fn, message::Message, pipeline::Pipeline,
    source::SourceProducer, testing::Collector,
};

/// A message that cannot be read does not affect its neighbours: each is handled once, and acknowledged.
pub async fn an_unreadable_message_does_not_affect_its_neighbours<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::with(connector, "unreadable", 0..10).await;
    let is_there = must("send it", connector.send_unreadable(&fixture.name).await);
    if !is_there {
        return Verdict::DoesNotApply("no message is known that the client cannot read");
    }
    fixture.send_numbers(10..20).await;
    let done = Collector::new();
    let seen = done.clone();
    let handler = handler_fn(
        move |message: &mut Message<<ProducerOf<S> as SourceProducer>::Item>| {
            seen.push(number_of(message.data()));
            Ok(())
        },
    );
    let topology = Pipeline::new(fixture.source(), handler).start().await;
    let topology = topology.unwrap_or_else(|error| panic!("cannot start the pipeline: {error}"));
    wait_distinct(&done, 20).await;
    must("drain", topology.drain().await.map_err(BoxError::from));
    let all = done.all();
    let distinct: BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!(
        all.len(),
        distinct.len(),
        "repeated: neighbours of an unreadable message were handled more than once: {all:?}"
    );
    fixture.assert_nothing_left().await;
    Verdict::Kept
}
