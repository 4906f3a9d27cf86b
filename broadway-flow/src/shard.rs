//! Shards: the state of the partitions of a source, each on its own, so that it can go away with its partition.
//!
//! In a segment behind a sharded source, each worker runs a copy of the operators for each partition that it has. A partition that another instance takes over is
//! dropped with its state, which that instance rebuilds: the source is settled only up to the oldest event of a window that is not out, so its events come
//! again. What the other instance must know besides is which windows are out already. That is the *progress* of a commit: the watermark of the partition at the
//! barrier at which its messages were settled. Windows that end before it stay closed.

use std::{any::Any, collections::HashMap};

use crate::{
    FlowError, FlowErrorKind, Timestamp,
    epoch::Epoch,
    sink::{Entry, Events, Pushed, Seat, Signal, Sink, SinkFactory},
    state::ShardHold,
};

/// What a sharded source sends.
pub(crate) enum ShardPacket<T> {
    /// Events of one shard. If it is new, results up to `progress` are out.
    Events {
        shard: u64,
        progress: Option<Timestamp>,
        events: Events<T>,
    },
    /// Another instance has the shard.
    Drop(u64),
}

/// The operators of a worker, once for each shard.
pub(crate) struct ShardedEntry<T> {
    make: SinkFactory<T>,
    seat: Seat,
    shards: HashMap<u64, Shard<T>>,
}

struct Shard<T> {
    sink: Box<dyn Sink<T>>,
    /// Whether it had events or a tick since the last flush.
    is_touched: bool,
}

impl<T: Send + 'static> ShardedEntry<T> {
    pub(crate) fn new(make: SinkFactory<T>, seat: &Seat) -> Self {
        Self {
            make,
            seat: seat.clone(),
            shards: HashMap::new(),
        }
    }

    fn shard(
        &mut self,
        shard: u64,
        progress: Option<Timestamp>,
    ) -> Result<&mut Shard<T>, FlowError> {
        if !self.shards.contains_key(&shard) {
            let mut sink = (self.make)(&self.seat);
            if let Some(at) = progress {
                sink.signal(&mut Signal::Resume(at))?;
            }
            let is_touched = false;
            self.shards.insert(shard, Shard { sink, is_touched });
        }
        Ok(self.shards.get_mut(&shard).expect("just made"))
    }

    fn holds(&mut self, list: &mut Vec<ShardHold>) -> Pushed {
        for (shard, entry) in &mut self.shards {
            let (mut holds, mut frontier) = (Epoch::NONE, None);
            entry.sink.signal(&mut Signal::Holds(&mut holds))?;
            entry.sink.signal(&mut Signal::Frontier(&mut frontier))?;
            list.push(ShardHold {
                shard: *shard,
                holds,
                frontier,
            });
        }
        Ok(())
    }
}

impl<T: Send + 'static> Entry for ShardedEntry<T> {
    fn events(&mut self, events: Box<dyn Any + Send>) -> Pushed {
        let packet = events
            .downcast::<ShardPacket<T>>()
            .map_err(|_| FlowError::new("a boundary", FlowErrorKind::Stage, "mixed types"))?;
        match *packet {
            ShardPacket::Events {
                shard,
                progress,
                events,
            } => {
                let shard = self.shard(shard, progress)?;
                shard.is_touched = true;
                shard
                    .sink
                    .push_all(events.events, events.times, events.since)
            }
            ShardPacket::Drop(shard) => {
                self.shards.remove(&shard);
                Ok(())
            }
        }
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        match signal {
            Signal::Shards(list) => self.holds(list),
            Signal::TickPeriod(_) => {
                // Shards come later, so an operator of a first one is asked.
                let mut sink = (self.make)(&self.seat);
                sink.signal(signal)
            }
            _ => {
                let is_flush = matches!(signal, Signal::Flush);
                let is_tick = matches!(signal, Signal::Tick(_));
                for shard in self.shards.values_mut() {
                    // Windows may have fired.
                    shard.is_touched |= is_tick;
                    if !is_flush || shard.is_touched {
                        shard.sink.signal(signal)?;
                        shard.is_touched &= !is_flush;
                    }
                }
                Ok(())
            }
        }
    }
}
