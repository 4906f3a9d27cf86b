//! [`UniqSink`]: passes on the first event of each key and window.

use std::{hash::Hash, marker::PhantomData, sync::Arc};

use super::{
    durability::KeysDurability,
    late::{LateEvents, LateOutput},
    share::Share,
};
use crate::{
    At, FlowError, FlowErrorKind,
    machine::uniq::{Seen, Uniq},
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
    state::SavedState,
};

/// Passes on the first event of each key and window.
pub(crate) struct UniqSink<K, T, D> {
    keys: Uniq<K>,
    share: Share,
    late: LateEvents<K, T>,
    meter: Meter,
    seat: Seat,
    next: Box<dyn Sink<T>>,
    durability: PhantomData<fn(D)>,
}

impl<K, T, D> UniqSink<K, T, D>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Send + 'static,
    D: KeysDurability<K>,
{
    pub(crate) fn new(
        keys: Uniq<K>,
        share: Share,
        late: LateOutput<K, T>,
        info: Arc<OperatorInfo>,
        seat: &Seat,
        next: Box<dyn Sink<T>>,
    ) -> Self {
        Self {
            keys,
            share,
            late: LateEvents::new(late),
            meter: Meter::new(info),
            seat: seat.clone(),
            next,
            durability: PhantomData,
        }
    }

    #[cold]
    fn failed(&self, kind: FlowErrorKind, text: String) -> FlowError {
        FlowError::new(self.meter.info().to_string(), kind, text)
    }

    #[cold]
    fn full(&self) -> FlowError {
        let text = format!(
            "a worker holds {} keys: raise `keys_max`, or use shorter windows",
            self.keys.len(),
        );
        self.failed(FlowErrorKind::Limit, text)
    }

    fn save(&self, saved: &mut Vec<SavedState>) -> Pushed {
        let bytes = D::save(&self.keys).map_err(|problem| {
            let text = format!("cannot save its state: {problem}");
            self.failed(FlowErrorKind::Stage, text)
        })?;
        saved.extend(bytes.map(|bytes| SavedState {
            owner: self.meter.info().owner(),
            worker: self.seat.worker,
            bytes,
        }));
        Ok(())
    }

    fn load(&mut self, saved: &[SavedState]) -> Pushed {
        if saved.is_empty() {
            return Ok(());
        }
        let own = self.share.of(saved, &self.seat);
        let parts: Vec<&[u8]> = own.map(|state| &state.bytes[..]).collect();
        let keep = |key: &K| self.share.keeps(key, &self.seat);
        D::load(&mut self.keys, &parts, &keep).map_err(|problem| {
            let text = format!("cannot restore its state: {problem}");
            self.failed(FlowErrorKind::Stage, text)
        })
    }
}

impl<K, T, D> Sink<(K, T)> for UniqSink<K, T, D>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Send + 'static,
    D: KeysDurability<K>,
{
    #[inline]
    fn push(&mut self, (key, event): (K, T), at: At) -> Pushed {
        // The machine takes the key. No event is late that is not behind the watermark.
        let copy = (at.time < self.keys.last_watermark()).then(|| key.clone());
        let Self { keys, meter, .. } = self;
        match meter.call(|| keys.insert(key, at)) {
            Seen::First => self.next.push(event, at),
            Seen::Again => Ok(()),
            Seen::Full => Err(self.full()),
            Seen::Late => {
                let key = copy.expect("a late event is behind the watermark");
                self.late.handle(key, event, at.time, &self.meter);
                Ok(())
            }
        }
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        match signal {
            Signal::Watermark(to) => self.keys.watermark(*to),
            Signal::Save(saved) => self.save(saved)?,
            Signal::Load(load) => {
                let owner = self.meter.info().owner();
                self.load(load.of(&owner))?;
            }
            _ => {}
        }
        self.next.signal(signal)
    }
}

#[cfg(test)]
mod tests;
