//! What a connector must keep, as tests that run against its broker.
//!
//! Whoever writes a connector implements [`ConnectorUnderTest`] (how to make an empty queue, how to open the source and the publisher) and
//! says with [`Capabilities`] what the broker can do. [`conformance!`](crate::testing::conformance!) makes a test of every promise.
//!
//! ```text
//! broadway::testing::conformance! {
//!     mod spool { connector: TestSpool::new() }    // an Option: None where no broker is to be found
//! }
//!
//! test spool::a_failed_message_comes_again ... ok
//! test spool::what_is_done_does_not_come_again ... ok
//! ```
//!
//! A promise that is broken panics, with a word for what was broken: *lost*, *delivered twice*, *acknowledged and delivered again*,
//! *changed*, *reordered*. One that the broker cannot keep, for it has no leases, say, does not apply, and prints that: its test
//! passes, and whoever counts tests counts those lines off.
//!
//! [`resumes_after_a_kill`] and [`a_signal_gives_back_what_no_handler_has_begun`] start the test program again, and so need the
//! standard harness.
//!
//! `docs/writing-a-connector.md` in the repository goes from nothing to a connector that passes.

mod acks;
mod back_pressure;
mod blocked;
mod capabilities;
mod child;
mod connection;
mod connector_under_test;
mod dead_letters;
mod delivery;
mod drain;
mod fixture;
mod given_back;
mod headers;
mod killed;
mod late;
mod lease;
mod named;
mod null;
mod payloads;
mod publishing;
mod tests_of;
mod through_a_pipeline;
mod unreadable;
mod verdict;

pub use acks::{
    a_failed_message_comes_again, nothing_is_acknowledged_before_it_is_done,
    results_in_any_order_acknowledge_their_own, what_is_done_does_not_come_again,
};
pub use back_pressure::{a_silent_broker_holds_up_publishers, fetches_no_more_than_it_says};
pub use blocked::a_blocked_handler_keeps_connection_and_lease;
pub use capabilities::{Capabilities, Redelivery};
pub use connection::{
    a_slow_connection_loses_nothing, an_unreachable_broker_is_an_error_in_time,
    publisher_reconnects_after_a_cut, reconnects_after_a_cut, survives_a_hundred_cuts,
    survives_silence,
};
pub use connector_under_test::ConnectorUnderTest;
pub use dead_letters::{a_dead_letter_outage_gives_up_nothing, any_dead_letter_arrives};
pub use delivery::{
    a_dropped_produce_loses_nothing, delivers_all, delivers_on_demand_only,
    goes_on_after_a_reopening,
};
pub use drain::{a_drain_leaves_nothing_leased, a_dropped_source_gives_back_what_it_held};
pub use given_back::{
    a_drain_gives_back_what_no_handler_has_begun, a_signal_gives_back_what_no_handler_has_begun,
};
pub use headers::{odd_headers_arrive_or_are_refused, trace_context_and_key_survive};
pub use killed::resumes_after_a_kill;
pub use late::late_results_harm_nobody;
pub use lease::a_slow_handler_keeps_its_message;
pub use named::a_failed_message_is_named;
pub use null::null_and_empty_arrive_apart;
pub use payloads::{any_bytes_arrive_or_are_refused, smallest_and_largest_payloads_arrive};
pub use publishing::{
    a_closed_publisher_says_so, a_flush_waits_for_what_was_handed_over,
    a_refused_message_costs_its_neighbours_nothing, no_messages_have_no_results,
    too_large_is_refused_in_its_place, what_is_confirmed_can_be_read,
};
pub use through_a_pipeline::{
    a_drain_loses_nothing_and_repeats_nothing, a_sorted_batch_acknowledges_its_own,
    keys_keep_their_order, poison_spoils_nothing_else,
};
pub use unreadable::an_unreadable_message_costs_its_neighbours_nothing;
pub use verdict::{Verdict, keep};
