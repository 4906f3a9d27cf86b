//! Which public types threads may send to and share with each other, and that what users spawn can be spawned.
//!
//! Auto traits come and go with private fields, so nobody sees them change; here it does not compile when one goes.

use std::{error::Error, marker::PhantomPinned};

use broadway_core::{
    Batch, BatchKey, Batching, Chunk, Deadline, Delivery, Description, Failed, Message, Next,
    NoBatcher, OneBatcher, OpenContext, Outcome, Pipeline, Processors, PushError, Reason, Receipt,
    RunError, Settled, StartError, Topology, Totals, handler_fn,
    machine::dispatch::Route,
    source,
    stage::{
        self, Buffer, Cancel, Closed, ConsumerBuilder, ConsumerHandle, Context, End, EventStream,
        Failure, FlatMap, FromIter, IntoSender, Output, ProducerBuilder, ProducerConsumerBuilder,
        ProducerConsumerHandle, ProducerHandle, StageStats, SubscribeError, Subscription,
        SubscriptionId, Timer,
    },
};

fn spawnable<T: Send + 'static>(_: &T) {}
fn send<T: Send>() {}
fn shared<T: Send + Sync + Unpin>() {}
fn unpin<T: Unpin>() {}
fn error<T: Error + Send + Sync + 'static>() {}

/// Can be sent, not shared: no `Sync` in it.
type Cell = std::cell::Cell<u8>;

#[test]
fn values_are_sent_and_shared_when_what_is_in_them_is() {
    shared::<Batch<u64>>();
    shared::<BatchKey>();
    shared::<Batching<u64>>();
    shared::<Deadline>();
    shared::<Delivery<u64, u64>>();
    shared::<Description>();
    shared::<Next<u64, OneBatcher>>();
    shared::<NoBatcher>();
    shared::<OpenContext>();
    shared::<Processors<u64>>();
    shared::<Totals>();
}

#[test]
fn what_is_kept_by_many_tasks_is_shared_whatever_flows() {
    shared::<Topology<u64>>();
    shared::<Topology<Cell>>();
    shared::<Processors<Cell>>();
    shared::<Batching<Cell>>();
    shared::<Receipt>();
}

/// A pool is kept by its handle and its outputs, wherever its members are.
#[test]
fn pools_are_shared_and_events_that_are_settled_jointly_are_sent() {
    shared::<stage::PoolHandle<u64>>();
    shared::<stage::PoolHandle<Cell>>();
    shared::<stage::Shared<u64>>();
    send::<stage::Shared<Cell>>();
    send::<Route<Cell, u8>>();
}

#[test]
fn messages_are_sent_but_need_not_be_shared() {
    send::<Message<Cell>>();
    send::<Chunk<'_, Cell>>();
    send::<Batch<Cell>>();
    send::<Failed<Cell, Cell>>();
    send::<Delivery<Cell, Cell>>();
    send::<Outcome>();
    send::<Reason>();
    send::<Settled<u64>>();
}

#[test]
fn errors_go_through_a_question_mark_into_a_boxed_error() {
    error::<PushError<u64>>();
    error::<RunError>();
    error::<StartError>();
}

#[test]
fn the_ends_of_stages_are_shared_whatever_flows_and_whatever_stages_hold() {
    /// A stage of any kind, which cannot be shared.
    type Closure = fn(Cell) -> [Cell; 1];
    shared::<ProducerHandle<FromIter<std::vec::IntoIter<Cell>>>>();
    shared::<ProducerConsumerHandle<FlatMap<Cell, Closure>>>();
    shared::<ConsumerHandle<IntoSender<Cell>>>();
    shared::<Output<Cell>>();
    shared::<Subscription>();
    shared::<SubscriptionId>();
    shared::<Buffer>();
    shared::<Cancel>();
    shared::<End>();
    shared::<Failure>();
    shared::<StageStats>();
    shared::<Timer>();
    send::<EventStream<Cell>>();
    send::<Context<Cell>>();
    unpin::<EventStream<PhantomPinned>>();
    send::<ProducerBuilder<FromIter<std::vec::IntoIter<Cell>>>>();
    send::<ProducerConsumerBuilder<FlatMap<Cell, Closure>>>();
    send::<ConsumerBuilder<IntoSender<Cell>>>();
    error::<SubscribeError>();
    error::<Closed>();
    error::<Failure>();
}

#[test]
fn what_users_spawn_of_stages_can_be_spawned() {
    spawnable(&async {
        let numbers = stage::from_iter(0..3_u64).start().await.expect("it starts");
        let mut stream = numbers.output().stream().expect("the options are valid");
        let texts = stage::map(|n: u64| n.to_string()).subscribe_to(numbers.output());
        let texts = texts.start().await.expect("it starts");
        let chars = stage::flat_map(|text: String| text.into_bytes()).subscribe_to(texts.output());
        let chars = chars.start().await.expect("it starts");
        let consumer = stage::for_each(|_: u8| async { Ok(()) });
        let consumer = consumer.subscribe_to(chars.output()).start().await;
        let consumer = consumer.expect("it starts");
        stream.next().await;
        stream.next_chunk().await;
        numbers.stop().await;
        consumer.join().await.is_failed()
    });
}

#[test]
fn what_users_spawn_can_be_spawned() {
    let pipeline = || {
        let source = source::from_iter(|_producer| 0..3_u64);
        Pipeline::new(source, handler_fn(|_message: &mut Message<u64>| Ok(())))
    };
    spawnable(&pipeline());
    spawnable(&pipeline().start());
    spawnable(&async move {
        let topology = pipeline().start().await.expect("the options are valid");
        let _ = topology.push(vec![1]).await;
        topology.wait().await.is_ok()
    });
}
