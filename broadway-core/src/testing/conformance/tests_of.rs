//! The macro that makes a test of every promise, with the only list of them.

/// Makes a module of this name with a test for each promise of [`conformance`](mod@crate::testing::conformance).
///
/// `connector` is an expression of type `Option<impl ConnectorUnderTest>`. With `None` the tests do nothing; the
/// expression has reported why.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    (mod $name:ident { connector: $connector:expr }) => {
        mod $name {
            use super::*;

            $crate::__promises! {
                $connector;
                delivers_every_message
                delivers_only_on_demand
                dropping_produce_loses_nothing
                resumes_after_reopening
                done_messages_are_not_redelivered
                results_in_any_order_acknowledge_the_right_messages
                no_message_is_acknowledged_before_it_is_done
                a_failed_message_is_redelivered
                a_delayed_message_comes_back_after_its_delay
                redeliveries_are_counted
                a_slow_handler_keeps_its_message
                a_blocked_handler_keeps_connection_and_lease
                prefetch_stays_within_its_limit
                smallest_and_largest_payloads_arrive
                any_bytes_arrive_or_are_refused
                trace_context_and_key_survive
                unusual_headers_arrive_or_are_refused
                null_and_empty_payloads_stay_distinct
                every_dead_letter_arrives
                a_dead_letter_outage_loses_no_message
                replayed_messages_are_as_they_were
                confirmed_messages_can_be_read
                a_closed_publisher_returns_errors
                publishing_nothing_returns_no_results
                a_flush_waits_for_messages_in_flight
                an_oversized_message_fails_at_its_index
                a_refused_message_does_not_affect_its_neighbours
                keys_keep_their_order
                a_poison_message_does_not_affect_others
                a_failed_message_is_identified
                an_unreadable_message_does_not_affect_its_neighbours
                a_sorted_batch_acknowledges_the_right_messages
                a_drain_loses_nothing_and_repeats_nothing
                a_drain_returns_unhandled_messages
                a_drain_leaves_no_message_leased
                a_dropped_source_returns_its_messages
                reconnects_after_a_cut
                survives_a_hundred_cuts
                survives_silence
                a_slow_connection_loses_nothing
                an_unreachable_broker_fails_in_time
                publisher_reconnects_after_a_cut
                late_results_are_ignored
                a_silent_broker_slows_publishers
                resumes_after_a_kill
                a_signal_returns_unhandled_messages
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __promises {
    ($connector:expr; $($promise:ident)*) => {
        $(
            #[test]
            fn $promise() {
                $crate::testing::conformance::keep(
                    concat!(module_path!(), "::", stringify!($promise)),
                    $connector,
                    async |connector| $crate::testing::conformance::$promise(connector).await,
                );
            }
        )*
    };
}
