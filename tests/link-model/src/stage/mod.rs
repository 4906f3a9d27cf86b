//! Links, and their models by what they are about.

#[path = "../../../../broadway-core/src/stage/end.rs"]
mod end;
#[path = "../../../../broadway-core/src/stage/link/mod.rs"]
mod link;

mod cancelling;
mod demand;
mod ending;
mod lanes;
mod moving;
mod ordering;
mod pace;
mod parts;
