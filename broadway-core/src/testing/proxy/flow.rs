//! One direction of a connection: reads at once, and forwards when the state of the network permits.
//!
//! Reading and writing are two loops with a bounded queue between them, so that a delay postpones bytes without
//! reducing the throughput, and a sender does not notice a freeze before its window is full.

use std::{io, time::Duration};

use futures_util::future::try_join;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{ReadHalf, WriteHalf},
    sync::mpsc,
    time::sleep,
};

use super::network::ConnectionNetwork;
use crate::deadline::Deadline;

/// The most bytes read at once; with [`CHUNKS_MAX`] this makes 1 MiB.
const CHUNK_BYTES: usize = 16 * 1024;

/// The most chunks that wait.
const CHUNKS_MAX: usize = 64;

/// A slow flow forwards this many pieces per second, rather than one large piece after a long silence.
const PIECES_PER_SECOND: u32 = 20;

struct DelayedChunk {
    due: Deadline,
    /// The result of a read: bytes, the end, or a broken connection, which arrives no sooner than the bytes before it.
    read: io::Result<Vec<u8>>,
}

/// Forwards from `from` to `to` until `from` ends, including the end.
///
/// # Errors
///
/// Fails if either side broke, or the connection was cut.
pub(super) async fn flow(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    network: &ConnectionNetwork,
) -> io::Result<()> {
    let (tx, rx) = mpsc::channel(CHUNKS_MAX);
    try_join(read(from, tx, network), write(to, rx, network)).await?;
    Ok(())
}

/// Ends when `from` ends, or when the writer has ended.
async fn read(
    mut from: ReadHalf<'_>,
    tx: mpsc::Sender<DelayedChunk>,
    network: &ConnectionNetwork,
) -> io::Result<()> {
    loop {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        let read = from.read_buf(&mut bytes).await.map(|_| bytes);
        let is_last = !matches!(&read, Ok(bytes) if !bytes.is_empty());
        let due = Deadline::after(network.delay());
        if tx.send(DelayedChunk { due, read }).await.is_err() || is_last {
            return Ok(());
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut rx: mpsc::Receiver<DelayedChunk>,
    network: &ConnectionNetwork,
) -> io::Result<()> {
    while let Some(chunk) = rx.recv().await {
        chunk.due.reached().await;
        network.open().await?;
        let bytes = chunk.read?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            network.open().await?;
            let (piece, pause) = next_piece(rest.len(), network.bytes_per_second());
            let (now, later) = rest.split_at(piece);
            to.write_all(now).await?;
            network.pass(piece);
            rest = later;
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }
    to.shutdown().await
}

/// Returns how many of `len` bytes to send now, and how long to wait before the next.
fn next_piece(len: usize, bytes_per_second: Option<u32>) -> (usize, Duration) {
    let Some(speed) = bytes_per_second else {
        return (len, Duration::ZERO);
    };
    let most = usize::try_from(speed / PIECES_PER_SECOND).unwrap_or(usize::MAX);
    let piece = len.min(most.max(1));
    (
        piece,
        Duration::from_secs_f64(piece as f64 / f64::from(speed)),
    )
}
