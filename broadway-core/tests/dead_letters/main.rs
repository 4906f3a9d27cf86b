//! Dead letters and their replay, through the public API only.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test as tests do"
)]

mod common;
mod letters;
mod listed;
mod outage;
mod replayed;
mod round_trip;
