//! The saved state of sliding windows.

use std::hash::Hash;

use super::{
    super::{
        key::{Known, Owned},
        queue::Queue,
        saved::{Content, SavedQueue},
        stacks::Stacks,
    },
    Sliding,
};
use crate::{Aggregate, Timestamp};

impl<T, K: Hash + Eq + Clone, A: Aggregate<T>> Sliding<T, K, A> {
    pub(in super::super) fn save(&self) -> Content<&K, &A::State> {
        let panes = self.panes.iter();
        let queues = self.queues.iter().map(|(key, queue)| {
            let [front, back] = queue.panes.as_saved();
            SavedQueue {
                key,
                front,
                back,
                fired_below: queue.fired_below.max(self.ended),
            }
        });
        Content::Sliding {
            panes: panes
                .map(|(pane, key, part)| (pane, key, part.as_ref()))
                .collect(),
            sealed: queues.collect(),
            late: self.late.save(),
        }
    }

    /// Adds saved state. `saved` is the watermark that it was saved with, `watermark` the new one of the machine.
    pub(in super::super) fn load(
        &mut self,
        content: Content<K, A::State>,
        keep: impl Fn(&K) -> bool,
        saved: Timestamp,
        watermark: Timestamp,
    ) -> Result<(), String> {
        let Content::Sliding {
            panes,
            sealed,
            late,
        } = content
        else {
            return Err("the window state is not from windows of this kind".to_owned());
        };
        let ended = self.grid.ended_below(saved, 0);
        let sealed_below = self.grid.sealed_below(ended);
        for queue in sealed.into_iter().filter(|queue| keep(&queue.key)) {
            self.load_queue(queue)?;
        }
        for (pane, key, part) in panes.into_iter().filter(|(_, key, _)| keep(key)) {
            if i128::from(pane) < sealed_below {
                self.queues.entry(Known(&key), || Queue::new(ended));
                self.loaded = self.loaded.max(ended);
            }
            self.add_pane(Owned(key), pane, part);
        }
        let merge = |state: &mut A::State, other| self.aggregate.merge(state, other);
        for (window, key, part) in late.into_iter().filter(|(_, key, _)| keep(key)) {
            self.late.add(window, &key, part, &merge);
        }
        self.ended = self.grid.ended_below(watermark, 0);
        self.closed = self.grid.ended_below(watermark, self.lateness);
        self.sealed = self.grid.sealed_below(self.ended.max(self.loaded));
        Ok(())
    }

    fn load_queue(&mut self, saved: SavedQueue<K, A::State>) -> Result<(), String> {
        let aggregate = &self.aggregate;
        let merge = |state: &mut A::State, other| aggregate.merge(state, other);
        let fired_below = saved.fired_below;
        let (_, queue) = self
            .queues
            .entry(Owned(saved.key), || Queue::new(fired_below));
        if queue.fired_below != fired_below {
            return Err(
                "two saved states of sliding windows have the same key and different watermarks"
                    .to_owned(),
            );
        }
        self.loaded = self.loaded.max(fired_below);
        let panes = Stacks::restore(saved.front, saved.back, &merge);
        queue.panes.join(panes, &merge);
        Ok(())
    }
}
