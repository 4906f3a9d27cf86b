//! Events identify failed messages.

use std::marker::PhantomData;

use tokio::time::timeout;

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, PATIENCE, must},
};
use crate::{
    batch::Batch,
    batcher_key::NoBatcher,
    error::BoxError,
    handler::{Handler, Next},
    message::{Message, Record},
    pipeline::{Pipeline, Processors},
    telemetry::{Event, MessageInfo, Observer, key_hash},
    testing::Collector,
};

/// Fails every message, and records its id and its key.
struct Refusing<R> {
    refused: Collector<(String, Option<Vec<u8>>)>,
    record: PhantomData<fn(R)>,
}

impl<R: Record> Handler for Refusing<R> {
    type In = R;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<R>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        let record = message.data();
        let key = record.key().map(<[u8]>::to_vec);
        self.refused.push((record.id(), key));
        Err("refused".into())
    }

    async fn handle_batch(&self, _: NoBatcher, _: &mut Batch<()>) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Records the descriptions of failed messages.
struct DescribedMessages(Collector<MessageInfo>);

impl Observer for DescribedMessages {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        if let Event::MessageFailed { affected, .. } = event {
            self.0.push(affected.first().unwrap_or_default());
        }
    }
}

/// A failed message is identified in the log by the id and the key of its record. A first delivery is the first
/// attempt, if attempts are counted.
pub async fn a_failed_message_is_identified<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::with(connector, "named", 0..1).await;
    let (refused, named) = (Collector::new(), Collector::new());
    let handler = Refusing {
        refused: refused.clone(),
        record: PhantomData,
    };
    let topology = Pipeline::new(fixture.source(), handler)
        .name("conformance")
        .processors(Processors::new(1))
        .drain_timeout(PATIENCE)
        .observe(DescribedMessages(named.clone()))
        .start()
        .await;
    let topology = topology.unwrap_or_else(|error| panic!("cannot start the pipeline: {error}"));
    let waited = timeout(2 * PATIENCE, named.wait_len(1)).await;
    assert!(waited.is_ok(), "lost: the message was not handled");
    must("drain", topology.drain().await.map_err(BoxError::from));
    let (info, (id, key)) = (named.all().remove(0), refused.all().remove(0));
    assert!(
        !info.id.is_empty(),
        "not named: implement `SourceProducer::describe` or `Acknowledger::describe`"
    );
    assert!(
        id.is_empty() || info.id == id,
        "named {:?}, but the id of the record is {id:?}",
        info.id
    );
    assert_eq!(
        (info.key_hash, info.producer),
        (key.as_deref().map(key_hash), Some(0)),
        "the hash of its key, and its producer"
    );
    assert!(
        info.attempt.is_none_or(|attempt| attempt == 1),
        "the first delivery is attempt 1, not {:?}",
        info.attempt
    );
    fixture.finish_rest().await;
    Verdict::Kept
}
