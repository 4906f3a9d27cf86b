//! The conformance suite: the promises of every connector, as tests that run against its broker.
//!
//! The author of a connector implements [`ConnectorUnderTest`] (how to make an empty queue, how to open the source and
//! the publisher) and declares with [`Capabilities`] what the broker supports.
//! [`conformance!`](crate::testing::conformance!) makes a test of every promise.
//!
//! ```text
//! broadway::testing::conformance! {
//!     mod spool { connector: TestSpool::new() }    // an Option: None where no broker is to be found
//! }
//!
//! test spool::a_failed_message_is_redelivered ... ok
//! test spool::done_messages_are_not_redelivered ... ok
//! ```
//!
//! A broken promise panics with a word for what happened: *lost*, *delivered twice*, *acknowledged and delivered
//! again*, *changed*, *reordered*. A promise that does not apply, for example because the broker has no leases, prints
//! that, and its test passes: subtract those lines when you count tests.
//!
//! [`resumes_after_a_kill`] and [`a_signal_returns_unhandled_messages`] start the test program again, and so need the
//! standard harness.
//!
//! `docs/writing-a-connector.md` in the repository builds a connector that passes, step by step.

mod acks;
mod back_pressure;
mod blocked;
mod capabilities;
mod child;
mod child_task;
mod connection;
mod connector_under_test;
mod counted;
mod dead_letters;
mod delayed;
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
mod replays;
mod tests_of;
mod through_a_pipeline;
mod unreadable;
mod verdict;

pub use acks::{
    a_failed_message_is_redelivered, done_messages_are_not_redelivered,
    no_message_is_acknowledged_before_it_is_done,
    results_in_any_order_acknowledge_the_right_messages,
};
pub use back_pressure::{a_silent_broker_slows_publishers, prefetch_stays_within_its_limit};
pub use blocked::a_blocked_handler_keeps_connection_and_lease;
pub use capabilities::{Capabilities, Redelivery};
pub use connection::{
    a_slow_connection_loses_nothing, an_unreachable_broker_fails_in_time,
    publisher_reconnects_after_a_cut, reconnects_after_a_cut, survives_a_hundred_cuts,
    survives_silence,
};
pub use connector_under_test::ConnectorUnderTest;
pub use counted::redeliveries_are_counted;
pub use dead_letters::{a_dead_letter_outage_loses_no_message, every_dead_letter_arrives};
pub use delayed::a_delayed_message_comes_back_after_its_delay;
pub use delivery::{
    delivers_every_message, delivers_only_on_demand, dropping_produce_loses_nothing,
    resumes_after_reopening,
};
pub use drain::{a_drain_leaves_no_message_leased, a_dropped_source_returns_its_messages};
pub use given_back::{a_drain_returns_unhandled_messages, a_signal_returns_unhandled_messages};
pub use headers::{trace_context_and_key_survive, unusual_headers_arrive_or_are_refused};
pub use killed::resumes_after_a_kill;
pub use late::late_results_are_ignored;
pub use lease::a_slow_handler_keeps_its_message;
pub use named::a_failed_message_is_identified;
pub use null::null_and_empty_payloads_stay_distinct;
pub use payloads::{any_bytes_arrive_or_are_refused, smallest_and_largest_payloads_arrive};
pub use publishing::{
    a_closed_publisher_returns_errors, a_flush_waits_for_messages_in_flight,
    a_refused_message_does_not_affect_its_neighbours, an_oversized_message_fails_at_its_index,
    confirmed_messages_can_be_read, publishing_nothing_returns_no_results,
};
pub use replays::replayed_messages_are_as_they_were;
pub use through_a_pipeline::{
    a_drain_loses_nothing_and_repeats_nothing, a_poison_message_does_not_affect_others,
    a_sorted_batch_acknowledges_the_right_messages, keys_keep_their_order,
};
pub use unreadable::an_unreadable_message_does_not_affect_its_neighbours;
pub use verdict::{Verdict, keep};
