//! Ends that come from outside: stop and abort.

use std::convert::Infallible;

use broadway_core::{
    BoxError,
    stage::{self, Consumer, Context, End, Receive, Subscription},
};

use crate::{
    common::settle,
    subscriptions::{Order, Probe, Push, queue},
};

#[tokio::test(start_paused = true)]
async fn an_aborted_stage_ends_in_the_middle_of_a_callback_and_is_shut_down_for_others() {
    let (queue, heard) = queue("queue").await;
    let (probe, log, _gate) = Probe::gated();
    let probe = stage::consumer(probe).subscribe_to(queue.output());
    let probe = probe.start().await.unwrap();
    queue.call(Push(0..1)).await.unwrap();
    settle().await;
    probe.abort();
    assert!(matches!(probe.join().await, End::Shutdown));
    settle().await;
    assert_eq!(log.take(), ["subscribed queue", "queue [0]"]);
    assert!(heard.take()[1].ends_with("shut down"));
    assert!(queue.end().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stage_stops_once_the_callback_in_hand_returns_and_drops_its_messages() {
    let (queue, _) = queue("queue").await;
    let (probe, log, gate) = Probe::gated();
    let probe = stage::consumer(probe).subscribe_to(queue.output().max_demand(2));
    let probe = probe.start().await.unwrap();
    queue.call(Push(0..2)).await.unwrap();
    settle().await;
    let called = tokio::spawn({
        let probe = probe.clone();
        async move { probe.call(Order::Fail).await }
    });
    settle().await;
    let stopped = tokio::spawn({
        let probe = probe.clone();
        async move { probe.stop().await }
    });
    settle().await;
    assert!(probe.end().is_none());
    gate.add_permits(1);
    assert!(matches!(stopped.await.unwrap(), End::Shutdown));
    assert!(called.await.unwrap().is_err());
    let told = [
        "subscribed queue",
        "queue [0]",
        "handled",
        "terminated: shut down",
    ];
    assert_eq!(log.take(), told);
}

#[tokio::test(start_paused = true)]
async fn a_stop_can_be_dropped_and_repeated_and_joined_after_the_end() {
    let (queue, log) = queue("queue").await;
    assert!(
        tokio::time::timeout(std::time::Duration::ZERO, queue.stop())
            .await
            .is_err()
    );
    settle().await;
    assert!(matches!(queue.end(), Some(End::Shutdown)));
    assert!(matches!(queue.stop().await, End::Shutdown));
    assert!(matches!(queue.join().await, End::Shutdown));
    assert_eq!(log.take(), ["terminated: shut down"]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_terminate_changes_nothing_about_the_end() {
    struct Loud;

    impl Consumer for Loud {
        type Event = u64;

        async fn handle_events(
            &mut self,
            _: &mut Vec<u64>,
            _: &Subscription,
            _: &mut Context<Infallible>,
        ) -> Result<(), BoxError> {
            Ok(())
        }

        async fn terminate(&mut self, _: &End) {
            panic!("told to panic");
        }
    }

    impl Receive<Order> for Loud {
        type Reply = ();

        async fn receive(
            &mut self,
            order: Order,
            cx: &mut Context<Infallible>,
        ) -> Result<(), BoxError> {
            order.obey(cx)
        }
    }

    let loud = stage::consumer(Loud).start().await.unwrap();
    loud.call(Order::Stop).await.unwrap();
    assert!(matches!(loud.join().await, End::Normal));
    let loud = stage::consumer(Loud).start().await.unwrap();
    assert!(loud.call(Order::Fail).await.is_err());
    let end = loud.join().await;
    assert!(end.to_string().contains("told to fail"), "{end}");
}
