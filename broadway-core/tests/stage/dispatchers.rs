//! Who gets which event.
