//! A queue in memory, which delivers failed messages again.

use broadway::kafka::{KafkaRecord, testing::record};
use broadway::{BoxError, Message, Pipeline, Processors, Record, handler_fn, testing::MemoryQueue};

fn parse(message: &mut Message<KafkaRecord>) -> Result<(), BoxError> {
    let _id: u64 = std::str::from_utf8(message.data().payload())?.parse()?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_is_given_up_after_three_deliveries() -> Result<(), BoxError> {
    let queue = MemoryQueue::<KafkaRecord>::new().deliveries_max(3);
    let good = queue.publish(record("17").key("customer-4"));
    let bad = queue.publish(record("seventeen").key("customer-4"));
    queue.end();

    let topology = Pipeline::new(queue.source(), handler_fn(parse))
        .processors(Processors::new(4).by_record_key())
        .start()
        .await?;
    topology.wait().await?;

    assert_eq!(queue.acknowledged(), [good]);
    assert_eq!(queue.given_up(), [bad]);
    assert_eq!(queue.deliveries_of(bad), 3);
    Ok(())
}
