//! The thread on which connections live.

use std::sync::{Mutex, PoisonError};

use broadway_core::{BoxError, connector::ClientRuntime};
use tokio::runtime::Handle;

/// The runtime of all connections of this process, on one thread.
///
/// Sockets, heartbeats and the tasks of the client run there, so a handler that blocks its thread does not stop them. It starts with the
/// first connection and lasts as long as the process, because the client writes its last frames after its connection was dropped.
///
/// # Errors
///
/// Fails if the system has no thread left.
pub(crate) async fn client_runtime() -> Result<Handle, BoxError> {
    static RUNTIME: Mutex<Option<ClientRuntime>> = Mutex::new(None);
    let runtime = {
        // Nothing panics while the lock is held.
        let mut shared = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shared {
            Some(runtime) => runtime.clone(),
            // A failed start is tried again by the next connection.
            None => shared
                .insert(ClientRuntime::start("broadway-rabbitmq")?)
                .clone(),
        }
    };
    runtime.run(async { Handle::current() }).await
}
