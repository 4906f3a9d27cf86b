//! Pure state machines.
