//! The macro that makes a test of every promise. The list of them stands here, once.

/// Makes a module of this name with a test for each promise of [`conformance`](mod@crate::testing::conformance).
///
/// `connector` is an expression of type `Option<impl ConnectorUnderTest>`; with `None` the tests do nothing, and whoever made it has said why.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    (mod $name:ident { connector: $connector:expr }) => {
        mod $name {
            use super::*;

            $crate::__promises! {
                $connector;
                delivers_all
                delivers_on_demand_only
                a_dropped_produce_loses_nothing
                goes_on_after_a_reopening
                what_is_done_does_not_come_again
                results_in_any_order_acknowledge_their_own
                nothing_is_acknowledged_before_it_is_done
                a_failed_message_comes_again
                a_slow_handler_keeps_its_message
                a_blocked_handler_keeps_connection_and_lease
                fetches_no_more_than_it_says
                smallest_and_largest_payloads_arrive
                any_bytes_arrive_or_are_refused
                trace_context_and_key_survive
                odd_headers_arrive_or_are_refused
                null_and_empty_arrive_apart
                any_dead_letter_arrives
                a_dead_letter_outage_gives_up_nothing
                what_is_confirmed_can_be_read
                a_closed_publisher_says_so
                no_messages_have_no_results
                a_flush_waits_for_what_was_handed_over
                too_large_is_refused_in_its_place
                a_refused_message_costs_its_neighbours_nothing
                keys_keep_their_order
                poison_spoils_nothing_else
                a_failed_message_is_named
                an_unreadable_message_costs_its_neighbours_nothing
                a_sorted_batch_acknowledges_its_own
                a_drain_loses_nothing_and_repeats_nothing
                a_drain_gives_back_what_no_handler_has_begun
                a_drain_leaves_nothing_leased
                a_dropped_source_gives_back_what_it_held
                reconnects_after_a_cut
                survives_a_hundred_cuts
                survives_silence
                a_slow_connection_loses_nothing
                an_unreachable_broker_is_an_error_in_time
                publisher_reconnects_after_a_cut
                late_results_harm_nobody
                a_silent_broker_holds_up_publishers
                resumes_after_a_kill
                a_signal_gives_back_what_no_handler_has_begun
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
