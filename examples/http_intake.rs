//! How do I accept events over HTTP without losing any?
//!
//! ```console
//! $ cargo run --features queue,http --example http_intake -- 8080
//! $ curl -i --data 'door opened' http://127.0.0.1:8080/events
//! ```
//!
//! Answers 202 once the event is on disk, and not before: a queue in a folder confirms it. A pipeline writes the events in batches to
//! a file. Kill the program at any time and start it again: each event that was answered with 202 reaches the file. It may be there
//! twice, if the kill came between the write and the acknowledgement.
//!
//! If the event is not confirmed within two seconds, as on a full disk, the answer is 503 with `Retry-After`, and the client sends the
//! event again. To see it, reserve more free space than the disk has: `-- 8080 /tmp/intake 1000000000000000`.
//!
//! SIGTERM and Ctrl-C stop the server first and then the pipeline. Accepted events that are not in the file yet stay in the queue for
//! the next start.

use std::{
    env,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use broadway::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Outgoing, Pipeline, Publisher,
    Record,
    publisher::PublishErrorKind,
    queue::{Queue, QueueFolder, QueuePublisher, QueueRecord},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

const TOPIC: &str = "events";

/// The file at the end. A database in your program.
struct Sink {
    file: Mutex<File>,
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let mut last = *b"\n";
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        // Ends a line that a kill has cut off. Its event was not acknowledged, and is written again.
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    /// Returns when the lines are on disk: after that, their events are acknowledged.
    fn write(&self, lines: &[String]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let len = file.metadata()?.len();
        let text = lines.concat();
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_data());
        if written.is_err() {
            // All of the batch is delivered again.
            file.set_len(len)?;
        }
        written
    }
}

impl Handler for Sink {
    type In = QueueRecord;
    type Out = String; // a line
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<QueueRecord>,
    ) -> Result<Next<String, OneBatcher>, BoxError> {
        let event = message.data().payload().escape_ascii();
        Ok(Next::batch(OneBatcher, format!("{event}\n")))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<String>) -> Result<(), BoxError> {
        // Blocks this task for one write; a database would be awaited.
        self.write(batch.data())?;
        Ok(())
    }
}

/// Answers when the event is durable. Requests that wait at the same time share one `fsync`.
async fn accept(State(events): State<QueuePublisher>, body: Bytes) -> Response {
    let Err(error) = events.publish_one(Outgoing::new(body)).await else {
        return StatusCode::ACCEPTED.into_response();
    };
    eprintln!("not accepted: {error}");
    match error.kind() {
        PublishErrorKind::Refused => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        // The disk is full, or the program ends.
        _ => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")]).into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    let port: u16 = arguments.next().as_deref().unwrap_or("8080").parse()?;
    let path = arguments
        .next()
        .map_or_else(|| env::temp_dir().join("broadway-intake"), PathBuf::from);
    let mut folder = QueueFolder::new(path.join("queue"));
    if let Some(bytes) = arguments.next() {
        folder = folder.free_space_min(bytes.parse()?);
    }

    let events = QueuePublisher::topic(folder.clone(), TOPIC)
        .confirm_timeout(Duration::from_secs(2))
        .open()
        .await?;
    let sink = Sink::open(&path.join("events.txt"))?;
    let topology = Pipeline::new(Queue::topic(folder, TOPIC).group("sink"), sink)
        .name("intake")
        .batchers(|_| Batching::new(1_000, Duration::from_millis(100)))
        .start()
        .await?;

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let routes = Router::new()
        .route("/events", post(accept))
        .with_state(events.clone());
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::select! {
        // Ends after a signal, when open requests are answered.
        served = axum::serve(listener, routes).with_graceful_shutdown(stop) => served?,
        // Ends early only with an error.
        ended = topology.wait() => drop(ended?),
    }
    events.close().await?;
    let totals = topology.drain().await?;
    println!(
        "written {} events to {}",
        totals.done,
        path.join("events.txt").display()
    );
    Ok(())
}
