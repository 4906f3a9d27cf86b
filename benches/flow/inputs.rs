//! The tests of the inputs and references of the benchmark `flow`.

#![expect(dead_code, reason = "the benchmark needs more of them")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod nexmark;
mod random;
mod text;
mod word_count_by_hand;
