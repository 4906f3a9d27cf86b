//! Tests of the window machine: each rule, and random input against a naive model.

mod collect;
mod combine;
mod drive;
mod oracle;
mod property;
mod reload;
mod rules;
mod script;
mod session;
mod skew;
mod sliding;
mod stacks;
mod time;
