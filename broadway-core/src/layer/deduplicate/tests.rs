#![allow(clippy::unwrap_used)]
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize},
};

use super::*;
use crate::{
    batcher_key::OneBatcher,
    error::{Callback, Reason},
    failure::{ClassifiedError, ErrorClass, FailureAction},
    layer::{HandlerExt, Layered},
};

/// Sends messages to a batch, and counts them.
#[derive(Default)]
struct Inner {
    handled: AtomicUsize,
    fails: AtomicBool,
}

impl Handler for Inner {
    type In = &'static str;
    type Out = ();
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        _: &mut Message<&'static str>,
    ) -> Result<Next<(), OneBatcher>, BoxError> {
        self.handled.fetch_add(1, Ordering::Relaxed);
        match self.fails.load(Ordering::Relaxed) {
            true => Err("out".into()),
            false => Ok(Next::batch(OneBatcher, ())),
        }
    }

    async fn handle_batch(
        &self,
        _: OneBatcher,
        _: &mut crate::batch::Batch<()>,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

/// A store in memory that counts its calls, and can be cut off.
#[derive(Default)]
struct Shared {
    ids: RecentIds,
    asked: Mutex<Vec<usize>>,
    is_out: AtomicBool,
}

impl Shared {
    fn check_connection(&self) -> Result<(), BoxError> {
        match self.is_out.load(Ordering::Relaxed) {
            true => Err("connection refused".into()),
            false => Ok(()),
        }
    }
}

impl DedupStore for Arc<Shared> {
    async fn contains_all(&self, ids: &[String]) -> Result<Vec<bool>, BoxError> {
        self.check_connection()?;
        self.asked.lock().unwrap().push(ids.len());
        self.ids.contains_all(ids).await
    }

    async fn insert_all(&self, ids: &[String]) -> Result<(), BoxError> {
        self.check_connection()?;
        self.ids.insert_all(ids).await
    }
}

struct Test<H> {
    handler: H,
    store: Arc<Shared>,
    counters: DeduplicateHandle,
}

fn test() -> Test<Layered<Inner, impl Layer<Inner>>> {
    let store = Arc::<Shared>::default();
    let unique = Deduplicate::by(|message: &Message<&'static str>| {
        (!message.data().is_empty()).then(|| message.data().to_string())
    });
    let unique = unique.store(Arc::clone(&store));
    Test {
        counters: unique.handle(),
        handler: Inner::default().layer(unique),
        store,
    }
}

#[derive(Debug, PartialEq)]
enum Handled {
    Batched,
    Skipped,
    Postponed,
    Failed(ErrorClass),
}

impl<L: Layer<Inner>> Test<Layered<Inner, L>> {
    async fn handle(&self, id: &'static str) -> Handled {
        self.handle_again(&mut Message::new(id)).await
    }

    async fn handle_again(&self, message: &mut Message<&'static str>) -> Handled {
        match self.handler.handle_message(message).await {
            Ok(Next::Batch(_)) => Handled::Batched,
            Ok(Next::Ack) => Handled::Skipped,
            Err(error) => {
                let classified = ClassifiedError::find(error.as_ref());
                match classified.is_some_and(ClassifiedError::is_postponed) {
                    true => Handled::Postponed,
                    false => Handled::Failed(ErrorClass::of(error.as_ref())),
                }
            }
        }
    }

    async fn prepare(&self, ids: &[&'static str]) -> Result<(), BoxError> {
        let mut messages: Vec<_> = ids.iter().copied().map(Message::new).collect();
        let mut chunk = Chunk::new(&mut messages);
        self.handler.prepare_messages(&mut chunk).await
    }

    async fn done(&self, ids: &[&'static str]) {
        let mut messages: Vec<_> = ids.iter().copied().map(Message::new).collect();
        self.handler
            .handle_done(&mut Chunk::new(&mut messages))
            .await;
    }

    async fn failed(&self, id: &'static str) {
        let mut failed = [Failed {
            place: 0,
            message: Message::new(id),
            output: None,
            reason: Reason::error(Callback::HandleBatch, "out"),
            action: FailureAction::DeadLetter,
            is_resolved: false,
        }];
        self.handler.handle_failed(&mut failed).await;
    }

    fn handled(&self) -> usize {
        self.handler.inner().handled.load(Ordering::Relaxed)
    }

    fn fail_inner(&self, fails: bool) {
        self.handler.inner().fails.store(fails, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_message_that_is_done_is_skipped() {
    let test = test();
    assert_eq!(test.handle("a").await, Handled::Batched);
    test.done(&["a"]).await;
    assert_eq!(test.handle("a").await, Handled::Skipped);
    assert_eq!(test.handle("b").await, Handled::Batched);
    assert_eq!((test.handled(), test.counters.skipped()), (2, 1));
    assert_eq!(test.counters.recorded(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_without_an_id_is_always_handled() {
    let test = test();
    for _ in 0..2 {
        assert_eq!(test.handle("").await, Handled::Batched);
        test.done(&[""]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_is_not_recorded() {
    let test = test();
    test.fail_inner(true);
    for _ in 0..2 {
        let failed = Handled::Failed(ErrorClass::Transient);
        assert_eq!(test.handle("a").await, failed);
    }
    test.failed("a").await;
    test.fail_inner(false);
    assert_eq!(test.handle("a").await, Handled::Batched);
}

#[tokio::test(start_paused = true)]
async fn a_copy_waits_until_the_batch_of_the_first_has_ended() {
    let test = test();
    assert_eq!(test.handle("a").await, Handled::Batched);
    assert_eq!(test.handle("a").await, Handled::Postponed);
    test.done(&["a"]).await;
    assert_eq!(test.handle("a").await, Handled::Skipped);

    assert_eq!(test.handle("b").await, Handled::Batched);
    assert_eq!(test.handle("b").await, Handled::Postponed);
    test.failed("b").await;
    assert_eq!(test.handle("b").await, Handled::Batched);
}

#[tokio::test(start_paused = true)]
async fn a_copy_waits_for_a_minute_at_most() {
    let test = test();
    assert_eq!(test.handle("a").await, Handled::Batched);
    tokio::time::advance(pending::HELD_MAX - Duration::from_millis(1)).await;
    assert_eq!(test.handle("a").await, Handled::Postponed);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(test.handle("a").await, Handled::Batched);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_back_from_its_batch_does_not_wait_for_itself() {
    let test = test();
    let mut message = Message::new("a");
    assert_eq!(test.handle_again(&mut message).await, Handled::Batched);
    message.extras().batch_attempts = 1;
    assert_eq!(test.handle_again(&mut message).await, Handled::Batched);
}

#[tokio::test(start_paused = true)]
async fn the_store_is_asked_once_per_chunk() {
    let test = test();
    test.prepare(&["a", "b", "c"]).await.unwrap();
    for id in ["a", "b", "c"] {
        assert_eq!(test.handle(id).await, Handled::Batched);
    }
    assert_eq!(*test.store.asked.lock().unwrap(), [3]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_the_first_copy_was_done_is_not_used() {
    let test = test();
    test.prepare(&["a", "a"]).await.unwrap();
    assert_eq!(test.handle("a").await, Handled::Batched);
    test.prepare(&["a"]).await.unwrap();
    test.done(&["a"]).await;
    assert_eq!(test.handle("a").await, Handled::Skipped);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_out_fails_messages_and_loses_none() {
    let test = test();
    test.store.is_out.store(true, Ordering::Relaxed);
    let failed = Handled::Failed(ErrorClass::Transient);
    assert!(test.prepare(&["a"]).await.is_err());
    assert_eq!(test.handle("a").await, failed);
    assert_eq!(test.handled(), 0);
    test.store.is_out.store(false, Ordering::Relaxed);
    assert_eq!(test.handle("a").await, Handled::Batched);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_recorded_is_counted_and_its_copies_are_handled() {
    let test = test();
    assert_eq!(test.handle("a").await, Handled::Batched);
    test.store.is_out.store(true, Ordering::Relaxed);
    test.done(&["a"]).await;
    assert_eq!(test.counters.unrecorded(), 1);
    test.store.is_out.store(false, Ordering::Relaxed);
    assert_eq!(test.handle("a").await, Handled::Batched);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_forgotten_after_the_window() {
    let ids = RecentIds::new(10, Duration::from_secs(60));
    let a = ["a".to_owned()];
    ids.insert_all(&a).await.unwrap();
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(ids.contains_all(&a).await.unwrap(), [true]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ids.contains_all(&a).await.unwrap(), [false]);
}

#[test]
fn invalid_options_of_the_store_are_listed() {
    let unique = Deduplicate::by(|message: &Message<&'static str>| message.data().to_string());
    let unique = unique.store(RecentIds::new(0, Duration::ZERO));
    let problems = Inner::default().layer(unique).check();
    let options: Vec<_> = problems.iter().map(Problem::option).collect();
    assert_eq!(
        options,
        ["deduplicate.store.capacity", "deduplicate.store.window"]
    );
}
