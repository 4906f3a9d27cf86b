//! [`StreamSource`]: a stream as a source.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};

use broadway_core::{
    BoxError, StartError,
    stage::{self, Context, Producer},
};
use futures_util::{Stream, future::BoxFuture};

use super::{SourceInfo, StartSource, Started};
use crate::{
    live::{FlowState, ProgressUnit},
    sink::{Events, PACKET_EVENTS_MAX, Packet},
};

/// A stream as a source.
pub(crate) struct StreamSource<S> {
    items: S,
}

impl<S> StreamSource<S> {
    pub(crate) const fn new(items: S) -> Self {
        Self { items }
    }
}

impl<S> StartSource for StreamSource<S>
where
    S: Stream<Item: Send + 'static> + Send + 'static,
{
    fn info(&self) -> SourceInfo {
        SourceInfo {
            kind: "stream",
            detail: String::new(),
            is_bounded: false,
            is_acked: false,
            total: None,
            unit: ProgressUnit::Events,
        }
    }

    fn start(
        self: Box<Self>,
        _targets: usize,
        state: Arc<FlowState>,
    ) -> BoxFuture<'static, Result<Started, StartError>> {
        Box::pin(async move {
            let producer = StreamProducer {
                items: Box::pin(self.items),
                state: Arc::clone(&state),
            };
            let builder = stage::producer(producer).name(state.stage_name("source"));
            let handle = builder.accumulate().start().await?;
            Ok(Started::shared(handle))
        })
    }
}

struct StreamProducer<S> {
    items: Pin<Box<S>>,
    state: Arc<FlowState>,
}

impl<S> Producer for StreamProducer<S>
where
    S: Stream<Item: Send + 'static> + Send + 'static,
{
    type Event = Packet;

    async fn handle_demand(&mut self, _: usize, _: &mut Context<Packet>) -> Result<(), BoxError> {
        Ok(())
    }

    /// Sends what the stream has ready, as one packet.
    fn poll_more(
        &mut self,
        task: &mut Task<'_>,
        cx: &mut Context<Packet>,
    ) -> Poll<Result<(), BoxError>> {
        let mut packet = Vec::new();
        let mut ended = false;
        while packet.len() < PACKET_EVENTS_MAX {
            match self.items.as_mut().poll_next(task) {
                Poll::Ready(Some(item)) => packet.push(item),
                Poll::Ready(None) => {
                    ended = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        if packet.is_empty() && !ended {
            return Poll::Pending;
        }
        self.state
            .count_source(packet.len() as u64, ProgressUnit::Events);
        if !packet.is_empty() {
            cx.emit(Packet::of(0, Events::plain(packet)));
        }
        if ended {
            cx.stop();
        }
        Poll::Ready(Ok(()))
    }
}
