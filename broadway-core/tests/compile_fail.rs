//! Mistakes that the compiler finds, and what it says about them.
//!
//! Each file below `compile_fail/` is one mistake; the `.stderr` beside it is the message, which may not get worse unseen. Another
//! compiler may word it differently: `TRYBUILD=overwrite cargo test -p broadway-core --test compile_fail` writes what it says now.

#[test]
fn mistakes_are_found_by_the_compiler() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

/// Found where the program is built, since it depends on which callbacks are used. A test that passes makes them all be built.
#[test]
fn a_forgotten_handle_batch_is_found_when_the_program_is_built() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_fail/built/no_batches.rs");
    cases.compile_fail("tests/compile_fail/built/forgotten_handle_batch.rs");
}
