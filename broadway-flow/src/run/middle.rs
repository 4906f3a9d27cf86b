//! [`Middle`]: a worker whose output goes to other workers.

use std::time::Duration;

use broadway_core::{
    BoxError,
    stage::{Context, End, ProducerConsumer, Subscription, Timer},
};

use super::worker::Worker;
use crate::sink::Packet;

/// A worker whose output goes to other workers.
pub(crate) struct Middle {
    worker: Worker,
    tick: Option<Duration>,
}

impl Middle {
    pub(super) const fn new(worker: Worker) -> Self {
        Self { worker, tick: None }
    }
}

impl ProducerConsumer for Middle {
    type In = Packet;
    type Out = Packet;

    async fn init(&mut self, cx: &mut Context<Packet>) -> Result<(), BoxError> {
        self.tick = self.worker.tick_period()?.map(period);
        if let Some(period) = self.tick {
            cx.start_timer(period);
        }
        Ok(())
    }

    async fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        _cx: &mut Context<Packet>,
    ) -> Result<(), BoxError> {
        self.worker.subscribed(producer);
        Ok(())
    }

    async fn handle_events(
        &mut self,
        events: &mut Vec<Packet>,
        from: &Subscription,
        cx: &mut Context<Packet>,
    ) -> Result<(), BoxError> {
        let packets = self.worker.packets(events, from)?;
        cx.emit_all(packets);
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        cx: &mut Context<Packet>,
    ) -> Result<(), BoxError> {
        // Behind a producer that failed, this stage fails as well.
        if !matches!(end, End::Normal) {
            return Ok(());
        }
        let (packets, is_last) = self.worker.ended(producer)?;
        cx.emit_all(packets);
        if is_last {
            cx.stop();
        }
        Ok(())
    }

    async fn handle_timer(
        &mut self,
        _timer: Timer,
        cx: &mut Context<Packet>,
    ) -> Result<(), BoxError> {
        let packets = self.worker.tick()?;
        cx.emit_all(packets);
        if let Some(period) = self.tick {
            cx.start_timer(period);
        }
        Ok(())
    }
}

/// The time between two ticks.
pub(super) fn period(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(1).max(1))
}
