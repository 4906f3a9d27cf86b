//! The tests of the inputs and references of the benchmark `flow`.

#![expect(unused_imports, reason = "the benchmark uses what the tests do not")]
#![allow(clippy::unwrap_used, reason = "a test that fails names the line")]

mod nexmark;
mod random;
mod text;
mod word_count_by_hand;
