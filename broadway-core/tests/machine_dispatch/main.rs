//! The dispatch machines against naive models: random operations of a hub, ten thousand runs each.
//!
//! `hub.rs` plays the hub and checks what every dispatch promises; each machine adds the rules by
//! which it decides, written as plainly as possible. `ordered.rs` plays the hub of a link that is
//! ordered by its inlets, as those between stages are.

mod demand;
mod hub;
mod lanes;
mod ordered;
mod ordered_broadcast;
mod ordered_demand;
mod ordered_partition;
mod ordered_route;
mod partition;
