//! The engine's links and inline tasks, and their models by topic.

#[path = "../../../../broadway-core/src/engine/inline_guard.rs"]
mod inline_guard;
#[path = "../../../../broadway-core/src/engine/inline_task.rs"]
mod inline_task;
#[path = "../../../../broadway-core/src/engine/link/mod.rs"]
mod link;

mod cancelling;
mod demand;
mod ending;
mod inline_task_model;
mod lanes;
mod moving;
mod ordering;
mod parts;
mod suspension;
