#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy(failures: u32) -> CircuitPolicy {
    CircuitPolicy {
        failures,
        share: None,
        probe_interval: SECOND,
    }
}

fn pass(circuit: &mut Circuit, now: Instant) -> Call {
    match circuit.admit(now) {
        Admission::Pass(call) => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_starts_over() {
    let (mut circuit, now) = (Circuit::new(policy(3)), Instant::now());
    let results = [
        (CallResult::Failure, Ended::Accept),
        (CallResult::Failure, Ended::Accept),
        (CallResult::Success, Ended::Accept),
        (CallResult::Failure, Ended::Accept),
        (CallResult::Neither, Ended::Accept),
        (CallResult::Failure, Ended::Accept),
        (CallResult::Failure, Ended::Opened),
    ];
    for (result, ended) in results {
        let call = pass(&mut circuit, now);
        assert_eq!(circuit.ended(call, result, now), ended);
    }
    assert_eq!(circuit.admit(now), Admission::WaitUntil(now + SECOND));
}

#[test]
fn one_probe_at_a_time_is_made_each_interval_until_one_succeeds() {
    let (mut circuit, start) = (Circuit::new(policy(1)), Instant::now());
    let call = pass(&mut circuit, start);
    assert_eq!(
        circuit.ended(call, CallResult::Failure, start),
        Ended::Opened
    );
    let mut now = start + SECOND;
    assert_eq!(circuit.admit(now), Admission::Probe);
    assert_eq!(circuit.admit(now), Admission::WaitForProbe);
    now += SECOND;
    assert!(!circuit.probed(CallResult::Failure, now));
    assert_eq!(circuit.admit(now), Admission::WaitUntil(now + SECOND));
    now += SECOND;
    assert_eq!(circuit.admit(now), Admission::Probe);
    assert!(circuit.probed(CallResult::Success, now));
    pass(&mut circuit, now);
    assert_eq!((circuit.openings(), circuit.probes()), (1, 2));
}

#[test]
fn a_call_that_fails_after_the_circuit_opened_is_held_and_counts_for_nothing() {
    let (mut circuit, now) = (Circuit::new(policy(1)), Instant::now());
    let calls = [(); 3].map(|()| pass(&mut circuit, now));
    let end = |circuit: &mut Circuit, call, result| circuit.ended(call, result, now);
    assert_eq!(
        end(&mut circuit, calls[0], CallResult::Failure),
        Ended::Opened
    );
    assert_eq!(
        end(&mut circuit, calls[1], CallResult::Success),
        Ended::Accept
    );
    let later = now + SECOND;
    assert_eq!(circuit.admit(later), Admission::Probe);
    assert!(circuit.probed(CallResult::Success, later));
    // It began before the outage, and ends after it.
    assert_eq!(
        end(&mut circuit, calls[2], CallResult::Failure),
        Ended::Hold
    );
    assert!(circuit.call_if_closed().is_some());
}

#[test]
fn a_share_of_the_last_calls_opens_it() {
    let share = FailingShare {
        percent: 50,
        calls: 4,
    };
    let mut circuit = Circuit::new(CircuitPolicy {
        share: Some(share),
        ..policy(100)
    });
    let now = Instant::now();
    let mut end = |result| {
        let call = pass(&mut circuit, now);
        circuit.ended(call, result, now)
    };
    let (ok, failed) = (CallResult::Success, CallResult::Failure);
    // Three calls are not enough; of the last four, one failed; then two.
    let results = [failed, ok, ok, ok, ok, failed, ok, failed];
    let ended: Vec<_> = results.map(&mut end).into();
    assert!(ended[..7].iter().all(|ended| *ended == Ended::Accept));
    assert_eq!(ended[7], Ended::Opened);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Wait(u64),
    Begin,
    /// The index of a running call, modulo their number.
    End(usize, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..15_u64).prop_map(Step::Wait),
        3 => Just(Step::Begin),
        4 => (any::<usize>(), 0..4_u8).prop_map(|(index, result)| Step::End(index, result)),
    ]
}

/// All that ever happened to the circuit, in order.
#[derive(Default)]
struct Model {
    /// The results since the circuit was closed last.
    results: Vec<CallResult>,
    /// When the next probe is due, in tenths of a second.
    open_until: Option<u64>,
    probing: bool,
    openings: u64,
}

impl Model {
    fn is_out(&self, failures: usize, share: Option<FailingShare>) -> bool {
        let counted = self.results.iter().filter(|r| **r != CallResult::Neither);
        let counted: Vec<_> = counted.map(|r| *r == CallResult::Failure).collect();
        let run = counted.iter().rev().take_while(|failed| **failed).count();
        let share = share.is_some_and(|share| {
            let last = counted.len().checked_sub(share.calls);
            last.is_some_and(|from| {
                let failed = counted[from..].iter().filter(|failed| **failed).count();
                failed as f64 >= share.percent as f64 / 100.0 * share.calls as f64
            })
        });
        counted.last() == Some(&true) && (run >= failures || share)
    }
}

enum Running {
    Call(Call, u64),
    Probe,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn decisions_follow_from_the_history(
        failures in 1..5_u32,
        share in prop::option::of((prop_oneof![Just(25_u32), Just(50), Just(100)], 1..5_usize)),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let share = share.map(|(percent, calls)| FailingShare { percent, calls });
        let mut circuit = Circuit::new(CircuitPolicy { share, ..policy(failures) });
        let (start, mut now) = (Instant::now(), 0_u64);
        let at = |tenths: u64| start + SECOND / 10 * u32::try_from(tenths).unwrap();
        let (mut model, mut running) = (Model::default(), Vec::new());
        for step in steps {
            match step {
                Step::Wait(tenths) => now += tenths,
                Step::Begin => {
                    let expected = match model.open_until {
                        _ if model.probing => Admission::WaitForProbe,
                        Some(until) if now < until => Admission::WaitUntil(at(until)),
                        Some(_) => Admission::Probe,
                        None => Admission::Pass(Call::from_number(model.openings)),
                    };
                    let admission = circuit.admit(at(now));
                    prop_assert_eq!(admission, expected);
                    match admission {
                        Admission::Pass(call) => running.push(Running::Call(call, model.openings)),
                        Admission::Probe => {
                            model.probing = true;
                            running.push(Running::Probe);
                        }
                        _ => {}
                    }
                }
                Step::End(_, _) if running.is_empty() => {}
                Step::End(index, result) => {
                    let result = match result {
                        0 => CallResult::Success,
                        1 => CallResult::Neither,
                        _ => CallResult::Failure,
                    };
                    let index = index % running.len();
                    match running.swap_remove(index) {
                        Running::Probe => {
                            let closed = circuit.probed(result, at(now));
                            prop_assert_eq!(closed, result == CallResult::Success);
                            model.probing = false;
                            model.open_until = (!closed).then_some(now + 10);
                            model.results.clear();
                        }
                        Running::Call(call, began) => {
                            let ended = circuit.ended(call, result, at(now));
                            let expected = if began != model.openings {
                                match result {
                                    CallResult::Failure => Ended::Hold,
                                    _ => Ended::Accept,
                                }
                            } else {
                                model.results.push(result);
                                if result == CallResult::Failure && model.is_out(failures as usize, share) {
                                    model.openings += 1;
                                    model.open_until = Some(now + 10);
                                    Ended::Opened
                                } else {
                                    Ended::Accept
                                }
                            };
                            prop_assert_eq!(ended, expected);
                        }
                    }
                }
            }
            let closed = circuit.call_if_closed().is_some();
            prop_assert_eq!(closed, model.open_until.is_none());
            prop_assert_eq!(circuit.is_probing(), model.probing);
            prop_assert_eq!(circuit.openings(), model.openings);
        }
    }
}
