//! The dispatch machines against naive models: random operations of a hub, ten thousand runs each.
//!
//! `hub.rs` plays the hub and checks what every dispatch promises; each machine adds the rules by
//! which it decides, written as plainly as possible.

mod demand;
mod hub;
mod lanes;
mod partition;
