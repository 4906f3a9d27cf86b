//! The buffer against a plain list that moves messages one at a time.

use broadway_core::machine::buffer::{EventBuffer, Keep};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Take(usize),
    /// Takes, and gives all back but this many.
    TakeAndGiveBack(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..12_usize).prop_map(Step::Push),
        2 => (0..12_usize).prop_map(Step::Take),
        1 => (0..12_usize, 0..4_usize).prop_map(|(n, kept)| Step::TakeAndGiveBack(n, kept)),
    ]
}

struct Model {
    queue: Vec<u32>,
    capacity: Option<usize>,
    keep: Keep,
}

impl Model {
    /// Each message that finds the buffer full costs one message: itself, or the oldest.
    fn push(&mut self, incoming: Vec<u32>) -> Vec<u32> {
        let mut discarded = Vec::new();
        for message in incoming {
            let is_full = self
                .capacity
                .is_some_and(|capacity| self.queue.len() >= capacity);
            match self.keep {
                Keep::First if is_full => discarded.push(message),
                Keep::Last if is_full => {
                    self.queue.push(message);
                    discarded.push(self.queue.remove(0));
                }
                _ => self.queue.push(message),
            }
        }
        discarded
    }

    fn take(&mut self, n: usize) -> Vec<u32> {
        self.queue.drain(..n.min(self.queue.len())).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_buffer_is_a_list(
        capacity in prop::option::of(0..20_usize),
        keep_first: bool,
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let keep = if keep_first { Keep::First } else { Keep::Last };
        let mut buffer = EventBuffer::new(capacity, keep);
        let mut model = Model { queue: Vec::new(), capacity, keep };
        let mut numbers = 0_u32..;
        // One list for everything, as a caller would reuse it.
        let mut list = Vec::new();
        for step in steps {
            list.clear();
            match step {
                Step::Push(n) => {
                    list.extend(numbers.by_ref().take(n));
                    let expected = model.push(list.clone());
                    let mut discarded = Vec::new();
                    buffer.push_or_discard(&mut list, &mut discarded);
                    prop_assert_eq!(discarded, expected);
                    prop_assert!(list.is_empty());
                }
                Step::Take(n) => {
                    prop_assert_eq!(buffer.take(n, &mut list), list.len());
                    prop_assert_eq!(&list, &model.take(n));
                }
                Step::TakeAndGiveBack(n, kept) => {
                    buffer.take(n, &mut list);
                    let taken = model.take(n);
                    let kept = kept.min(taken.len());
                    list.drain(..kept);
                    buffer.give_back(&mut list);
                    model.queue.splice(0..0, taken[kept..].iter().copied());
                    prop_assert!(list.is_empty());
                }
            }
            prop_assert!(buffer.iter().eq(model.queue.iter()));
            prop_assert_eq!((buffer.len(), buffer.is_empty()), (model.queue.len(), model.queue.is_empty()));
        }
    }
}
