//! The socket, with a screen in front of what is read from it.

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

/// Reads frames that the client can parse; writes as it is.
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
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let given = this.screen.give(room);
            if given > 0 || room.is_empty() {
                return Poll::Ready(Ok(given));
            }
            let n = ready!(Pin::new(&mut this.socket).poll_read(cx, room))?;
            if n == 0 {
                return Poll::Ready(Ok(0));
            }
            let passed = this.screen.pass(&mut room[..n]);
            // Once a read, however many deliveries it had.
            this.mended.has_come(this.screen.last_tag());
            // Before the client has the frames.
            if this.screen.has_marks() {
                this.mended.add(this.screen.mended());
            }
            if passed > 0 {
                return Poll::Ready(Ok(passed));
            }
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
