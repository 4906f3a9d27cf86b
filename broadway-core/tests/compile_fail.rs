//! Mistakes that the compiler finds, and what it says about them.
//!
//! Each file below `compile_fail/` is one mistake; the `.stderr` beside it is the message, which may not get worse unseen. Another
//! compiler may word it differently: `TRYBUILD=overwrite cargo test -p broadway-core --test compile_fail` writes what it says now.

#[test]
fn mistakes_are_found_by_the_compiler() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
