//! Stale messages are released unhandled; outcomes of begun ones are reported all the same.

use broadway_core::{
    Callback, Next, Outcome, Processors,
    testing::{Collector, Fault, Faults, Recorder, drained},
};

use crate::common::{Script, fed, outcomes};

#[tokio::test(start_paused = true)]
async fn stale_messages_that_no_handler_began_are_released_unhandled() {
    let (handled, recorder) = (Collector::new(), Recorder::new());
    let script = Script::<u64>::new().message({
        let handled = handled.clone();
        move |message| {
            handled.push(*message.data());
            Ok(Next::Ack)
        }
    });
    let (script, plan) = Faults::of(script);
    plan.at(Callback::HandleMessage, 0, Fault::Hang);
    let (pipeline, feed) = fed(script);
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    let stale = feed.push_all(0..10);
    plan.wait_hanging(1).await;
    feed.wait_delivered(10).await;
    feed.make_stale();
    let fresh = feed.push_all(10..13);
    feed.wait_delivered(13).await;
    plan.release();
    let stale = outcomes(stale).await;
    // The first had begun: its outcome is reported, and the source may ignore it.
    assert!(stale[0].is_done());
    assert!(
        stale[1..]
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Released)),
        "{stale:?}"
    );
    assert!(
        outcomes(fresh)
            .await
            .iter()
            .all(|outcome| outcome.is_done())
    );
    assert_eq!(handled.all(), [0, 10, 11, 12]);
    let totals = drained(&topology).await;
    assert_eq!((totals.done, totals.failed, totals.released), (4, 0, 9));
    assert_eq!(recorder.sum("settled", "released"), 9);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn stale_messages_hold_back_no_other_message_of_their_key() {
    let (script, plan) = Faults::of(Script::<u64>::new());
    plan.at(Callback::HandleMessage, 0, Fault::Hang);
    let (pipeline, feed) = fed(script);
    let processors = Processors::new(2).partition_by(|message| message.data() % 2);
    let topology = pipeline.processors(processors).start().await.unwrap();
    let receipts = feed.push_all((0..20).map(|n| n * 2));
    plan.wait_hanging(1).await;
    feed.make_stale();
    let later = feed.push(100);
    feed.wait_delivered(21).await;
    plan.release();
    assert!(later.outcome().await.unwrap().is_done());
    let released = outcomes(receipts).await;
    assert!(
        released[1..]
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Released))
    );
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn pushed_messages_are_never_stale() {
    let (script, plan) = Faults::of(Script::<u64>::new());
    plan.at(Callback::HandleMessage, 0, Fault::Hang);
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    let receipts = topology.push(0..5).await.unwrap();
    plan.wait_hanging(1).await;
    feed.make_stale();
    plan.release();
    assert!(
        outcomes(receipts)
            .await
            .iter()
            .all(|outcome| outcome.is_done())
    );
    drained(&topology).await;
}
