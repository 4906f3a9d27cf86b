//! A source whose producers act in different ways.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use broadway::{
    BoxError,
    source::{Delivery, NoopAcknowledger, OpenContext, Produced, Source, SourceProducer},
};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// A message: the producer that made it, and when.
pub(crate) struct Made {
    pub(crate) producer: usize,
    pub(crate) at: Instant,
}

/// How a producer makes its messages.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// One at each tick.
    Every(Duration),
    /// As many as are demanded, at once, until `left` are made. Each call first computes, then blocks its thread.
    AtOnce {
        left: u64,
        computes: Duration,
        blocks: Duration,
    },
}

/// Opens a producer for each pace.
pub(crate) struct Paced(pub(crate) Vec<Pace>);

impl Source for Paced {
    type Producer = PacedProducer;

    async fn open(&self, cx: &OpenContext) -> Result<PacedProducer, BoxError> {
        let pace = self.0[cx.producer()];
        let ticks = match pace {
            Pace::Every(period) => {
                let mut ticks = interval(period);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
                Some(ticks)
            }
            Pace::AtOnce { .. } => None,
        };
        let producer = cx.producer();
        Ok(PacedProducer {
            producer,
            pace,
            ticks,
        })
    }
}

pub(crate) struct PacedProducer {
    producer: usize,
    pace: Pace,
    ticks: Option<Interval>,
}

impl SourceProducer for PacedProducer {
    type Item = Made;
    type Acknowledger = NoopAcknowledger;

    fn acknowledger(&self) -> Arc<NoopAcknowledger> {
        Arc::new(NoopAcknowledger)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<Made, ()>>,
    ) -> Result<Produced, BoxError> {
        let producer = self.producer;
        if let Some(ticks) = &mut self.ticks {
            ticks.tick().await;
            let at = Instant::now();
            out.push(Delivery::new(Made { producer, at }, ()));
            return Ok(Produced::More);
        }
        let Pace::AtOnce {
            left,
            computes,
            blocks,
        } = &mut self.pace
        else {
            unreachable!("the other pace has ticks");
        };
        compute(*computes);
        if !blocks.is_zero() {
            thread::sleep(*blocks);
        }
        let count = (*left).min(demand.get() as u64);
        *left -= count;
        let at = Instant::now();
        out.extend((0..count).map(|_| Delivery::new(Made { producer, at }, ())));
        Ok(if *left == 0 {
            Produced::End
        } else {
            Produced::More
        })
    }
}

/// Keeps the thread busy.
pub(crate) fn compute(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}
