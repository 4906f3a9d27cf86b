//! Random topologies, and the defects that they and a second look at the engine have found.

mod defects;
