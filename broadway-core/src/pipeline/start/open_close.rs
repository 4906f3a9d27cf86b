//! Opens the producers of a topology, and closes them if one of them cannot be opened.
//!
//! The futures are boxed, and so are those that are returned: nothing of this is compiled in the crates of users.

use std::time::Duration;

use futures_util::future::{self, BoxFuture};

use crate::{
    caught::caught,
    engine::clock,
    error::{BoxError, Callback, StartError},
};

/// Calls `open` of all producers at once, and waits for all of them. Fails with the error of the first that failed.
pub(super) fn open_all<'a>(
    opening: Vec<BoxFuture<'a, Result<(), BoxError>>>,
) -> BoxFuture<'a, Result<(), StartError>> {
    let opening = future::join_all(opening.into_iter().map(caught));
    Box::pin(async move {
        for (producer, result) in opening.await.into_iter().enumerate() {
            result.map_err(|failure| {
                let error = failure.into_error(Callback::Open);
                StartError::Open { producer, error }
            })?;
        }
        Ok(())
    })
}

/// Calls `close` of producers that were opened, one after the other, for at most `limit` each.
pub(super) fn close_all<'a>(
    closing: Vec<BoxFuture<'a, Result<(), BoxError>>>,
    limit: Duration,
) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        for close in closing {
            // Its error is dropped: `start` returns the one that came first.
            clock::within(limit, caught(close)).await;
        }
    })
}
