//! [`Script`]: a machine whose results read as text, for tests of single rules.

use smol_str::SmolStr;

use super::{
    super::{Borrowed, Fired, WindowState},
    collect::Collect,
};
use crate::{At, Timestamp, Window, Windows, epoch::Epoch};

type State = WindowState<i64, SmolStr, Collect<true>>;

pub(super) struct Script {
    pub(super) machine: State,
    fired: Vec<String>,
}

impl Script {
    pub(super) fn new(windows: &Windows<i64>) -> Self {
        Self {
            machine: State::new(windows, Collect, Some("none".into())),
            fired: Vec::new(),
        }
    }

    /// Adds an event, whose epoch is its value. Returns it if it is too late.
    pub(super) fn add(&mut self, key: &str, time: i64, event: i64) -> Option<i64> {
        let at = At {
            time: Timestamp::from_millis(time),
            since: Epoch(event.unsigned_abs()),
        };
        let fired = &mut self.fired;
        let result = self
            .machine
            .add(Borrowed(key), event, at, &mut |one| fired.push(text(&one)));
        result.err()
    }

    /// Adds events of the key `k`, which must not be late.
    pub(super) fn events(&mut self, events: &[(i64, i64)]) {
        for (time, event) in events {
            assert_eq!(self.add("k", *time, *event), None);
        }
    }

    pub(super) fn watermark(&mut self, to: i64) {
        let fired = &mut self.fired;
        let to = Timestamp::from_millis(to);
        self.machine
            .watermark(to, &mut |one| fired.push(text(&one)));
    }

    pub(super) fn tick(&mut self, now: i64) {
        let fired = &mut self.fired;
        self.machine.tick(now, &mut |one| fired.push(text(&one)));
    }

    /// Ends the input, and checks that nothing is left.
    pub(super) fn finish(&mut self) {
        let fired = &mut self.fired;
        self.machine.finish(&mut |one| fired.push(text(&one)));
        assert_eq!(self.machine.len(), 0);
        assert_eq!(self.machine.since(), Epoch::NONE);
    }

    /// Checks the results since the last check.
    #[track_caller]
    pub(super) fn expect(&mut self, expected: &[&str]) {
        assert_eq!(self.fired, expected);
        self.fired.clear();
    }

    /// Checks the results of keys that come in any order.
    #[track_caller]
    pub(super) fn expect_any_order(&mut self, expected: &[&str]) {
        self.fired.sort();
        self.expect(expected);
    }
}

fn text(fired: &Fired<SmolStr, Vec<i64>>) -> String {
    let window = match fired.window {
        Window::Global => "all".to_owned(),
        Window::Number(n) => format!("#{n}"),
        Window::Time { start, end } => format!("{}..{}", start.as_millis(), end.as_millis()),
    };
    format!(
        "{} {window} {:?} {:?}",
        fired.key, fired.firing, fired.value
    )
}
