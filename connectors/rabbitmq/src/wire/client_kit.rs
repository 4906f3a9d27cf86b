//! Gives the client its runtime and its sockets: tokio's, with the screen in front of each socket.

use std::{
    io::{self, Error as IoError, ErrorKind as IoErrorKind, Read, Write},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use async_rs::{
    Tokio, TokioRuntime,
    traits::{Executor, Reactor, RuntimeKit},
    util::Task,
};
use futures_util::{
    io::{AsyncRead, AsyncWrite},
    stream::Stream,
};
use lapin::AsyncTcpStream;
use tokio::runtime::Handle;

use super::{MendedDeliveries, MendingStream};

/// Tokio, bound to one runtime.
#[derive(Debug, Clone)]
pub(crate) struct ClientKit {
    tokio: Tokio,
    handle: Handle,
}

impl ClientKit {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            tokio: Tokio::default().with_handle(handle.clone()),
            handle,
        }
    }

    /// The same runtime with plain sockets, for connecting: the screen is put on top after TLS.
    pub(crate) fn sockets(&self) -> TokioRuntime {
        TokioRuntime::tokio_with_handle(self.handle.clone())
    }
}

impl RuntimeKit for ClientKit {}

impl Executor for ClientKit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.tokio.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.tokio.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.tokio.spawn_blocking(work)
    }
}

impl Reactor for ClientKit {
    type TcpStream = MendingStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Not supported: the client does not use it.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<MendingStream, _>(IoError::from(IoErrorKind::Unsupported))
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.tokio.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<MendingStream>> + Send + 'static {
        let connecting = self.tokio.tcp_connect_addr(address);
        async move {
            let plain = AsyncTcpStream::Plain(connecting.await?);
            Ok(MendingStream::new(
                plain,
                Arc::new(MendedDeliveries::default()),
            ))
        }
    }
}
