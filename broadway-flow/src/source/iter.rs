//! [`IterSource`]: an iterator as a source.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use broadway_core::{
    BoxError, StartError,
    stage::{self, Context, Producer},
};
use futures_util::future::BoxFuture;

use super::{SourceInfo, StartSource, Started};
use crate::{
    live::{FlowState, ProgressUnit},
    sink::{Events, PACKET_EVENTS_MAX, Packet},
};

/// An iterator as a source.
pub(crate) struct IterSource<I> {
    items: I,
}

impl<I> IterSource<I> {
    pub(crate) const fn new(items: I) -> Self {
        Self { items }
    }
}

impl<I> StartSource for IterSource<I>
where
    I: Iterator<Item: Send + 'static> + Send + 'static,
{
    fn info(&self) -> SourceInfo {
        let (least, most) = self.items.size_hint();
        SourceInfo {
            kind: "iterator",
            detail: String::new(),
            is_bounded: true,
            is_acked: false,
            total: (Some(least) == most).then_some(least as u64),
            unit: ProgressUnit::Events,
        }
    }

    fn start(
        self: Box<Self>,
        _targets: usize,
        state: Arc<FlowState>,
    ) -> BoxFuture<'static, Result<Started, StartError>> {
        Box::pin(async move {
            let producer = IterProducer {
                items: self.items,
                state: Arc::clone(&state),
            };
            let builder = stage::producer(producer).name(state.stage_name("source"));
            let handle = builder.accumulate().start().await?;
            Ok(Started::shared(handle))
        })
    }
}

struct IterProducer<I> {
    items: I,
    state: Arc<FlowState>,
}

impl<I> Producer for IterProducer<I>
where
    I: Iterator<Item: Send + 'static> + Send + 'static,
{
    type Event = Packet;

    async fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<Packet>,
    ) -> Result<(), BoxError> {
        for _ in 0..demand {
            let (items, ended) = fill(&mut self.items);
            self.state
                .count_source(items.len() as u64, ProgressUnit::Events);
            if !items.is_empty() {
                cx.emit(Packet::of(0, Events::plain(items)));
            }
            if ended {
                cx.stop();
                break;
            }
        }
        Ok(())
    }
}

/// How long a packet of a slow iterator takes at most, if one event does not take longer.
const FILL_TIME: Duration = Duration::from_millis(5);

/// Takes the items of a packet. Returns whether the iterator has ended.
fn fill<T>(items: &mut impl Iterator<Item = T>) -> (Vec<T>, bool) {
    let began = Instant::now();
    let (least, _) = items.size_hint();
    let mut packet = Vec::with_capacity(least.min(PACKET_EVENTS_MAX));
    // The clock is read after 1, 2, 4, … items, so that a slow iterator is noticed early and a fast one pays nothing.
    let mut next_look = 1;
    while packet.len() < PACKET_EVENTS_MAX {
        let Some(item) = items.next() else {
            return (packet, true);
        };
        packet.push(item);
        if packet.len() == next_look {
            next_look *= 2;
            if began.elapsed() > FILL_TIME {
                break;
            }
        }
    }
    (packet, false)
}
