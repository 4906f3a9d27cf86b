//! The tests that `docs/testing.md` shows, as a program would have them.

mod dead_letters;
mod handler_state;
mod own_values;
mod queue;
mod records;
