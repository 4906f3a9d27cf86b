//! A handler that blocks its thread.

use std::{thread, time::Duration};

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, ProducerOf, must, number_of},
    through_a_pipeline::wait_distinct,
};
use crate::{
    error::BoxError,
    handler::handler_fn,
    message::Message,
    pipeline::{Pipeline, Processors},
    source::SourceProducer,
    testing::Collector,
};

/// Handlers that block every thread of the runtime, for longer than a lease and than the broker tolerates a silent
/// client, lose neither the connection nor their messages: each message is handled once.
pub async fn a_blocked_handler_keeps_connection_and_lease<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let capabilities = connector.capabilities();
    let patience = capabilities.lease.max(capabilities.silence_max);
    let Some(patience) = patience else {
        return Verdict::DoesNotApply("the broker has neither leases nor a limit on silence");
    };
    let fixture = Fixture::with(connector, "blocked", 0..4).await;
    let (done, blocked_for) = (Collector::new(), patience * 3 / 2);
    let seen = done.clone();
    let handler = handler_fn(
        move |message: &mut Message<<ProducerOf<S> as SourceProducer>::Item>| {
            block(blocked_for);
            seen.push(number_of(message.data()));
            Ok(())
        },
    );
    let topology = Pipeline::new(fixture.source(), handler)
        // Twice the number of threads of the promise's runtime, so that none is free.
        .processors(Processors::new(4).max_demand(1))
        .start()
        .await;
    let topology = topology.unwrap_or_else(|error| panic!("cannot start the pipeline: {error}"));
    wait_distinct(&done, 4).await;
    must("drain", topology.drain().await.map_err(BoxError::from));
    assert_eq!(
        done.len(),
        4,
        "repeated: messages of blocked handlers came again: {:?}",
        done.all()
    );
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// Handlers should not block their thread; some do.
fn block(time: Duration) {
    thread::sleep(time);
}
