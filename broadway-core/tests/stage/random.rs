//! Random topologies, and the defects that they and a review of the engine have found.
//!
//! A plan describes a topology and what is done to it. It runs on paused time, and every stage records everything it does in a
//! ledger. Afterwards events may be lost only as the options allow, none may be repeated or out of order within a subscription, no
//! stage may have been asked for more than was wanted, and no event may wait where it could flow.

#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

mod defects;
mod nodes;
mod plan;
mod run;
mod stages;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestError, TestRunner},
};

/// Runs this many plans, one after the other in one runtime.
fn check(plans: impl Strategy<Value = plan::Plan>, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..Config::with_cases(cases)
    };
    let checked = TestRunner::new(config).run(&plans, |plan| {
        runtime.block_on(run::run(&plan));
        Ok(())
    });
    match checked {
        Err(TestError::Fail(reason, plan)) => panic!("{reason}: {plan:?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Ok(()) => {}
    }
}

#[test]
fn few_stages_with_many_subscriptions_keep_their_promises() {
    check(plan::wide(), 5_000);
}

#[test]
fn many_stages_in_a_row_keep_their_promises() {
    check(plan::long(), 5_000);
}
