//! The table of acknowledgers, and its models.

#[path = "../../../../broadway-core/src/pipeline/acknowledgers.rs"]
mod acknowledgers;
mod acknowledgers_model;
