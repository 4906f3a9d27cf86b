//! The engine's links, lendings and pull inlets, and their models by topic.

#[path = "../../../../broadway-core/src/engine/lending.rs"]
mod lending;
#[path = "../../../../broadway-core/src/engine/link/mod.rs"]
mod link;
#[path = "../../../../broadway-core/src/engine/pull_inlet.rs"]
mod pull_inlet;

mod cancelling;
mod demand;
mod detaching;
mod ending;
mod lanes;
mod lending_model;
mod moving;
mod ordering;
mod parts;
mod pulling;
mod suspension;
