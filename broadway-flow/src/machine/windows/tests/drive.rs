//! [`Drive`]: takes the machine and the oracle through the same steps, and compares them after each.

use proptest::prelude::*;

use super::{
    super::{Fired, Owned, WindowState},
    collect::Collect,
    oracle::{Oracle, Out},
};
use crate::{
    AfterFiring, At, Decision, LateFiring, Timestamp, Window, Windows,
    epoch::Epoch,
    window::{EarlyFiring, WindowKind},
};

#[derive(Debug, Clone)]
pub(super) enum Step {
    Add {
        key: u8,
        time: i64,
        since: u64,
    },
    Watermark(i64),
    Tick(i64),
    Reload,
    /// Distributes the keys over two machines.
    Split,
    /// Brings them together.
    Join,
}

pub(super) type Machine<const M: bool> = WindowState<i64, u8, Collect<M>>;

pub(super) struct Drive<const M: bool> {
    windows: Windows<i64>,
    machines: Vec<Machine<M>>,
    oracle: Oracle,
    now: i64,
    event: i64,
}

impl<const M: bool> Drive<M> {
    pub(super) fn new(windows: &Windows<i64>) -> Self {
        Self {
            windows: windows.clone(),
            machines: vec![Machine::new(windows, Collect, Some(0))],
            oracle: Oracle::new(windows.clone(), Some(0)),
            now: 0,
            event: 0,
        }
    }

    pub(super) fn run(mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        for step in steps {
            self.step(step)?;
        }
        let expected = self.oracle.finish();
        let found = self.each(|machine, mut emit| machine.finish(&mut emit))?;
        same(found, expected)?;
        self.compare()?;
        for machine in &self.machines {
            prop_assert_eq!(machine.len(), 0);
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Add { key, time, since } => self.add(key, time, Epoch(since))?,
            Step::Watermark(to) => {
                let expected = self.oracle.watermark(to);
                let to = Timestamp::from_millis(to);
                let found = self.each(|machine, mut emit| machine.watermark(to, &mut emit))?;
                same(found, expected)?;
            }
            Step::Tick(by) => {
                self.now += by;
                let now = self.now;
                let expected = self.oracle.tick(now);
                let found = self.each(|machine, mut emit| machine.tick(now, &mut emit))?;
                same(found, expected)?;
            }
            Step::Reload => {
                for machine in &mut self.machines {
                    *machine = load(&self.windows, &[machine.save()], |_| true);
                }
                self.oracle.restart();
            }
            Step::Split if self.machines.len() == 1 && !self.windows.empty => {
                let saved = [self.machines[0].save()];
                let even = load(&self.windows, &saved, |key| key % 2 == 0);
                let odd = load(&self.windows, &saved, |key| key % 2 == 1);
                self.machines = vec![even, odd];
                self.oracle.restart();
            }
            Step::Join if self.machines.len() == 2 => {
                let saved: Vec<_> = self.machines.iter().map(Machine::save).collect();
                self.machines = vec![load(&self.windows, &saved, |_| true)];
                self.oracle.restart();
            }
            Step::Split | Step::Join => {}
        }
        self.compare()
    }

    fn add(&mut self, key: u8, time: i64, since: Epoch) -> Result<(), TestCaseError> {
        self.event += 1;
        let event = self.event;
        let (expected, late) = self.oracle.add(key, event, time, since);
        let at = At {
            time: Timestamp::from_millis(time),
            since,
        };
        let position = usize::from(key) % self.machines.len();
        let mut found = Vec::new();
        let result =
            self.machines[position].add(Owned(key), event, at, &mut |fired| found.push(fired));
        prop_assert_eq!(result, if late { Err(event) } else { Ok(()) });
        prop_assert_eq!(found, expected);
        Ok(())
    }

    /// Calls each machine, and checks the order of its results.
    fn each(
        &mut self,
        call: impl Fn(&mut Machine<M>, &mut dyn FnMut(Out)),
    ) -> Result<Vec<Out>, TestCaseError> {
        let mut all = Vec::new();
        for machine in &mut self.machines {
            let mut found = Vec::new();
            call(machine, &mut |fired| found.push(fired));
            let order = found.iter().filter_map(order);
            prop_assert!(order.is_sorted(), "not in the order of ends: {:?}", found);
            all.extend(found);
        }
        Ok(all)
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let since = self.machines.iter().map(Machine::since).min();
        prop_assert_eq!(since, Some(self.oracle.since()));
        let sliding =
            matches!(self.windows.kind, WindowKind::Time { size, slide, .. } if slide < size);
        if !sliding {
            let len: usize = self.machines.iter().map(Machine::len).sum();
            prop_assert_eq!(len, self.oracle.len());
        }
        Ok(())
    }
}

/// Loads saved states into a new machine.
pub(super) fn load<const M: bool>(
    windows: &Windows<i64>,
    saved: &[Vec<u8>],
    keep: impl Fn(&u8) -> bool,
) -> Machine<M> {
    let mut machine = Machine::new(windows, Collect, Some(0));
    for saved in saved {
        machine.load(saved, &keep).expect("just saved");
    }
    machine
}

/// Compares results of which the keys come in any order.
pub(super) fn same(found: Vec<Out>, expected: Vec<Out>) -> Result<(), TestCaseError> {
    prop_assert_eq!(sorted(found), sorted(expected));
    Ok(())
}

fn sorted(mut all: Vec<Out>) -> Vec<Out> {
    all.sort_by_key(|fired| (fired.window, fired.key, fired.firing as u8));
    all
}

fn order(fired: &Fired<u8, Vec<i64>>) -> Option<(Timestamp, Timestamp)> {
    match fired.window {
        Window::Time { start, end } => Some((end, start)),
        _ => None,
    }
}

/// Options of any kind of windows. `kinds` makes the kinds.
pub(super) fn windows(
    kinds: impl Strategy<Value = WindowKind>,
) -> impl Strategy<Value = Windows<i64>> {
    let lateness = prop_oneof![3 => Just(0), 4 => 1..25_i64, 1 => Just(i64::MAX)];
    let early = prop_oneof![
        4 => Just(EarlyFiring::Never),
        2 => (1..5_u64).prop_map(EarlyFiring::Every),
        1 => Just(EarlyFiring::Periodic(3)),
        2 => Just(custom()),
    ];
    let options = (lateness, early, any::<bool>(), any::<bool>(), any::<bool>());
    (kinds, options).prop_map(|(kind, (lateness, early, close, discard, empty))| {
        let mut windows = Windows::global();
        windows.kind = kind;
        windows.lateness = lateness;
        windows.early = early;
        if close {
            windows.late = LateFiring::AtClose;
        }
        if discard {
            windows.after = AfterFiring::Discard;
        }
        if let WindowKind::Time { size, slide, .. } = kind {
            windows.empty = empty && size == slide;
            if slide < size {
                windows.early = EarlyFiring::Never;
            }
        }
        windows
    })
}

/// A trigger with state.
fn custom() -> EarlyFiring<i64> {
    let decide = |calls: &mut u64, event: &i64| {
        *calls += 1;
        match (*event % 4, *calls % 3) {
            (0, _) => Decision::FireBefore,
            (_, 0) => Decision::Fire,
            _ => Decision::Continue,
        }
    };
    Windows::global().trigger(|| 0, decide).early
}

/// Steps of one run.
pub(super) fn steps(extremes: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => add(extremes),
        4 => watermark(),
        1 => (0..12_i64).prop_map(Step::Tick),
    ];
    proptest::collection::vec(step, 0..40)
}

/// Steps with restarts between them.
pub(super) fn steps_with_restarts() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => add(true),
        4 => watermark(),
        1 => (0..12_i64).prop_map(Step::Tick),
        1 => Just(Step::Reload),
        1 => Just(Step::Split),
        1 => Just(Step::Join),
    ];
    proptest::collection::vec(step, 0..40)
}

fn add(extremes: bool) -> impl Strategy<Value = Step> {
    let far = prop_oneof![
        Just(i64::MIN),
        Just(i64::MIN + 1),
        Just(i64::MAX - 3),
        Just(i64::MAX)
    ];
    let time = prop_oneof![
        if extremes { 1 } else { 0 } => far,
        40 => -20..60_i64,
    ];
    (0..3_u8, time, 0..50_u64).prop_map(|(key, time, since)| Step::Add { key, time, since })
}

fn watermark() -> impl Strategy<Value = Step> {
    let far = prop_oneof![Just(i64::MAX), Just(i64::MAX - 1), Just(i64::MIN + 2)];
    prop_oneof![
        1 => far,
        25 => -20..90_i64,
    ]
    .prop_map(Step::Watermark)
}
