//! The rules of the house, checked: what a reviewer would have to look for in every change, as ordinary tests.
//!
//! - `graph`: what a user compiles. No C without a broker, and few crates.
//! - `circles`: no two files of a folder import each other.
//! - `layers`: who may know whom. Machines know no runtime, tasks are started in one place, the core knows no broker.
//! - `shape`: how files look. Small, headed by their reason, with functions that fit a screen.
//! - `prose`: documents link to what exists.
//! - `surface`: no two public types have one name.
//!
//! A failure names each file and line, and what to do. An exception stands beside its rule, with its reason.

mod circles;
mod graph;
mod layers;
mod prose;
mod shape;
mod source;
mod surface;

/// Fails with all complaints at once: `file:line: what`.
fn none(complaints: Vec<String>, what_to_do: &str) {
    let list = complaints
        .into_iter()
        .reduce(|list, complaint| list + "\n  " + &complaint);
    if let Some(list) = list {
        panic!("{what_to_do}\n  {list}\n");
    }
}
