//! Ingestion pipelines: concurrent, batched, in order per key, and acknowledged only when done.
//!
//! `broadway` reads messages from a source, handles them on many tasks at once, collects them into
//! batches for the sinks, and tells the source how each of them ended. It is for Rust what
//! [Broadway] is for Elixir.
//!
//! ```text
//!             demand ▲           demand ▲            demand ▲
//!                    │                  │                   │
//!  Source ─opens─► Producer ═════► Processor ═════► Batcher ═════► BatchProcessor   messages go down
//!                    ▲           handle_message     by key         handle_batch
//!                    │            │ done / failed                   │ done / failed
//!                    └── settle ◄─┴─────────────────────────────────┘               settlement goes home
//! ```
//!
//! You write the callbacks of a [`Handler`] and choose a [`Source`]. The rest is the pipeline's:
//! nothing is fetched that nobody asked for, a message that fails or panics fails alone, a batch is
//! acknowledged after it was written and never before, and on SIGTERM what is in flight comes to
//! its end before the program does.
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
//! A pipeline with batches, keys and a path for bad records is in `examples/quickstart.rs`.
//!
//! # Where to find what
//!
//! | you want to | look at |
//! |---|---|
//! | handle messages and batches | [`Handler`], or [`handler_fn`] for a closure |
//! | name batchers | [`batchers!`], [`Next::batch`] |
//! | configure and start | [`Pipeline`], [`Processors`], [`Batching`] |
//! | watch, pause, drain | [`Topology`] |
//! | keep the order of a key | [`Processors::partition_by`], [`Processors::by_record_key`] |
//! | read from something of your own | [`Source`], [`SourceProducer`], [`Acknowledger`] |
//! | wire producers and consumers by hand, also at run time | [`stage`] |
//! | have logs, metrics, a closing table | [`telemetry`] |
//!
//! Guides, in the repository: `docs/delivery.md` (what is promised, and all limits),
//! `docs/testing.md`, `docs/tuning.md`, `docs/telemetry.md`, `docs/writing-stages.md`; `ARCHITECTURE.md` for who wants to look inside.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `tracing` | yes | failures, restarts, start and end are logged through the `tracing` crate: `telemetry::TracingObserver` |
//! | `metrics` | no | `telemetry::MetricsObserver`: metrics through the `metrics` facade |
//! | `kafka` | no | `kafka::Kafka`: a source that reads Kafka; needs a C compiler and the headers of OpenSSL |
//! | `testing` | no | `testing`, the test kit, and `testing` of each connector: a feature for `[dev-dependencies]` |
//! | `conformance` | no | `testing::conformance`, the suite that connectors pass, and `testing::Proxy`; implies `testing` |
//! | `portable` | no | `portable`: for connectors, headers that a broker cannot express |
//! | `pubsub` | no | `pubsub::PubSub`: a source that reads Google Cloud Pub/Sub; needs a C compiler |
//! | `rabbitmq` | no | `rabbitmq::RabbitMq`: a source that reads RabbitMQ; needs a C compiler |
//! | `sqs` | no | `sqs::Sqs`: a source that reads Amazon SQS; needs a C compiler |
//!
//! Each of the four has a publisher beside its source. No other feature needs a C compiler.
//!
//! # Runtime
//!
//! Pipelines run on tokio, with its time driver enabled; on its IO driver too where
//! [`Topology::wait_or_signal`] listens for signals. `#[tokio::main]` has both.
//! Without timers `start` fails with [`StartError::NoTimers`]; without IO `wait_or_signal` fails with [`RunError::Signals`].
//!
//! [Broadway]: https://elixir-broadway.org

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

pub use broadway_core::{
    Acknowledger, Batch, BatchKey, BatcherDescription, BatcherKey, Batching, BoxError, Callback,
    Checks, Chunk, ConfigError, DeadLetters, Deadline, Delivery, Description, Failed, Fatal,
    Handler, HandlerFn, Header, HeaderName, HeaderValue, Intensity, KeyHash, Message, MessageMut,
    Next, NoAckOptions, NoBatcher, NoopAcknowledger, Observed, OnDrain, OneBatcher, OpenContext,
    Outcome, Outgoing, PartitionKey, Pipeline, Problem, Processors, Produced, PublishError,
    PublishErrorKind, Publisher, PushError, Pushed, Pusher, RateLimit, Reason, Receipt, Record,
    RestartPolicy, Row, RowId, RunError, Settled, Source, SourceExt, SourceProducer, Split,
    StartError, Topology, Totals, Trigger, batchers, connector, handler_fn, handler_fn_async,
    source, stage, telemetry,
};

#[cfg(feature = "portable")]
#[cfg_attr(docsrs, doc(cfg(feature = "portable")))]
pub use broadway_core::portable;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub use broadway_core::testing;
#[cfg(feature = "kafka")]
#[cfg_attr(docsrs, doc(cfg(feature = "kafka")))]
pub use broadway_kafka as kafka;
#[cfg(feature = "pubsub")]
#[cfg_attr(docsrs, doc(cfg(feature = "pubsub")))]
pub use broadway_pubsub as pubsub;
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

/// Compiles and runs what the page about testing shows.
#[cfg(all(
    doctest,
    feature = "kafka",
    feature = "pubsub",
    feature = "rabbitmq",
    feature = "sqs",
    feature = "testing"
))]
#[doc = include_str!("../docs/testing.md")]
struct TestingPage;

/// Compiles what the page about Kubernetes shows.
#[cfg(doctest)]
#[doc = include_str!("../docs/kubernetes.md")]
struct KubernetesPage;

/// Compiles what the page about Kafka shows.
#[cfg(all(doctest, feature = "kafka"))]
#[doc = include_str!("../docs/kafka.md")]
struct KafkaPage;

/// Compiles what the page about Pub/Sub shows.
#[cfg(all(doctest, feature = "pubsub"))]
#[doc = include_str!("../docs/pubsub.md")]
struct PubSubPage;

/// Compiles what the page about RabbitMQ shows.
#[cfg(all(doctest, feature = "rabbitmq"))]
#[doc = include_str!("../docs/rabbitmq.md")]
struct RabbitMqPage;

/// Compiles what the page about SQS shows.
#[cfg(all(doctest, feature = "sqs"))]
#[doc = include_str!("../docs/sqs.md")]
struct SqsPage;
