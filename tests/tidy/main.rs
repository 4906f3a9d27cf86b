//! The rules of the project as tests, so that no reviewer has to check them by hand.
//!
//! - `circles`: files of one folder do not import each other in circles.
//! - `connectors`: the connectors have the same files and the same sections in their pages.
//! - `graph`: the crates that a user compiles. Few, and no C without a broker.
//! - `language`: texts and names use plain words.
//! - `layers`: which folder may import which. Machines know no runtime, tasks are spawned in two folders, the core names no broker.
//! - `prose`: links in documents resolve.
//! - `shape`: files are short and open with their purpose; functions fit a screen.
//! - `surface`: no two public types share a name.
//!
//! A failure names each file and line, and the remedy. Exceptions are listed beside their rule, with the reason.

mod circles;
mod connectors;
mod graph;
mod language;
mod layers;
mod prose;
mod shape;
mod source;
mod surface;

/// Fails with all complaints at once, each as `file:line: problem`.
fn none(complaints: Vec<String>, what_to_do: &str) {
    let list = complaints
        .into_iter()
        .reduce(|list, complaint| list + "\n  " + &complaint);
    if let Some(list) = list {
        panic!("{what_to_do}\n  {list}\n");
    }
}
