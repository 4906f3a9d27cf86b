//! Values of the program's own type, each with a receipt.

use broadway::{BoxError, Message, Pipeline, handler_fn, testing};

#[tokio::test(start_paused = true)]
async fn thirteen_fails() -> Result<(), BoxError> {
    let (source, feed) = testing::manual_source::<u64>();
    let handler = handler_fn(|message: &mut Message<u64>| match message.data() {
        13 => Err("unlucky".into()),
        _ => Ok(()),
    });
    let topology = Pipeline::new(source, handler).start().await?;
    let (lucky, unlucky) = (feed.push(12), feed.push(13));
    let outcome = lucky.outcome().await;
    assert!(outcome.is_some_and(|outcome| outcome.is_done()));
    let outcome = unlucky.outcome().await;
    assert!(outcome.is_some_and(|outcome| outcome.is_failed()));
    topology.drain().await?;
    feed.assert_settled_once();
    Ok(())
}
