//! [`number`] and [`problems`]: which operators the states of a snapshot belong to.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use broadway_core::Problem;

use crate::{
    sink::OperatorInfo,
    state::{SavedState, StateOwner},
};

/// Numbers the operators of a flow, from its sources to its end: each among those with its kind and name, so that others change nothing.
pub(crate) fn number(operators: &[Arc<OperatorInfo>]) {
    let mut places: HashMap<_, u32> = HashMap::new();
    for operator in operators {
        let place = places
            .entry((operator.kind, operator.name.get()))
            .or_default();
        *place += 1;
        operator.set_place(*place);
    }
}

/// Finds states for which it is not certain which operator of the flow has to take them.
pub(crate) fn problems(operators: &[Arc<OperatorInfo>], states: &[SavedState]) -> Vec<Problem> {
    let stateful = operators.iter().filter(|operator| operator.is_saved);
    let stateful: Vec<StateOwner> = stateful.map(|operator| operator.owner()).collect();
    let mut saved: Vec<&StateOwner> = Vec::new();
    for state in states {
        if !saved.contains(&&state.owner) {
            saved.push(&state.owner);
        }
    }
    let alike =
        |one: &StateOwner, other: &StateOwner| (&one.kind, &one.name) == (&other.kind, &other.name);
    let mut problems = Vec::new();
    for owner in &saved {
        let before = saved.iter().filter(|other| alike(owner, other)).count();
        let now = stateful.iter().filter(|other| alike(owner, other)).count();
        let advice = match now {
            _ if now == before => continue,
            _ if now < before => "run the flow that saved it, or give another store",
            _ => "give new operators a name, run the flow that saved it, or give another store",
        };
        let list = list(&stateful);
        let message = format!(
            "hold a state of {owner}, and no operator of the flow is sure to be its owner; operators with a state: {list}: {advice}"
        );
        problems.push(Problem::new("snapshots", message));
    }
    problems
}

fn list(owners: &[StateOwner]) -> String {
    let mut list = String::new();
    for owner in owners {
        let separator = if list.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(list, "{separator}{owner}");
    }
    match list.is_empty() {
        true => "none".to_owned(),
        false => list,
    }
}
