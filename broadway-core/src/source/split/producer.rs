//! [`SplitProducer`]: delivers the parts of one item after the other.

use std::{
    collections::VecDeque,
    fmt, mem,
    num::NonZeroUsize,
    pin::{Pin, pin},
    sync::Arc,
};

use futures_util::future;
use tokio::task;

use super::{
    SplitAcknowledger,
    average::PartsPerItem,
    joint::{JointState, PartToken},
};
use crate::{
    ack::{Acknowledger, Outcome, Settled},
    caught::{Panicked, guarded},
    error::{BoxError, Callback, Reason},
    source::{Delivery, OpenContext, Produced, SourceProducer, TokenOf},
    telemetry::{AffectedMessages, Emitter, Event, MessageInfo},
};

/// The producer of [`SourceExt::split`](crate::source::SourceExt::split).
pub struct SplitProducer<P: SourceProducer, F, I: Iterator> {
    inner: P,
    f: Arc<F>,
    acknowledger: Arc<SplitAcknowledger<P::Acknowledger>>,
    /// What the source appends to, and what it left there when a call of ours was dropped.
    fetched: Vec<Delivery<P::Item, TokenOf<P>>>,
    /// Items that are not split yet.
    waiting: VecDeque<Delivery<P::Item, TokenOf<P>>>,
    current: Option<Parts<I, TokenOf<P>>>,
    average: PartsPerItem,
    /// The acknowledger's generation when stale items were last released.
    generation: u64,
    has_stopped: bool,
    /// How the source ended, which is reported after the last part.
    end: Option<Result<(), BoxError>>,
    /// Items without parts, and lost ones: no part settles them.
    own: Vec<Settled<TokenOf<P>>>,
    /// Runs on when a call of `produce` is dropped.
    settling: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    emitter: Emitter,
    number: usize,
}

/// The parts of an item that are still to be delivered: one at least.
struct Parts<I: Iterator, K> {
    next: I::Item,
    rest: I,
    share: PartToken<K>,
}

impl<P, F, I> SplitProducer<P, F, I>
where
    P: SourceProducer,
    I: Iterator,
{
    pub(super) fn new(
        inner: P,
        f: Arc<F>,
        acknowledger: SplitAcknowledger<P::Acknowledger>,
        cx: &OpenContext,
    ) -> Self {
        Self {
            inner,
            f,
            generation: acknowledger.generation(),
            acknowledger: Arc::new(acknowledger),
            fetched: Vec::new(),
            waiting: VecDeque::new(),
            current: None,
            average: PartsPerItem::default(),
            has_stopped: false,
            end: None,
            own: Vec::new(),
            settling: None,
            emitter: cx.emitter().clone(),
            number: cx.producer(),
        }
    }

    /// Delivers the parts that are at hand, at most `demand`.
    fn deliver<T>(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<I::Item, PartToken<TokenOf<P>>>>,
    ) where
        F: Fn(P::Item) -> T,
        T: IntoIterator<Item = I::Item, IntoIter = I>,
    {
        for _ in 0..demand.get() {
            let parts = self.current.take().or_else(|| self.split_next());
            let Some(Parts {
                next,
                mut rest,
                share,
            }) = parts
            else {
                return;
            };
            self.average.count_part();
            match guarded(|| rest.next()) {
                // The last part takes the producer's own share with it.
                Ok(None) => out.push(Delivery::new(next, share)),
                Ok(Some(following)) => {
                    out.push(Delivery::new(next, share.share()));
                    self.current = Some(Parts {
                        next: following,
                        rest,
                        share,
                    });
                }
                Err(panicked) => {
                    out.push(Delivery::new(next, share.share()));
                    let info = self.acknowledger.describe(&share);
                    let outcome = self.failed(panicked, &info);
                    self.own.extend(self.acknowledger.end(share, outcome, None));
                }
            }
        }
    }

    /// Splits the next item that has parts.
    fn split_next<T>(&mut self) -> Option<Parts<I, TokenOf<P>>>
    where
        F: Fn(P::Item) -> T,
        T: IntoIterator<Item = I::Item, IntoIter = I>,
    {
        while let Some(Delivery { item, token }) = self.waiting.pop_front() {
            self.average.count_item();
            let split = guarded(|| {
                let mut rest = (self.f)(item).into_iter();
                rest.next().map(|next| (next, rest))
            });
            match split {
                Ok(Some((next, rest))) => {
                    let share = PartToken::new(token);
                    return Some(Parts { next, rest, share });
                }
                Ok(None) => self.own.push(Settled::done(token)),
                Err(panicked) => {
                    let info = self.acknowledger.inner().describe(&token);
                    let outcome = self.failed(panicked, &info);
                    self.own.push(Settled::new(token, outcome, None));
                }
            }
        }
        None
    }

    /// The outcome of an item on which the function, or its iterator, has panicked. Other items go on.
    #[cold]
    fn failed(&self, panicked: Panicked, info: &MessageInfo) -> Outcome {
        let reason = panicked.reason(Callback::Produce);
        let error = format!("an item ({info}) cannot be split, and fails: {reason}");
        self.emitter.emit(&Event::SourceError {
            producer: self.number,
            error: &error,
        });
        Outcome::Failed(reason)
    }

    /// Releases the items that the source has lost since they were fetched. The pipeline compares generations only from the delivery on.
    fn release_stale(&mut self) {
        let generation = self.acknowledger.generation();
        if generation != self.generation {
            self.generation = generation;
            self.release(P::Acknowledger::is_stale);
        }
    }

    /// Releases the undelivered parts of the items for which `is_released` returns `true`, or of which a part was released.
    fn release(&mut self, is_released: fn(&P::Acknowledger, &TokenOf<P>) -> bool) {
        let acknowledger = &self.acknowledger;
        let is_released = |token: &_| is_released(acknowledger.inner(), token);
        let is_over = |parts: &mut Parts<_, _>| {
            let over = |item: &mut JointState<_>| item.is_released() || is_released(&item.token);
            parts.share.with(over).unwrap_or(false)
        };
        if let Some(parts) = self.current.take_if(is_over) {
            let ended = acknowledger.end(parts.share, Outcome::Released, None);
            self.own.extend(ended);
        }
        let (released, kept) = mem::take(&mut self.waiting)
            .into_iter()
            .partition(|item| is_released(&item.token));
        self.waiting = kept;
        let released: VecDeque<Delivery<_, _>> = released;
        let settled = |item: Delivery<_, _>| Settled::new(item.token, Outcome::Released, None);
        self.own.extend(released.into_iter().map(settled));
    }

    /// Settles the items of which no part is left with the pipeline.
    async fn settle_own(&mut self) {
        loop {
            if let Some(settling) = &mut self.settling {
                settling.await;
                self.settling = None;
            }
            if self.own.is_empty() {
                return;
            }
            let mut items = mem::take(&mut self.own);
            let acknowledger = Arc::clone(&self.acknowledger);
            let (emitter, producer) = (self.emitter.clone(), self.number);
            self.settling = Some(Box::pin(async move {
                let count = items.len();
                if let Err(error) = acknowledger.hand_over(&mut items).await {
                    let describe = |at: usize| acknowledger.inner().describe(&items[at].token);
                    emitter.emit(&Event::AckFailed {
                        producer,
                        count,
                        reason: &Reason::error(Callback::Settle, error),
                        affected: AffectedMessages::new(items.len(), &describe),
                    });
                }
            }));
        }
    }
}

impl<P, F, T> SourceProducer for SplitProducer<P, F, T::IntoIter>
where
    P: SourceProducer,
    F: Fn(P::Item) -> T + Send + Sync + 'static,
    T: IntoIterator<Item: Send + 'static, IntoIter: Send + 'static>,
{
    type Item = T::Item;
    type Acknowledger = SplitAcknowledger<P::Acknowledger>;

    fn acknowledger(&self) -> Arc<Self::Acknowledger> {
        Arc::clone(&self.acknowledger)
    }

    // Cancel safe: what a dropped call has fetched or begun to settle stays in `self`.
    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<T::Item, TokenOf<Self>>>,
    ) -> Result<Produced, BoxError> {
        let before = out.len();
        loop {
            self.waiting.extend(self.fetched.drain(..));
            self.release_stale();
            self.deliver(demand, out);
            if out.len() > before {
                // Without a wait: the parts are to be handled.
                let _ = future::poll_immediate(pin!(self.settle_own())).await;
                return Ok(Produced::More);
            }
            self.settle_own().await;
            if let Some(end) = self.end.take() {
                return end.map(|()| Produced::End);
            }
            if self.has_stopped {
                return Ok(Produced::End);
            }
            let items = self.average.items_for(demand);
            match self.inner.produce(items, &mut self.fetched).await {
                // The source may have nothing: the pipeline pauses then, and does not call again at once.
                Ok(Produced::More) if self.fetched.is_empty() => return Ok(Produced::More),
                Ok(Produced::More) => {}
                Ok(Produced::End) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error)),
            }
            // A source may always have items, and none with parts: other tasks of this thread get their turn.
            task::coop::consume_budget().await;
        }
    }

    async fn stop(&mut self) {
        self.inner.stop().await;
        self.has_stopped = true;
        self.waiting.extend(self.fetched.drain(..));
        // What the source delivers again is released, even if some parts are on their way. The pipeline takes the rest.
        self.release(P::Acknowledger::redelivers);
        self.settle_own().await;
    }

    fn has_rest(&self) -> bool {
        self.has_stopped && (self.current.is_some() || !self.waiting.is_empty())
    }

    async fn close(mut self) -> Result<(), BoxError> {
        self.settle_own().await;
        self.inner.close().await
    }
}

impl<P: SourceProducer, F, I: Iterator> fmt::Debug for SplitProducer<P, F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitProducer").finish_non_exhaustive()
    }
}
