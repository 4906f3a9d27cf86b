//! Limits on everything in flight: messages and bytes.

use broadway_core::{Next, Outcome, Pipeline, Processors, Retry, StartError, source};
use futures_util::{StreamExt, stream};

use crate::common::{SECOND, Script, Sink, Wait, fed, outcomes, settle_down};

#[tokio::test(start_paused = true)]
async fn no_more_messages_are_in_flight_than_allowed_wherever_they_wait() {
    // They wait in an open batch, in a handler, and to be handled again.
    let script = Script::new()
        .wait(|&n| match n % 3 {
            0 => Wait::Ever,
            _ => Wait::No,
        })
        .message(|message| match message.data() % 3 {
            1 => Ok(Next::batch(Sink::One, *message.data())),
            _ => Err("busy".into()),
        });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline
        .processors(Processors::new(50))
        .on_failure(Retry::fixed(10_000 * SECOND))
        .in_flight_max(20);
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..1_000);
    settle_down().await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(feed.delivered(), 20);
    assert_eq!(topology.totals().in_flight(), 20);
    let _ = topology.abort().await;
}

#[tokio::test(start_paused = true)]
async fn settled_messages_make_room() {
    let (pipeline, feed) = fed(Script::new().wait(|_| Wait::For(SECOND)));
    let pipeline = pipeline.processors(Processors::new(9)).in_flight_max(3);
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..100);
    feed.end();
    assert_eq!(topology.wait().await.unwrap().done, 100);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn producers_that_wait_or_end_leave_the_room_to_the_others() {
    // The first producer ends at once, the second waits forever, and the third has all messages.
    let source = source::from_stream(|producer| match producer {
        0 => stream::empty().boxed(),
        1 => stream::pending().boxed(),
        _ => stream::iter(0..500_u64).boxed(),
    });
    let topology = Pipeline::new(source, Script::new())
        .producers(3)
        .in_flight_max(100)
        .start()
        .await
        .unwrap();
    while topology.totals().done < 500 {
        tokio::time::sleep(SECOND).await;
    }
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bytes_in_flight_stay_below_their_limit_and_a_larger_message_passes_alone() {
    let running = std::sync::Arc::new(std::sync::Mutex::new((0_u64, Vec::new())));
    let script = Script::new()
        .wait({
            let running = running.clone();
            move |&bytes: &u64| {
                let (sum, seen) = &mut *running.lock().unwrap();
                *sum += bytes;
                seen.push(*sum);
                Wait::For(SECOND)
            }
        })
        .message({
            let running = running.clone();
            move |message| {
                running.lock().unwrap().0 -= message.data();
                Ok(Next::Ack)
            }
        });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline
        .processors(Processors::new(30))
        .in_flight_bytes_max(100, |bytes| *bytes as usize);
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all([99, 100, 101, 1_000, 40, 40, 40, 10, 100, 5_000, 1]);
    feed.end();
    let all = outcomes(receipts).await;
    assert!(all.iter().all(|outcome| matches!(outcome, Outcome::Done)));
    topology.wait().await.unwrap();
    let seen = running.lock().unwrap().1.clone();
    let above: Vec<_> = seen.iter().filter(|sum| **sum > 100).collect();
    assert_eq!(above, [&101, &1_000, &5_000]);
}

#[tokio::test(start_paused = true)]
async fn a_size_function_that_panics_fails_its_message() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    let pipeline = pipeline.in_flight_bytes_max(100, |n| match n {
        3 => panic!("no size"),
        _ => 1,
    });
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..5);
    let failed = outcomes(receipts).await;
    assert!(matches!(failed[3], Outcome::Failed(_)));
    assert_eq!(topology.drain().await.unwrap().done, 4);
}

#[tokio::test(start_paused = true)]
async fn limits_of_zero_are_refused() {
    let (pipeline, _feed) = fed(Script::<u64>::new());
    let pipeline = pipeline.in_flight_max(0).in_flight_bytes_max(0, |_| 1);
    let Err(StartError::Invalid(problems)) = pipeline.waiting_max(0).start().await else {
        panic!("accepted");
    };
    let options: Vec<_> = problems.iter().map(|problem| problem.option()).collect();
    assert_eq!(
        options,
        ["waiting_max", "in_flight_max", "in_flight_bytes_max"]
    );
}
