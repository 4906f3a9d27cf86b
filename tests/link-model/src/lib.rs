//! Every order in which the engine's locks can be taken, tried by loom.
//!
//! The engine's own source files are compiled here a second time, with loom's lock, pointers and atomics in the place of the
//! standard ones (they import them from `crate::sync`). A model is a small program that uses them; loom runs it once for each order
//! in which its threads can be switched, up to `PREEMPTIONS` forced switches, and for each value that a load may see. A run in
//! which a thread waits forever is reported as a deadlock. So each model that passes proves that no wake is lost in it.
//!
//! Switches at waits, wakes and thread ends are not forced ones. Known bugs of this kind need two to four forced switches, and that
//! limit keeps all models together below a minute. `LOOM_LOG=trace LOOM_LOCATION=1` print the history of a failure.
//!
//! - `engine/`: links. Nothing is lost, duplicated or reordered; every waiter is woken; demand holds; the end is seen.
//!   Lent producers: one thread has a producer at a time, and none is forgotten while a processor waits.
//! - `stage/`: shares of an event. The last share settles the event, once, with the worst outcome of all shares.
//! - `pipeline/`: the table of acknowledgers. A number becomes free once, when the last message is settled.
#![cfg(test)]
#![expect(
    dead_code,
    unreachable_pub,
    reason = "the models use a part of what the files offer"
)]

mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard, RwLock, atomic};

    loom::lazy_static! {
        static ref ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::new(());
    }

    /// Behaves as the standard one: called with all pointers to a value, in any order, it returns the value to one of them.
    pub(crate) fn into_inner<T>(last: Arc<T>) -> Option<T> {
        let turn = ONE_AFTER_THE_OTHER.lock();
        let inner = Arc::try_unwrap(last).ok();
        drop(turn);
        inner
    }
}

/// The part that settlement needs.
mod message {
    pub(crate) type AckOptions = Option<Box<Box<dyn std::any::Any + Send>>>;

    pub(crate) fn warn_of_ignored_options(_expected: &str) {}
}

/// The part of the classes of errors that is needed here: errors have none.
mod failure {
    use std::error::Error;

    impl crate::error::Reason {
        pub(crate) fn as_error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
            self.boxed()
        }
    }
}

/// The part that errors need.
mod discard {
    pub(crate) fn discard<T>(value: T) {
        drop(value);
    }
}

/// The part that acknowledgers need.
mod telemetry {
    #[derive(Default)]
    pub struct MessageInfo {}
}

#[path = "../../../broadway-core/src/debug_as_display.rs"]
mod debug_as_display;

/// The errors of the files that are compiled here; the engine has the same in `error_debug`.
mod error_debug {
    use crate::debug_as_display::debug_as_display;

    debug_as_display! {
        crate::error::Problem,
        crate::error::RunError,
        crate::error::StartError,
        crate::machine::credit::InvalidCredit,
        crate::machine::dispatch::JoinError,
        crate::machine::offsets::DeliverError,
        crate::machine::offsets::SettleError,
        crate::machine::pool::InvalidPool,
        crate::machine::rate::InvalidAllowance,
        crate::end::Failure,
    }
}

#[path = "../../../broadway-core/src/ack.rs"]
pub mod ack;
#[path = "../../../broadway-core/src/end.rs"]
pub(crate) mod end;
mod engine;
#[path = "../../../broadway-core/src/error.rs"]
mod error;
#[path = "../../../broadway-core/src/machine/mod.rs"]
pub mod machine;
mod pipeline;
mod stage;

/// Forced switches per run of a model of two threads; models of three threads, and the longest, have one or two less.
const PREEMPTIONS: usize = 4;

/// Runs `model` in every order.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
