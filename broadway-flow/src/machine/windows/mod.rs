//! Keyed windowed aggregation: events go in, the results of windows come out. Time comes from the caller, as watermarks and ticks.

mod cell;
mod check;
mod combiner;
mod count;
mod fired;
mod fixed;
mod frame;
mod grid;
mod key;
mod late;
mod panes;
mod part;
mod queue;
mod recent;
mod rules;
mod saved;
mod session;
mod sliding;
mod slots;
mod stacks;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use check::check;
pub(crate) use combiner::Combiner;
pub(crate) use fired::Fired;
pub(crate) use key::{Borrowed, LookupKey, Owned};
pub use state::WindowState;
