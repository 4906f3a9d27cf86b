//! The registry of acknowledgers, and its models.

#[path = "../../../../broadway-core/src/pipeline/registry.rs"]
mod registry;
mod registry_model;
