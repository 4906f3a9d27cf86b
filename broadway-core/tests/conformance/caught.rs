//! Each defect, the promise that catches it, and the word with which.

use std::{panic::AssertUnwindSafe, time::Duration};

use broadway_core::testing::conformance::{self, Verdict};
use futures_util::FutureExt;
use tokio::time::timeout;

use crate::{defect::Defect, subject::Memory};

/// The limit of the suite; of paused time, which passes at once.
const LIMIT: Duration = Duration::from_secs(300);

/// With what words the promise was broken.
async fn complaint(promise: impl Future<Output = Verdict>) -> String {
    let kept = AssertUnwindSafe(timeout(LIMIT, promise)).catch_unwind();
    match kept.await {
        Ok(Ok(verdict)) => panic!("not caught: {verdict:?}"),
        Ok(Err(_)) => "hangs".to_owned(),
        Err(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => payload
                .downcast_ref::<&str>()
                .expect("a panic has a text")
                .to_string(),
        },
    }
}

macro_rules! caught {
    ($($test:ident: $defect:ident by $promise:ident: $word:literal;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                let subject = Memory::with(Defect::$defect);
                let complaint = complaint(conformance::$promise(&subject)).await;
                assert!(complaint.contains($word), "caught with other words: {complaint}");
            }
        )*
    };
}

caught! {
    early_acks: AcksEarly by nothing_is_acknowledged_before_it_is_done: "x";
    forgotten_acks: ForgetsAcks by what_is_done_does_not_come_again: "x";
    double_acks: AcksTwice by what_is_done_does_not_come_again: "x";
    an_ack_of_the_next_one: AcksTheNextOne by goes_on_after_a_reopening: "x";
    an_ack_of_the_oldest: AcksTheOldest by results_in_any_order_acknowledge_their_own: "x";
    swallowed_failures: SwallowsFailures by a_failed_message_comes_again: "x";
    swallowed_poison: SwallowsFailures by poison_spoils_nothing_else: "x";
    drops_when_full: DropsWhenFull by delivers_all: "x";
    double_deliveries: DeliversTwice by delivers_all: "x";
    an_ignored_demand: IgnoresDemand by delivers_on_demand_only: "x";
    fetching_without_bound: FetchesWithoutBound by fetches_no_more_than_it_says: "x";
    reordered_keys: ReordersKeys by keys_keep_their_order: "x";
    losses_in_a_drain: LosesOnDrain by a_drain_loses_nothing_and_repeats_nothing: "x";
    leases_left_by_a_drain: KeepsOnDrain by a_drain_loses_nothing_and_repeats_nothing: "x";
    forgotten_leases: ForgetsLeases by a_slow_handler_keeps_its_message: "x";
    payloads_read_as_text: ReadsText by any_bytes_arrive_or_are_refused: "x";
    skipped_headers: SkipsEmptyHeaders by odd_headers_arrive_or_are_refused: "x";
    confirmations_of_what_was_not_sent: ConfirmsUnsent by what_is_confirmed_can_be_read: "x";
    missing_results: OneResultShort by what_is_confirmed_can_be_read: "x";
    lost_headers: LosesHeaders by trace_context_and_key_survive: "x";
    lost_keys: LosesKeys by trace_context_and_key_survive: "x";
    cut_payloads: CutsPayloads by smallest_and_largest_payloads_arrive: "x";
    a_publisher_that_stays_open: StaysOpen by a_closed_publisher_says_so: "x";
    a_publisher_that_hangs_with_nothing: HangsWithNothing by no_messages_have_no_results: "x";
}
