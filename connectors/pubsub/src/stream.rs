//! The reader of a stream: a task that takes what the service sends as long as there is room, so that the client keeps it
//! under lease from the moment it arrives.
//!
//! It ends when the stream does: by its [`ShutdownToken`](google_cloud_pubsub::subscriber::ShutdownToken), or for good by an
//! error. Streams that break for a while are opened again by the client, with a growing pause of at most a minute where
//! nobody can be reached; handlers outlive that.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Instant,
};

use google_cloud_pubsub::{
    Error,
    model::Message,
    subscriber::{MessageStream, handler::Handler},
};

use crate::{
    connect::Target,
    held::{Held, Limits},
    pulse::Pulse,
};

/// How many messages are taken in at once, at most.
const CHUNK_MAX: usize = 1_000;

/// Reads until the stream ends.
pub(crate) async fn read(
    mut stream: MessageStream,
    held: Arc<Held>,
    pulse: Arc<Mutex<Pulse>>,
    target: Arc<Target>,
) {
    let mut reader = Reader {
        held: &held,
        pulse: &pulse,
        chunk: Vec::new(),
    };
    while let Some(room) = held.room().await {
        reader.pulse().resume(Instant::now());
        // Told to stop, it drops the stream where it stands: what ends here can't lose anything any more.
        let end = tokio::select! {
            biased;
            () = held.stopped() => End::Stopped,
            end = reader.fill(&mut stream, room) => end,
        };
        reader.deliver();
        reader.pulse().pause();
        let error = match end {
            End::Full => continue,
            End::Stopped => break,
            End::Failed(error) => target.explain(&error),
            End::Storm => format!(
                "connections for `subscription` = {:?} at {} break as soon as they are made",
                target.name, target.endpoint
            ),
        };
        held.fail(error, false);
        break;
    }
}

struct Reader<'a> {
    held: &'a Held,
    pulse: &'a Mutex<Pulse>,
    chunk: Vec<(Message, Handler)>,
}

enum End {
    /// There is no more room.
    Full,
    Stopped,
    Failed(Error),
    Storm,
}

enum Next {
    Message(Message, Handler),
    End(End),
}

impl Reader<'_> {
    /// Takes messages in until the room is used up.
    async fn fill(&mut self, stream: &mut MessageStream, mut room: Limits) -> End {
        while room.messages > 0 && room.bytes > 0 {
            match self.next(stream).await {
                Next::Message(message, handler) => {
                    room.messages -= 1;
                    room.bytes = room.bytes.saturating_sub(message.data.len());
                    self.chunk.push((message, handler));
                    if self.chunk.len() >= CHUNK_MAX {
                        self.deliver();
                    }
                }
                Next::End(end) => {
                    self.deliver();
                    return end;
                }
            }
        }
        self.deliver();
        End::Full
    }

    /// The next message. What came before is handed on as soon as there is none at once.
    ///
    /// The future of the client is never dropped half-way: that would throw away a stream which is just being opened.
    async fn next(&mut self, stream: &mut MessageStream) -> Next {
        let mut next = pin!(stream.next());
        let mut is_first = true;
        poll_fn(|cx| {
            let is_woken = !std::mem::take(&mut is_first);
            match next.as_mut().poll(cx) {
                Poll::Ready(Some(Ok((message, handler)))) => {
                    Poll::Ready(Next::Message(message, handler))
                }
                Poll::Ready(Some(Err(error))) => Poll::Ready(Next::End(End::Failed(error))),
                Poll::Ready(None) => Poll::Ready(Next::End(End::Stopped)),
                Poll::Pending if !self.chunk.is_empty() => {
                    self.deliver();
                    Poll::Pending
                }
                Poll::Pending if is_woken && self.pulse().woke(Instant::now()) => {
                    Poll::Ready(Next::End(End::Storm))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn deliver(&mut self) {
        if !self.chunk.is_empty() {
            self.pulse().brought(Instant::now());
            self.held.arrive(&mut self.chunk);
        }
    }

    fn pulse(&self) -> std::sync::MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
