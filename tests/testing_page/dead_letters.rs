//! Dead letters, sent to a publisher that records them.

use broadway::kafka::{KafkaRecord, testing::record};
use broadway::testing::{MemoryQueue, RecordingPublisher};
use broadway::{BoxError, DeadLetters, Message, Pipeline, handler_fn};

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_becomes_a_dead_letter() -> Result<(), BoxError> {
    let (queue, publisher) = (MemoryQueue::<KafkaRecord>::new(), RecordingPublisher::new());
    queue.publish(record("not an order").topic("orders").offset(17));
    queue.end();

    let handler = handler_fn(|_: &mut Message<KafkaRecord>| Err("no".into()));
    let handler = DeadLetters::of(handler, publisher.clone());
    let topology = Pipeline::new(queue.source(), handler).start().await?;
    topology.wait().await?;

    let letters = publisher.sent().all();
    assert_eq!(letters[0].origin(), Some("orders[0]@17"));
    assert_eq!(queue.acknowledged(), [0]); // for its queue, the message is done
    Ok(())
}
