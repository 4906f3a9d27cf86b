//! Links and shares, and their models by what they are about.

#[path = "../../../../broadway-core/src/stage/driven.rs"]
mod driven;
#[path = "../../../../broadway-core/src/stage/end.rs"]
pub(crate) mod end;
#[path = "../../../../broadway-core/src/stage/inline.rs"]
mod inline;
#[path = "../../../../broadway-core/src/stage/link/mod.rs"]
mod link;

#[path = "../../../../broadway-core/src/stage/share.rs"]
mod share;

mod cancelling;
mod demand;
mod driving;
mod ending;
mod lanes;
mod moving;
mod ordering;
mod pace;
mod parts;
mod settling;
