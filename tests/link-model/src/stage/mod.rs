//! Shares of an event, and their models.

#[path = "../../../../broadway-core/src/stage/share.rs"]
mod share;

mod settling;
