//! A second hold on the socket of a connection, to end it from outside.
//!
//! The client has a thread for each connection, which waits for what the broker says. Before the greeting is over it would wait for
//! ever for a broker that says nothing, whether or not anybody still waits for the connection; and to a broker that has blocked all
//! who publish it does not even write a good-bye. With its socket shut down the thread ends, and the client drops all it had.

use std::{
    io,
    net::Shutdown,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;

/// Ends the connection when it is dropped, unless it is let go before.
#[must_use = "dropped, it ends the connection"]
pub(crate) struct SocketGuard(SocketSlot);

/// What the thread of the client is given, to tell which socket it has come to.
#[derive(Clone)]
pub(crate) struct SocketSlot(Arc<Mutex<SocketState>>);

enum SocketState {
    /// There is no socket yet.
    Reaching,
    Held(Socket),
    /// Nobody waits for it any more.
    Ended,
}

impl SocketGuard {
    pub(crate) fn new() -> Self {
        Self(SocketSlot(Arc::new(Mutex::new(SocketState::Reaching))))
    }

    pub(crate) fn hold(&self) -> SocketSlot {
        self.0.clone()
    }

    /// The connection lives without us from now on. The hold goes too, since it would keep the socket open.
    pub(crate) fn release(self) {
        *self.0.state() = SocketState::Ended;
    }
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        if let SocketState::Held(socket) =
            std::mem::replace(&mut *self.0.state(), SocketState::Ended)
        {
            // It fails for one that has ended.
            drop(socket.shutdown(Shutdown::Both));
        }
    }
}

impl SocketSlot {
    /// Takes a hold of this socket.
    ///
    /// # Errors
    ///
    /// When nobody waits for it any more, or the system has no more handles.
    pub(crate) fn take(&self, stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream).try_clone()?;
        let mut state = self.state();
        if let SocketState::Ended = *state {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *state = SocketState::Held(socket);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, SocketState> {
        // Nothing panics while it is held.
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
    async fn dropped_it_ends_the_socket_that_another_owns() {
        let (near, mut far) = pair().await;
        let socket_guard = SocketGuard::new();
        socket_guard.hold().take(&near).unwrap();
        drop(socket_guard);
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
        drop(near);
    }

    #[tokio::test]
    async fn let_go_it_neither_ends_the_socket_nor_keeps_it_open() {
        let (near, mut far) = pair().await;
        let socket_guard = SocketGuard::new();
        let hold = socket_guard.hold();
        hold.take(&near).unwrap();
        socket_guard.release();
        near.try_write(b"x").unwrap();
        assert_eq!(far.read(&mut [0]).await.unwrap(), 1);
        drop(near);
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
        drop(hold);
    }

    #[tokio::test]
    async fn a_socket_that_comes_too_late_is_refused() {
        let (near, _far) = pair().await;
        let socket_guard = SocketGuard::new();
        let hold = socket_guard.hold();
        drop(socket_guard);
        assert!(hold.take(&near).is_err());
    }
}
