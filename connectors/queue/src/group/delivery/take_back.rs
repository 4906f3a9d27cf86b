//! Records that are taken from their holders without a result: their leases ended, or their member left.

use super::{Delivery, Exception, Millis, State};

impl Delivery {
    /// Takes records whose lease has ended from their holders. Returns how many.
    pub(crate) fn expire(&mut self, now: Millis) -> usize {
        let mut expired = Vec::new();
        let mut start = self.watermark;
        while let Some(fresh) = self.fresh.pop_front_if(|fresh| fresh.until <= now) {
            let open = |offset: &u64| {
                !self.settled.contains(*offset) && !self.exceptions.contains_key(offset)
            };
            expired.extend((start.max(self.watermark)..fresh.end).filter(open));
            start = fresh.end;
        }
        let ended = |exception: &Exception| match exception.state {
            State::Leased { until } => until <= now,
            State::Waiting { .. } => false,
        };
        let again = self
            .exceptions
            .iter()
            .filter(|(_, exception)| ended(exception));
        expired.extend(again.map(|(offset, _)| *offset));
        // In the order of offsets: the first of a lane takes the later ones with it, which then wait behind it.
        expired.sort_unstable();
        for offset in &expired {
            let delivery = match self.exceptions.get(offset) {
                None => 1,
                Some(Exception {
                    state: State::Leased { .. },
                    delivery,
                    ..
                }) => *delivery,
                Some(Exception {
                    state: State::Waiting { .. },
                    ..
                }) => continue,
            };
            self.generation += 1;
            self.give_back(*offset, delivery.saturating_add(1), now, now, true);
        }
        expired.len()
    }

    /// Takes all records from their holders, to be delivered again at once. Returns how many.
    pub(crate) fn return_leased(&mut self, now: Millis) -> usize {
        let open = |offset: &u64| !self.settled.contains(*offset);
        let leased: Vec<u64> = (self.watermark..self.cursor).filter(open).collect();
        let mut returned = 0;
        for offset in leased {
            let delivery = match self.exceptions.get(&offset) {
                None => 1,
                Some(Exception {
                    state: State::Leased { .. },
                    delivery,
                    ..
                }) => *delivery,
                Some(_) => continue,
            };
            self.give_back(offset, delivery, now, now, false);
            returned += 1;
        }
        self.fresh.clear();
        returned
    }
}
