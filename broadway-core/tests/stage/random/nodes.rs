//! Running stages of any kind, behind one interface.

use std::{future::Future, pin::Pin, time::Duration};

use broadway_core::{
    machine::{
        dispatch::{Broadcast, Demand, Partition, PartitionName, Selector},
        restart::RestartPolicy,
    },
    stage::{self, Buffer, End, Output, StageStats, SubscribeError, Subscription},
};

use super::{
    plan::{Demanding, Dispatching, Failing, Keeping, Sending, Wish},
    stages::{Middle, Sink, Source},
};

type Joined = Pin<Box<dyn Future<Output = End>>>;
type Subscribing = dyn Fn(&Output<u64>) -> Result<Subscription, SubscribeError>;

pub(super) struct Node {
    pub(super) output: Option<Box<dyn Fn(u64) -> Output<u64>>>,
    pub(super) subscribe: Option<Box<Subscribing>>,
    pub(super) forward: Box<dyn Fn(bool)>,
    pub(super) stop: Box<dyn Fn() -> Joined>,
    pub(super) abort: Box<dyn Fn()>,
    pub(super) end: Box<dyn Fn() -> Option<End>>,
    pub(super) stats: Box<dyn Fn() -> StageStats>,
}

impl Node {
    /// The output with the options of a subscription.
    pub(super) fn wished(&self, wish: &Wish) -> Output<u64> {
        let output = self
            .output
            .as_ref()
            .expect("only stages that send are wished for");
        let output = output(wish.seat).cancel(wish.cancel);
        match wish.demand {
            Demanding::Automatic { max, min } => output.max_demand(max).min_demand(min),
            Demanding::Manual(_) => output.manual(),
        }
    }
}

/// Makes a node of a handle. What only some handles have is given by closures.
macro_rules! node {
    ($handle:ident, $output:expr, $subscribe:expr, $forward:expr) => {{
        let (stop, abort) = ($handle.clone(), $handle.clone());
        let (end, stats) = ($handle.clone(), $handle.clone());
        Node {
            output: $output,
            subscribe: $subscribe,
            forward: $forward,
            stop: Box::new(move || {
                let stop = stop.clone();
                Box::pin(async move { stop.stop().await })
            }),
            abort: Box::new(move || abort.abort()),
            end: Box::new(move || end.end()),
            stats: Box::new(move || stats.stats()),
        }
    }};
}

macro_rules! forwarding {
    ($handle:ident) => {{
        let handle = $handle.clone();
        Box::new(move |forward: bool| match forward {
            true => handle.forward_demand(),
            false => handle.accumulate_demand(),
        })
    }};
}

macro_rules! subscribing {
    ($handle:ident) => {{
        let handle = $handle.clone();
        Some(Box::new(move |output: &Output<u64>| handle.subscribe(output)) as Box<Subscribing>)
    }};
}

/// Starts `$builder` with the dispatcher of the plan.
macro_rules! dispatched {
    ($builder:ident, $dispatching:expr, $handle:ident => $subscribe:expr) => {
        match $dispatching {
            Dispatching::Demand => {
                let $handle = $builder.dispatcher(Demand::new()).start().await.unwrap();
                let sending = $handle.clone();
                let output = Box::new(move |_| sending.output());
                node!($handle, Some(output), $subscribe, forwarding!($handle))
            }
            Dispatching::Broadcast => {
                let $handle = $builder.dispatcher(Broadcast::new()).start().await.unwrap();
                let sending = $handle.clone();
                let output = Box::new(move |seat: u64| match seat % 3 {
                    0 => sending.output(),
                    _ => sending.output_at(Selector::new(move |&event| {
                        Dispatching::Broadcast.selects(seat, event)
                    })),
                });
                node!($handle, Some(output), $subscribe, forwarding!($handle))
            }
            Dispatching::Partition(n) => {
                let place = move |&event: &u64| {
                    let place = event % (n + 1);
                    (place < n).then_some(place)
                };
                let dispatcher = Partition::named(0..n, place);
                let $handle = $builder.dispatcher(dispatcher).start().await.unwrap();
                let sending = $handle.clone();
                let output = Box::new(move |seat| sending.output_at(PartitionName(seat % n)));
                node!($handle, Some(output), $subscribe, forwarding!($handle))
            }
        }
    };
}

macro_rules! restarting {
    ($builder:ident, $failing:expr, $stage:expr) => {
        match $failing {
            Failing { restarts: true, .. } => {
                let again = $stage.clone();
                $builder.restart(policy(), move || again.clone())
            }
            _ => $builder,
        }
    };
}

pub(super) async fn source(source: Source, sending: &Sending) -> Node {
    let builder = stage::producer(source.clone()).buffer(buffer(sending));
    let builder = restarting!(builder, source.making.failing, source);
    dispatched!(builder, sending.dispatching, handle => None)
}

pub(super) async fn middle(middle: Middle, sending: &Sending) -> Node {
    let builder = stage::producer_consumer(middle.clone()).buffer(buffer(sending));
    let builder = restarting!(builder, middle.0.working.failing, middle);
    dispatched!(builder, sending.dispatching, handle => subscribing!(handle))
}

pub(super) async fn sink(sink: Sink) -> Node {
    let builder = stage::consumer(sink.clone());
    let builder = restarting!(builder, sink.0.working.failing, sink);
    let handle = builder.start().await.unwrap();
    node!(handle, None, subscribing!(handle), Box::new(|_| ()))
}

fn buffer(sending: &Sending) -> Buffer {
    let (keeping, size) = sending.buffer;
    match keeping {
        Keeping::All => Buffer::wait(size),
        Keeping::First => Buffer::keep_first(size),
        Keeping::Last => Buffer::keep_last(size),
    }
}

fn policy() -> RestartPolicy {
    RestartPolicy::default()
        .first(Duration::from_millis(4))
        .max(Duration::from_millis(20))
}
