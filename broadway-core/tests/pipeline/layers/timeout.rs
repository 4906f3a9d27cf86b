//! A limit on the time of one call.

use std::sync::Arc;

use broadway_core::{
    Batching, Callback, ErrorClass, HandlerExt, Message, Outcome, handler_fn_async,
    layer::{TimedOut, Timeout},
    testing::Collector,
};
use tokio::sync::Semaphore;

use crate::common::{SECOND, Script, Wait, fed, outcomes};

fn timed_out(outcome: &Outcome) -> TimedOut {
    let Outcome::Failed(reason) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(reason.class(), ErrorClass::Transient);
    let error = reason.as_error().unwrap();
    *error.downcast_ref().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_message_that_takes_too_long_fails_alone() {
    let handler = Script::new()
        .wait(|n| match n {
            2 => Wait::Ever,
            _ => Wait::For(SECOND),
        })
        .layer(Timeout::of_message(SECOND * 5));
    let (pipeline, feed) = fed(handler);
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all(1..=3_u64)).await;
    assert!(outcomes[0].is_done() && outcomes[2].is_done());
    let error = timed_out(&outcomes[1]);
    assert_eq!(error.callback(), Callback::HandleMessage);
    assert_eq!(error.after(), SECOND * 5);
    assert_eq!(error.to_string(), "handle_message timed out after 5s");
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_ready_when_the_time_is_over_counts() {
    let handler = Script::new()
        .wait(|_| Wait::For(SECOND * 5))
        .layer(Timeout::of_message(SECOND * 5));
    let (pipeline, feed) = fed(handler);
    let topology = pipeline.start().await.unwrap();
    assert!(outcomes([feed.push(1_u64)]).await[0].is_done());
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_takes_too_long_fails() {
    let handler = Script::batching()
        .batch_wait(|n| match n {
            1 => Wait::Ever,
            _ => Wait::No,
        })
        .layer(Timeout::of_batch(SECOND * 5));
    let (pipeline, feed) = fed(handler);
    let pipeline = pipeline.batchers(|_| Batching::new(2, SECOND));
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all(1..=4_u64)).await;
    for outcome in &outcomes[..2] {
        assert_eq!(timed_out(outcome).callback(), Callback::HandleBatch);
    }
    assert!(outcomes[2..].iter().all(Outcome::is_done));
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_no_limit_of_messages() {
    let handler = Script::batching()
        .batch_wait(|_| Wait::For(SECOND * 60))
        .layer(Timeout::of_message(SECOND));
    let (pipeline, feed) = fed(handler);
    let topology = pipeline
        .batchers(|_| Batching::new(1, SECOND))
        .start()
        .await
        .unwrap();
    assert!(outcomes([feed.push(1_u64)]).await[0].is_done());
    topology.drain().await.unwrap();
}

/// The task goes on after the call was dropped.
#[tokio::test(start_paused = true)]
async fn the_late_result_of_work_elsewhere_is_discarded() {
    let (finished, gate) = (Collector::new(), Arc::new(Semaphore::new(0)));
    let handler = handler_fn_async({
        let (finished, gate) = (finished.clone(), Arc::clone(&gate));
        async move |message: &mut Message<u64>| {
            let (n, finished, gate) = (*message.data(), finished.clone(), Arc::clone(&gate));
            let work = tokio::spawn(async move {
                gate.acquire().await.unwrap().forget();
                finished.push(n);
            });
            work.await?;
            Ok(())
        }
    });
    let (pipeline, feed) = fed(handler.layer(Timeout::of_message(SECOND)));
    let topology = pipeline.start().await.unwrap();
    timed_out(&outcomes([feed.push(7)]).await[0]);
    gate.add_permits(1);
    finished.wait_len(1).await;
    assert_eq!(topology.drain().await.unwrap().failed, 1);
    feed.assert_settled_once();
}
