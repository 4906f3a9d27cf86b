//! The socket, with a screen in front of its reads.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_rs::{Tokio, traits::Reactor};
use futures_util::io::{AsyncRead, AsyncWrite};
use lapin::AsyncTcpStream;

use super::{MendedDeliveries, screen::FrameScreen};

type Socket = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// Reads frames that the client can parse. Writes pass through unchanged.
pub(crate) struct MendingStream {
    socket: Socket,
    screen: FrameScreen,
    mended: Arc<MendedDeliveries>,
}

impl MendingStream {
    pub(crate) fn new(socket: Socket, mended: Arc<MendedDeliveries>) -> Self {
        Self {
            socket,
            screen: FrameScreen::default(),
            mended,
        }
    }
}

impl AsyncRead for MendingStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            // Bytes that the screen has kept come first: they are older than those in the socket.
            let n = this.screen.take_ready(buffer);
            if n > 0 || buffer.is_empty() {
                return Poll::Ready(Ok(n));
            }
            let n = ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
            if n == 0 {
                return Poll::Ready(Ok(0));
            }
            let passed = this.screen.push(&mut buffer[..n]);
            // Once for each read, not for each delivery.
            this.mended.set_last_tag(this.screen.last_tag());
            if let Some(major) = this.screen.take_broker_major() {
                this.mended.set_broker_major(major);
            }
            // Before the client gets the frames: the source must know of a mended delivery when the client returns it.
            if this.screen.has_mended() {
                this.mended.add(this.screen.take_mended());
            }
            if passed > 0 {
                return Poll::Ready(Ok(passed));
            }
            // No complete frame yet, so 0 bytes, which would mean the end of the stream, must not be returned.
        }
    }
}

impl AsyncWrite for MendingStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_close(cx)
    }
}
