//! A second handle on the socket of a connection, to shut the connection down from outside of the client.
//!
//! The client has a thread for each connection, which waits for frames of the broker. Until the connection is open it waits without a
//! timeout, whether or not anything still waits for the connection; and to a broker that blocks publishers it does not even write a
//! close. When the socket is shut down the thread ends, and the client drops everything that belongs to the connection.

use std::{
    io,
    net::Shutdown,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;

/// Shuts the socket down when it is dropped, unless it was released.
#[must_use = "the connection is shut down when this is dropped"]
pub(crate) struct SocketGuard(SocketSlot);

/// Where the client's thread puts the socket. It connects on its own, so it may arrive after the guard was dropped.
#[derive(Clone)]
pub(crate) struct SocketSlot(Arc<Mutex<SocketState>>);

enum SocketState {
    /// The client is still connecting.
    Awaited,
    Guarded(Socket),
    /// The guard was dropped or released.
    Unguarded,
}

impl SocketGuard {
    pub(crate) fn new() -> Self {
        Self(SocketSlot(Arc::new(Mutex::new(SocketState::Awaited))))
    }

    pub(crate) fn slot(&self) -> SocketSlot {
        self.0.clone()
    }

    /// Leaves the connection to the client. The second handle is closed too: it would keep the socket open.
    pub(crate) fn release(self) {
        *self.0.state() = SocketState::Unguarded;
    }
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.0.state(), SocketState::Unguarded);
        if let SocketState::Guarded(socket) = state {
            // Fails if the connection has ended already.
            drop(socket.shutdown(Shutdown::Both));
        }
    }
}

impl SocketSlot {
    /// Puts a handle of this socket under the guard.
    ///
    /// # Errors
    ///
    /// Fails if the guard was dropped, so that the client closes the socket, or if the system has no handles left.
    pub(crate) fn fill(&self, stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream).try_clone()?;
        let mut state = self.state();
        if let SocketState::Unguarded = *state {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *state = SocketState::Guarded(socket);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, SocketState> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn a_dropped_guard_ends_the_socket_that_another_owns() {
        let (near, mut far) = pair().await;
        let guard = SocketGuard::new();
        guard.slot().fill(&near).unwrap();
        drop(guard);
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
        drop(near);
    }

    #[tokio::test]
    async fn a_released_guard_neither_ends_the_socket_nor_keeps_it_open() {
        let (near, mut far) = pair().await;
        let guard = SocketGuard::new();
        let slot = guard.slot();
        slot.fill(&near).unwrap();
        guard.release();
        near.try_write(b"x").unwrap();
        assert_eq!(far.read(&mut [0]).await.unwrap(), 1);
        drop(near);
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
        drop(slot);
    }

    #[tokio::test]
    async fn a_socket_that_arrives_after_the_guard_was_dropped_is_refused() {
        let (near, _far) = pair().await;
        let guard = SocketGuard::new();
        let slot = guard.slot();
        drop(guard);
        assert!(slot.fill(&near).is_err());
    }
}
