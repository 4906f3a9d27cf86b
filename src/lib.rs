//! Ingestion pipelines: concurrent, batched, in order per key, and acknowledged only when done.
//!
//! `broadway` reads messages from a source, handles them in many concurrent tasks, collects them
//! into batches, and reports to the source how each message ended. It is to Rust what [Broadway] is
//! to Elixir.
//!
//! ```text
//!             demand ▲           demand ▲            demand ▲
//!                    │                  │                   │
//!  Source ─opens─► Producer ═════► Processor ═════► Batcher ═════► BatchProcessor   messages
//!                    ▲           handle_message     by key         handle_batch
//!                    │            │ done / failed                   │ done / failed
//!                    └── settle ◄─┴─────────────────────────────────┘               acknowledgements
//! ```
//!
//! You write the callbacks of a [`Handler`] and choose a source. The pipeline fetches only what its
//! processors have room for, fails a message on its own when its callback fails or panics,
//! acknowledges a batch only after it was written, and finishes the messages in flight when the
//! process receives SIGTERM.
//!
//! # Ten lines
//!
//! ```
//! use broadway::{Message, Pipeline, handler_fn, source};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let source = source::from_iter(|_producer| 1..=100_u64);
//! let handler = handler_fn(|message: &mut Message<u64>| {
//!     println!("hello, number {}", message.data());
//!     Ok(())
//! });
//! let totals = Pipeline::new(source, handler).start().await?.wait().await?;
//! assert_eq!((totals.done, totals.failed), (100, 0));
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
//! ```
//!
//! `examples/quickstart.rs` has batches, keys and dead letters.
//!
//! # Types of a pipeline
//!
//! The root of the crate holds the 26 types that users of a pipeline meet, two functions and a macro:
//!
//! | to | use |
//! |---|---|
//! | handle messages | [`Handler`], [`Message`], [`Next`], [`Chunk`], [`Failed`], [`NoBatcher`]; [`handler_fn`] and [`handler_fn_async`] for closures |
//! | handle batches | [`batchers!`], [`Batch`], [`Batching`], [`OneBatcher`] |
//! | configure and start | [`Pipeline`], [`Processors`], [`RateLimit`], [`RestartPolicy`], [`OnDrain`] |
//! | watch, pause, drain | [`Topology`], [`Totals`] |
//! | push messages | [`Pusher`], [`Receipt`] |
//! | read records of any broker | [`Record`] |
//! | add layers: time limits, a circuit breaker | [`HandlerExt`], with the types of [`layer`] |
//! | publish, and send dead letters | [`Publisher`], [`Outgoing`], [`DeadLetters`] |
//! | handle errors | [`BoxError`], [`StartError`], [`RunError`] |
//!
//! Everything else is in a module:
//!
//! | module | for |
//! |---|---|
//! | `kafka`, `pubsub`, `rabbitmq`, `sqs` | the sources and publishers of a broker, each behind the feature of its name |
//! | `queue` | a durable queue in a folder, inside the process (feature `queue`) |
//! | `flow` | parallel dataflow: map, partition, aggregate in windows, join (feature `flow`) |
//! | [`source`] | sources from iterators and streams, sources chosen at run time, and the traits for a source of your own |
//! | [`publisher`] | what publishers share, and publishers chosen at run time |
//! | [`layer`] | handlers around a handler: timeouts, a circuit breaker, quotas per key, deduplication |
//! | [`failure`] | the class of an error, retries, and what happens to messages that fail |
//! | [`dead_letters`] | reading, listing and replaying dead letters |
//! | [`handler`], [`pipeline`], [`error`] | types that you seldom name |
//! | [`telemetry`] | logs, metrics, and a summary table |
//! | `testing` | the test kit (feature `testing`) |
//! | [`stage`] | producers and consumers that you connect yourself, also at run time |
//! | [`connector`] | tools for authors of connectors |
//!
//! The guides are in the repository: `docs/delivery.md` (guarantees and limits), `docs/failures.md` (when things fail),
//! `docs/dead-letters.md`, `docs/testing.md`,
//! `docs/tuning.md`, `docs/telemetry.md` and `docs/writing-stages.md`. `ARCHITECTURE.md` is for
//! contributors.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `tracing` | yes | `telemetry::TracingObserver`, which logs failures, restarts, start and end through the `tracing` crate |
//! | `metrics` | no | `telemetry::MetricsObserver`, which records metrics through the `metrics` facade |
//! | `flow` | no | `flow::Flow` and `flow::Lines`, parallel dataflow over stages |
//! | `flow-progress` | no | `flow::Flow::progress_bar`, a progress bar in the terminal; implies `flow` |
//! | `kafka` | no | `kafka::Kafka`, a source that reads Kafka; needs a C compiler and the headers of OpenSSL |
//! | `pubsub` | no | `pubsub::PubSub`, a source that reads Google Cloud Pub/Sub; needs a C compiler |
//! | `queue` | no | `queue::Queue`, a source that reads a durable queue in a folder, without a broker |
//! | `queue-rocksdb` | no | `queue::StorageKind::RocksDb`, another store of that queue; needs a C++ compiler and libclang, and builds for minutes |
//! | `rabbitmq` | no | `rabbitmq::RabbitMq`, a source that reads RabbitMQ; needs a C compiler |
//! | `sqs` | no | `sqs::Sqs`, a source that reads Amazon SQS; needs a C compiler |
//! | `testing` | no | `testing`, the test kit, and `testing` of each connector: a feature for `[dev-dependencies]` |
//! | `conformance` | no | `testing::conformance`, the suite that connectors pass, and `testing::Proxy`; implies `testing` |
//! | `portable` | no | `portable`, for connectors: headers that a broker cannot represent |
//!
//! Each broker's feature, and `queue`, add a publisher, too. No other feature needs a C compiler.
//!
//! # Runtime
//!
//! Pipelines run on tokio with its time driver enabled; [`Topology::wait_or_signal`] also needs the
//! IO driver. `#[tokio::main]` enables both. Without timers, [`Pipeline::start`] fails with
//! [`StartError::NoTimers`]; without IO, `wait_or_signal` fails with [`RunError::Signals`].
//!
//! [Broadway]: https://elixir-broadway.org

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

pub use broadway_core::{
    Batch, Batching, BoxError, Chunk, DeadLetters, Failed, Handler, HandlerExt, Message, Next,
    NoBatcher, OnDrain, OneBatcher, Outgoing, Pipeline, Processors, Publisher, Pusher, RateLimit,
    Receipt, Record, RestartPolicy, RunError, StartError, Topology, Totals, batchers, handler_fn,
    handler_fn_async, layer, stage, telemetry,
};

/// Parts of messages and batches: keys, rows, batchers, and the handlers that closures make.
pub mod handler {
    pub use broadway_core::{BatchKey, BatcherKey, HandlerFn, MessageMut, Row, RowId, Trigger};
}

/// Values that pipelines take and return: descriptions, partition keys, restart intensity, and the results of pushing.
pub mod pipeline {
    pub use broadway_core::{
        BatcherDescription, Description, Intensity, KeyHash, PartitionKey, Pause, PushError,
        Pushed, RunningBatcher, RunningPipeline, SourceDescription, Split,
    };
}

/// When things fail: the class of an error, and the policy for messages that fail. See `docs/failures.md`.
pub mod failure {
    pub use broadway_core::{
        ClassifiedError, Classify, ErrorClass, FailureAction, FailurePolicy, Retry, permanent,
        poison, postpone, transient,
    };
}

/// Parts of errors: why a message failed, in which callback, and which options are invalid.
pub mod error {
    pub use broadway_core::{Callback, ConfigError, Fatal, Problem, Reason};
}

/// Where messages come from: sources from iterators and streams, sources whose type is erased, and the traits for a source of your own.
///
/// A [`Source`](source::Source) opens [`SourceProducer`](source::SourceProducer)s, which deliver messages on demand. When a message
/// ends, its [`Acknowledger`](source::Acknowledger) receives the token that was delivered with it, once, with an
/// [`Outcome`](source::Outcome). `examples/own_source.rs` implements all three.
pub mod source {
    pub use broadway_core::source::*;
    pub use broadway_core::{Acknowledger, NoAckOptions, NoopAcknowledger, Outcome, Settled};
}

/// The sending side: headers and errors of messages to be published, publishers that are observed, and publishers whose type is erased.
///
/// The traits and types of every publisher, [`Publisher`] and [`Outgoing`], are in the root of the crate.
pub mod publisher {
    pub use broadway_core::{
        BoxPublisher, Header, HeaderName, HeaderValue, Observed, PublishError, PublishErrorKind,
    };
}

/// Dead letters: what they carry, and how to list them and replay their messages. [`DeadLetters`] sends them.
///
/// The program `broadway-dlq` does the same from the command line.
pub mod dead_letters {
    pub use broadway_core::dead_letter::{DeadLetter, DeadLetterInfo, headers};
    pub use broadway_core::replay::{
        DeadLetterQueue, Leave, ListedLetter, Replay, ReplayError, ReplayReport, StopReason,
    };
}

/// Tools for authors of connectors: option checks, deadlines, back-off, typed client errors, redaction, and more.
pub mod connector {
    pub use broadway_core::connector::*;
    pub use broadway_core::{Checks, Deadline};
}

#[cfg(feature = "portable")]
#[cfg_attr(docsrs, doc(cfg(feature = "portable")))]
pub use broadway_core::portable;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub use broadway_core::testing;
#[cfg(feature = "flow")]
#[cfg_attr(docsrs, doc(cfg(feature = "flow")))]
pub use broadway_flow as flow;
#[cfg(feature = "kafka")]
#[cfg_attr(docsrs, doc(cfg(feature = "kafka")))]
pub use broadway_kafka as kafka;
#[cfg(feature = "pubsub")]
#[cfg_attr(docsrs, doc(cfg(feature = "pubsub")))]
pub use broadway_pubsub as pubsub;
#[cfg(feature = "queue")]
#[cfg_attr(docsrs, doc(cfg(feature = "queue")))]
pub use broadway_queue as queue;
#[cfg(feature = "rabbitmq")]
#[cfg_attr(docsrs, doc(cfg(feature = "rabbitmq")))]
pub use broadway_rabbitmq as rabbitmq;
#[cfg(feature = "sqs")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqs")))]
pub use broadway_sqs as sqs;

/// Compiles and runs what the README shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Compiles and runs what the guide shows.
#[cfg(doctest)]
#[doc = include_str!("../docs/writing-stages.md")]
struct WritingStages;

/// Compiles what the page about delivery shows.
#[cfg(doctest)]
#[doc = include_str!("../docs/delivery.md")]
struct DeliveryPage;

/// Compiles what the page about failures shows.
#[cfg(doctest)]
#[doc = include_str!("../docs/failures.md")]
struct FailuresPage;
/// Compiles what the page about dead letters shows.
#[cfg(doctest)]
#[doc = include_str!("../docs/dead-letters.md")]
struct DeadLettersPage;

/// Compiles what the page about Kubernetes shows.
#[cfg(doctest)]
#[doc = include_str!("../docs/kubernetes.md")]
struct KubernetesPage;

/// Compiles and runs what the page about flows shows.
#[cfg(all(doctest, feature = "flow", feature = "queue"))]
#[doc = include_str!("../docs/dataflow.md")]
struct DataflowPage;

/// Compiles and runs what the page for users of Flow shows.
#[cfg(all(doctest, feature = "flow"))]
#[doc = include_str!("../docs/coming-from-flow.md")]
struct ComingFromFlowPage;

/// Compiles what the page about Kafka shows.
#[cfg(all(doctest, feature = "kafka"))]
#[doc = include_str!("../docs/kafka.md")]
struct KafkaPage;

/// Compiles what the page about Pub/Sub shows.
#[cfg(all(doctest, feature = "pubsub"))]
#[doc = include_str!("../docs/pubsub.md")]
struct PubSubPage;

/// Compiles what the page about the embedded queue shows.
#[cfg(all(doctest, feature = "queue"))]
#[doc = include_str!("../docs/queue.md")]
struct QueuePage;

/// Compiles what the page about RabbitMQ shows.
#[cfg(all(doctest, feature = "rabbitmq"))]
#[doc = include_str!("../docs/rabbitmq.md")]
struct RabbitMqPage;

/// Compiles what the page about SQS shows.
#[cfg(all(doctest, feature = "sqs"))]
#[doc = include_str!("../docs/sqs.md")]
struct SqsPage;

/// Compiles what the page about growing beyond one process shows.
#[cfg(all(doctest, feature = "queue"))]
#[doc = include_str!("../docs/scaling-out.md")]
struct ScalingOutPage;
