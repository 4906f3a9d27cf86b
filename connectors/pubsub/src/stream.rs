//! Reads a stream: a task that takes messages as long as there is room, so that the client keeps them under lease from the moment
//! they arrive.
//!
//! The task ends when the stream does: by its [`ShutdownToken`](google_cloud_pubsub::subscriber::ShutdownToken), or by an error that the
//! client does not retry. The client reopens streams that break, with growing pauses of at most a minute while the service is
//! unreachable; handlers outlive that.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Instant,
};

use broadway_core::connector::ConnectorError;
use google_cloud_pubsub::{
    Error,
    model::Message,
    subscriber::{MessageStream, handler::Handler},
};

use crate::{
    error::Resource,
    liveness::Liveness,
    unsettled::{OutstandingLimits, UnsettledMessages},
};

/// Maximum number of messages that are added at once.
const CHUNK_MAX: usize = 1_000;

/// Reads until the stream ends or reading stops.
pub(crate) async fn read(
    mut stream: MessageStream,
    unsettled: Arc<UnsettledMessages>,
    liveness: Arc<Mutex<Liveness>>,
    resource: Arc<Resource>,
) {
    let mut reader = StreamReader {
        unsettled: &unsettled,
        liveness: &liveness,
        chunk: Vec::new(),
    };
    while let Some(room) = unsettled.room().await {
        reader.liveness().resume(Instant::now());
        // Biased: a stop wins over a stream that is always ready. The stream is then dropped where it stands, which loses nothing that
        // is still wanted.
        let end = tokio::select! {
            biased;
            () = unsettled.stopped() => ReadEnd::Stopped,
            end = reader.fill(&mut stream, room) => end,
        };
        reader.deliver();
        reader.liveness().pause();
        let error = match end {
            ReadEnd::NoRoom => continue,
            ReadEnd::Stopped => break,
            ReadEnd::Failed(error) => resource.explain(&error),
            ReadEnd::ReconnectStorm => ConnectorError::transient(format!(
                "connections for `subscription` = {:?} at {} break as soon as they are made",
                resource.name, resource.endpoint
            )),
        };
        unsettled.fail(error);
        break;
    }
}

struct StreamReader<'a> {
    unsettled: &'a UnsettledMessages,
    liveness: &'a Mutex<Liveness>,
    chunk: Vec<(Message, Handler)>,
}

/// Why reading ended.
enum ReadEnd {
    NoRoom,
    Stopped,
    Failed(Error),
    ReconnectStorm,
}

enum StreamItem {
    Message(Message, Handler),
    End(ReadEnd),
}

impl StreamReader<'_> {
    /// Reads until the room is used up or the stream ends.
    async fn fill(&mut self, stream: &mut MessageStream, mut room: OutstandingLimits) -> ReadEnd {
        while room.messages > 0 && room.bytes > 0 {
            match self.next(stream).await {
                StreamItem::Message(message, handler) => {
                    room.messages -= 1;
                    room.bytes = room.bytes.saturating_sub(message.data.len());
                    self.chunk.push((message, handler));
                    if self.chunk.len() >= CHUNK_MAX {
                        self.deliver();
                    }
                }
                StreamItem::End(end) => {
                    self.deliver();
                    return end;
                }
            }
        }
        self.deliver();
        ReadEnd::NoRoom
    }

    /// Returns the next message. Delivers earlier ones first if it has to wait.
    ///
    /// The client's future is polled to its end and never dropped half-way: that would drop a stream which is just being opened.
    async fn next(&mut self, stream: &mut MessageStream) -> StreamItem {
        let mut next = pin!(stream.next());
        // The first poll is not a wake of the stream, so it does not count as a sign of a bad connection.
        let mut is_first = true;
        poll_fn(|cx| {
            let is_woken = !std::mem::take(&mut is_first);
            match next.as_mut().poll(cx) {
                Poll::Ready(Some(Ok((message, handler)))) => {
                    Poll::Ready(StreamItem::Message(message, handler))
                }
                Poll::Ready(Some(Err(error))) => {
                    Poll::Ready(StreamItem::End(ReadEnd::Failed(error)))
                }
                Poll::Ready(None) => Poll::Ready(StreamItem::End(ReadEnd::Stopped)),
                Poll::Pending if !self.chunk.is_empty() => {
                    self.deliver();
                    Poll::Pending
                }
                Poll::Pending if is_woken && self.liveness().on_empty_wake(Instant::now()) => {
                    Poll::Ready(StreamItem::End(ReadEnd::ReconnectStorm))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn deliver(&mut self) {
        if !self.chunk.is_empty() {
            self.liveness().on_messages(Instant::now());
            self.unsettled.receive(&mut self.chunk);
        }
    }

    fn liveness(&self) -> MutexGuard<'_, Liveness> {
        self.liveness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
