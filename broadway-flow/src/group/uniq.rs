//! The first events of keys and windows.

use std::{hash::Hash, sync::Arc};

use broadway_core::Problem;

use super::{
    Grouped, KeyRoute,
    durability::KeysDurability,
    grouped::{CALL_DURABLE, behind},
    share::Share,
    uniq_sink::UniqSink,
};
use crate::{Flow, chain::Chain, machine::uniq::Uniq, sink::OperatorInfo, window::WindowKind};

impl<K, T, C, S, D> Grouped<K, T, C, S, D>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Send + 'static,
    C: Chain<Out = (K, T)>,
    D: KeysDurability<K>,
{
    /// Keeps the first event of each key and window, and emits it at once, with its own time. In sliding windows an event is emitted if it
    /// is the first in one of its windows.
    ///
    /// Windows must be fixed or sliding, or global. The first event is the one that arrives first. A message of an acknowledged source is settled when its event is
    /// out: after a restart without [snapshots](Flow::snapshots), a later event of the key may pass as the first one.
    ///
    /// # Limits
    ///
    /// Each worker holds the keys of the windows that are open, at most `keys_max`. One more ends the flow with an error of the kind
    /// [`Limit`](crate::FlowErrorKind::Limit).
    ///
    /// ```
    /// use broadway_flow::{EventTime, Flow, Timestamp, Windows};
    /// use std::time::Duration;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let visits = [("ada", 1), ("ada", 2), ("bob", 9), ("ada", 61)];
    /// let times = EventTime::new(|visit: &(&str, i64)| Timestamp::from_millis(visit.1 * 1_000));
    /// let first = Flow::from_iter(visits)
    ///     .event_time(times)
    ///     .partition(|visit| visit.0)
    ///     .window(Windows::fixed(Duration::from_secs(60)))
    ///     .uniq(1_000_000);
    /// let mut first = first.collect().await?;
    /// first.sort();
    /// assert_eq!(first, [("ada", 1), ("ada", 61), ("bob", 9)]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn uniq(mut self, keys_max: usize) -> Flow<T> {
        self.find_uniq_problems(keys_max);
        let options = self.flow.options.clone();
        let detail = format!("{}, at most {keys_max} keys per worker", self.windows);
        let info = OperatorInfo::detailed("uniq", detail);
        let info = Arc::new(info.saved_if(D::IS_DURABLE, CALL_DURABLE));
        let share = match self.only_key {
            Some(_) => Share::OfWorkers,
            None => Share::OfKeys,
        };
        let mut open = if share == Share::OfWorkers {
            let Flow { open, chain, .. } = self.flow;
            let mut open = open.erased(chain);
            open.plan.problems.extend(self.problems);
            open
        } else {
            let segment = self.flow.route(|_| KeyRoute::new());
            behind::<(K, T)>(segment, self.workers, self.problems)
        };
        open.plan.operators.push(Arc::clone(&info));
        let (kind, lateness, late) = (self.windows.kind, self.windows.lateness, self.late);
        let open = open.with(move |seat, next| {
            let keys = Uniq::new(kind, lateness, keys_max);
            let keys = keys.expect("other windows are refused at the start");
            UniqSink::<K, T, D>::new(keys, share, late.clone(), Arc::clone(&info), seat, next)
        });
        Flow::at(open, options)
    }

    fn find_uniq_problems(&mut self, keys_max: usize) {
        self.find_window_problems("uniq");
        let mut refuse = |message: &str| self.problems.push(Problem::new("uniq", message));
        match self.windows.kind {
            WindowKind::Global | WindowKind::Time { .. } => {}
            WindowKind::Count(_) | WindowKind::Session { .. } | WindowKind::Periodic { .. } => {
                refuse("needs fixed or sliding windows, or none");
            }
        }
        if self.windows.has_firing_options() {
            refuse("takes no options of firing: an event is emitted at once");
        }
        if self.flow.open.plan.is_sharded {
            refuse(
                "is not possible behind `repartition_through`: messages are settled before their windows end, so another instance would not know the keys that \
                 were there; aggregate by key instead, such as with `count`",
            );
        }
        if keys_max == 0 {
            self.problems
                .push(Problem::new("keys_max", "is 0: give at least 1"));
        }
    }
}
