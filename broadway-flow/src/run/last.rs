//! [`Last`]: a worker of the last segment, which sends nothing.

use std::{convert::Infallible, time::Duration};

use broadway_core::{
    BoxError,
    stage::{Consumer, Context, End, Subscription, Timer},
};

use super::{middle::period, worker::Worker};
use crate::sink::Packet;

/// A worker of the last segment, which sends nothing.
pub(crate) struct Last {
    worker: Worker,
    tick: Option<Duration>,
}

impl Last {
    pub(super) const fn new(worker: Worker) -> Self {
        Self { worker, tick: None }
    }
}

impl Consumer for Last {
    type Event = Packet;

    async fn init(&mut self, cx: &mut Context<Infallible>) -> Result<(), BoxError> {
        self.tick = self.worker.tick_period()?.map(period);
        if let Some(period) = self.tick {
            cx.start_timer(period);
        }
        Ok(())
    }

    async fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        _cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.worker.subscribed(producer);
        Ok(())
    }

    async fn handle_events(
        &mut self,
        events: &mut Vec<Packet>,
        from: &Subscription,
        _cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.worker.packets(events, from)?;
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        // Behind a producer that failed, this stage fails as well.
        if !matches!(end, End::Normal) {
            return Ok(());
        }
        let (_, is_last) = self.worker.ended(producer)?;
        if is_last {
            cx.stop();
        }
        Ok(())
    }

    async fn handle_timer(
        &mut self,
        _timer: Timer,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.worker.tick()?;
        if let Some(period) = self.tick {
            cx.start_timer(period);
        }
        Ok(())
    }
}
