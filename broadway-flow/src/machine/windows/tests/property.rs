//! Random windows and random input, against the oracle.

use proptest::{prelude::*, test_runner::Config};

use super::drive::{Drive, steps, windows};
use crate::window::WindowKind;

pub(super) fn cases(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

pub(super) fn separate() -> impl Strategy<Value = WindowKind> {
    let fixed = (1..12_i64, 0..3_i64, 0..30_i64).prop_map(|(size, gap, offset)| WindowKind::Time {
        size,
        slide: size + gap,
        offset,
    });
    let periodic = (1..20_i64).prop_map(|every| WindowKind::Periodic { every });
    prop_oneof![6 => fixed, 1 => Just(WindowKind::Global), 2 => periodic]
}

pub(super) fn overlapping() -> impl Strategy<Value = WindowKind> {
    (1..12_i64, 1..12_i64, 0..30_i64).prop_map(|(slide, more, offset)| WindowKind::Time {
        size: slide + more,
        slide,
        offset,
    })
}

pub(super) fn sessions() -> impl Strategy<Value = WindowKind> {
    (1..9_i64).prop_map(|gap| WindowKind::Session { gap })
}

pub(super) fn counts() -> impl Strategy<Value = WindowKind> {
    (1..6_u64).prop_map(WindowKind::Count)
}

proptest! {
    #![proptest_config(cases(2_500))]

    #[test]
    fn windows_that_do_not_overlap_fire_as_the_oracle_does(
        windows in windows(separate()),
        steps in any::<bool>().prop_flat_map(steps),
    ) {
        let far = steps.iter().any(|step| matches!(step, super::drive::Step::Add { time, .. } if time.unsigned_abs() > 1_000));
        prop_assume!(!(far && windows.empty));
        Drive::<false>::new(&windows).run(&steps)?;
    }

    #[test]
    fn sliding_windows_fire_as_the_oracle_does(windows in windows(overlapping()), steps in steps(true)) {
        Drive::<true>::new(&windows).run(&steps)?;
    }

    #[test]
    fn sessions_fire_as_the_oracle_does(windows in windows(sessions()), steps in steps(true)) {
        Drive::<true>::new(&windows).run(&steps)?;
    }
}

proptest! {
    #![proptest_config(cases(800))]

    #[test]
    fn count_windows_fire_as_the_oracle_does(windows in windows(counts()), steps in steps(true)) {
        Drive::<false>::new(&windows).run(&steps)?;
    }
}
