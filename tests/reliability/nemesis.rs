//! The faults of a run, and the share of the work after which each strikes, from the seed.

use crate::plan::{Failures, Plan};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The worker is killed (SIGKILL) and another one starts.
    Kill,
    /// All its connections are reset.
    Cut,
    /// The network is silent for a while, and then delivers everything.
    Silence,
}

/// A fault, once this many ids were handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Strike {
    pub(crate) at: u64,
    pub(crate) fault: Fault,
}

/// Few faults for few ids: each costs seconds.
pub(crate) fn strikes(plan: Plan) -> Vec<Strike> {
    let counts = match (plan.failures, plan.is_full()) {
        // There are several such runs.
        (Failures::Yes | Failures::ByKey, _) => {
            [(Fault::Kill, 1), (Fault::Cut, 1), (Fault::Silence, 0)]
        }
        (Failures::No, true) => [(Fault::Kill, 8), (Fault::Cut, 20), (Fault::Silence, 3)],
        (Failures::No, false) => [(Fault::Kill, 2), (Fault::Cut, 2), (Fault::Silence, 1)],
    };
    let faults = counts
        .into_iter()
        .flat_map(|(fault, n)| std::iter::repeat_n(fault, n));
    let mut strikes: Vec<_> = (0..)
        .zip(faults)
        .map(|(n, fault)| {
            // Between a twentieth and nine tenths.
            let share = 50 + plan.random(n, 64) % 850;
            let at = plan.ids * share / 1_000;
            Strike { at, fault }
        })
        .collect();
    strikes.sort_unstable();
    strikes
}

#[test]
fn a_run_has_its_faults_in_its_midst() {
    let plan = Plan {
        seed: 5,
        ids: 1_000,
        probes: 10,
        is_keyed: false,
        failures: Failures::No,
    };
    let strikes = strikes(plan);
    assert_eq!(strikes.len(), 5);
    assert!(strikes.is_sorted());
    assert!(strikes.iter().all(|strike| (50..=900).contains(&strike.at)));
}
