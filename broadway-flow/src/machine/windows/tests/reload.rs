//! State that is saved, distributed over workers, and loaded.

use proptest::prelude::*;

use super::{
    drive::{Drive, steps_with_restarts, windows},
    property::{cases, counts, overlapping, separate, sessions},
};
use crate::window::EarlyFiring;

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn loaded_state_fires_as_if_nothing_had_happened(
        windows in windows(prop_oneof![separate(), overlapping(), sessions(), counts()]),
        steps in steps_with_restarts(),
    ) {
        let mut windows = windows;
        windows.empty = false;
        if matches!(windows.early, EarlyFiring::Custom(_)) {
            windows.early = EarlyFiring::Every(2);
        }
        Drive::<true>::new(&windows).run(&steps)?;
    }
}
