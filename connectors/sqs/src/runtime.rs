//! The thread on which a producer's client, polls and keeper run.
//!
//! Each producer has one of its own, with a client of its own. A client that the user hands in shares its connections among all
//! who use it, and a connection is driven by the thread on which it was made: all producers with such a client share one thread,
//! which never ends, so that none of them ends a connection which another one uses.

use std::sync::OnceLock;

use broadway_core::{BoxError, connector::ClientRuntime};

static SHARED: OnceLock<ClientRuntime> = OnceLock::new();

/// The thread of this producer.
pub(crate) fn of(producer: usize, is_client_given: bool) -> Result<ClientRuntime, BoxError> {
    if !is_client_given {
        return start(&format!("sqs-{producer}"));
    }
    if let Some(shared) = SHARED.get() {
        return Ok(shared.clone());
    }
    // Of two that start at once one is dropped again.
    let started = start("sqs-shared")?;
    Ok(SHARED.get_or_init(|| started).clone())
}

fn start(name: &str) -> Result<ClientRuntime, BoxError> {
    ClientRuntime::start(name)
        .map_err(|error| format!("cannot start the thread of the SQS client: {error}").into())
}
