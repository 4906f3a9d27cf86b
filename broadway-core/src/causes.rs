//! [`causes`]: an error and what caused it.

use std::{error::Error, iter};

use crate::fatal::Fatal;

/// How many errors of a chain are read: an error may be its own source.
const CHAIN_MAX: usize = 64;

/// Returns an error, its source, and so on, at most [`CHAIN_MAX`].
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let next = |error: &&'a (dyn Error + 'static)| match error.downcast_ref::<Fatal>() {
        // It shows the text of its error as its own, so its `source` passes over that error.
        Some(fatal) => Some(fatal.inner()),
        None => (*error).source(),
    };
    iter::successors(Some(error), next).take(CHAIN_MAX)
}
