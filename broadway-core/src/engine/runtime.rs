//! What pipelines and stages need of the tokio runtime that they start on.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::{caught::guarded, error::StartError};

/// The runtime that this runs on, if it has timers.
///
/// # Errors
///
/// There is no runtime, or it has no timers.
pub(crate) fn current() -> Result<Handle, StartError> {
    let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
    // tokio has no question for it: a timer panics where it is made. Its text goes to the panic hook, and so to standard
    // error; to silence it we would have to replace the hook of the whole process.
    let timer = guarded(|| drop(tokio::time::sleep(Duration::ZERO)));
    timer.map_err(|_panicked| StartError::NoTimers)?;
    Ok(runtime)
}
