//! Each defect is caught by the promise that is about it, with words that lead there.
//!
//! Time is paused: a promise that waits a minute for what will never come takes no time. Only where a proxy stands between, time
//! runs, and the promise finds out by asking.

use broadway_core::testing::conformance::{Verdict, *};
use tokio::spawn;

use crate::{
    Memory,
    connector::Defect::{self, *},
};

/// A promise, tried on a connector with a defect, must be broken with these words.
macro_rules! caught {
    ($time:meta; $($test:ident: $defect:ident by $promise:ident, $words:literal;)+) => {
        $(
            #[$time]
            async fn $test() {
                let attempt = spawn(async { $promise(&Memory::new(Some($defect))).await });
                check($defect, attempt.await, $words);
            }
        )+
    };
}

caught! {
    tokio::test(start_paused = true);
    early_acknowledgements_are_caught: AcksEarly by no_message_is_acknowledged_before_it_is_done, "lost";
    dropping_when_full_is_caught: DropsWhenFull by delivers_every_message, "lost";
    acknowledging_the_next_is_caught: AcksTheNext by a_failed_message_is_redelivered, "lost";
    acknowledging_all_before_is_caught: AcksAllBefore by results_in_any_order_acknowledge_the_right_messages, "lost";
    acknowledging_twice_is_caught: AcksTwice by done_messages_are_not_redelivered, "is not out to this consumer";
    forgotten_acknowledgements_are_caught: ForgetsAcks by done_messages_are_not_redelivered, "not acknowledged";
    losing_at_a_drain_is_caught: LosesAtADrain by a_drain_loses_nothing_and_repeats_nothing, "lost";
    finishing_at_a_drain_is_caught: FinishesAtADrain by a_drain_returns_unhandled_messages, "finished";
    losing_what_is_released_is_caught: LosesReleased by a_drain_returns_unhandled_messages, "lost";
    keeping_what_is_released_is_caught: KeepsReleased by a_drain_returns_unhandled_messages, "left leased";
    leaving_leases_is_caught: LeavesLeases by a_drain_leaves_no_message_leased, "left leased";
    letting_leases_end_is_caught: ExtendsNothing by a_slow_handler_keeps_its_message, "something came where nothing should";
    reordering_a_key_is_caught: Reorders by keys_keep_their_order, "reordered";
    fetching_without_bound_is_caught: FetchesAll by prefetch_stays_within_its_limit, "fetched ahead more than documented";
    swallowing_what_failed_is_caught: SwallowsFailed by a_failed_message_is_redelivered, "lost";
    swallowing_poison_is_caught: SwallowsFailed by a_poison_message_does_not_affect_others, "lost";
    changing_bytes_is_caught: ChangesBytes by any_bytes_arrive_or_are_refused, "changed";
    confirming_early_is_caught: ConfirmsEarly by confirmed_messages_can_be_read, "lost";
    a_flush_that_waits_for_nothing_is_caught: FlushesNothing by a_flush_waits_for_messages_in_flight, "lost";
    failing_neighbours_is_caught: FailsNeighbours by an_oversized_message_fails_at_its_index, "and no other";
    taking_messages_when_closed_is_caught: StaysOpen by a_closed_publisher_returns_errors, "closed";
    dropping_empty_headers_is_caught: DropsEmptyHeaders by unusual_headers_arrive_or_are_refused, "was changed on its way";
    fetching_into_a_future_is_caught: FetchesIntoAFuture by dropping_produce_loses_nothing, "lost";
    filling_null_is_caught: FillsNull by null_and_empty_payloads_stay_distinct, "changed";
    wanting_text_is_caught: WantsText by every_dead_letter_arrives, "lost";
    changing_bytes_of_dead_letters_is_caught: ChangesBytes by every_dead_letter_arrives, "changed";
    dropping_empty_headers_of_dead_letters_is_caught: DropsEmptyHeaders by every_dead_letter_arrives, "changed";
    letting_leases_end_in_an_outage_is_caught: ExtendsNothing by a_dead_letter_outage_loses_no_message, "repeated";
    failing_many_neighbours_is_caught: FailsNeighbours by a_refused_message_does_not_affect_its_neighbours, "and no other";
    stumbling_is_caught: Stumbles by an_unreadable_message_does_not_affect_its_neighbours, "repeated";
    swallowing_failed_rows_is_caught: SwallowsFailed by a_sorted_batch_acknowledges_the_right_messages, "lost";
    naming_nothing_is_caught: NamesNothing by a_failed_message_is_identified, "not named";
    delaying_nothing_is_caught: DelaysNothing by a_delayed_message_comes_back_after_its_delay, "before its delay|something came";
    miscounting_is_caught: Miscounts by redeliveries_are_counted, "was counted as";
    keeping_when_dropped_is_caught: KeepsWhenDropped by a_dropped_source_returns_its_messages, "lost";
}

caught! {
    tokio::test;
    replaying_is_caught: Replays by reconnects_after_a_cut, "acknowledged and delivered again";
    mistaking_late_results_is_caught: MistakesLateResults by late_results_are_ignored, "lost";
    minding_in_passing_is_caught: MindsInPassing by a_blocked_handler_keeps_connection_and_lease, "repeated|not acknowledged";
    taking_in_all_is_caught: TakesInAll by a_silent_broker_slows_publishers, "accepted more than its limit";
}

fn check(defect: Defect, ended: Result<Verdict, tokio::task::JoinError>, words: &str) {
    let broken = match ended {
        Ok(verdict) => panic!("{defect:?} was not caught: {verdict:?}"),
        Err(error) => error.into_panic(),
    };
    let said = match broken.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => (*other.downcast::<&str>().expect("a text")).to_owned(),
    };
    // Some defects show in more than one way, by chance.
    assert!(
        words.split('|').any(|words| said.contains(words)),
        "{defect:?}: not {words:?} but {said:?}"
    );
}
