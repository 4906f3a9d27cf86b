//! Dead letters to be listed, and to be sent again: [`DeadLetterQueue`] and [`Replay`].
//!
//! A [`DeadLetterQueue`] reads the topic or queue of dead letters through any source of records. It lists them, or a [`Replay`] sends
//! their messages through any publisher, to where they came from or elsewhere.
//!
//! ```
//! use broadway_core::{
//!     BoxError, ErrorClass, Publisher, RateLimit, Record, Source, SourceProducer,
//!     replay::{DeadLetterQueue, ReplayReport},
//! };
//! use std::time::Duration;
//!
//! async fn replay<S, R, P>(dead_letters: S, publisher: P) -> Result<ReplayReport, BoxError>
//! where
//!     S: Source<Producer: SourceProducer<Item = R>>,
//!     R: Record,
//!     P: Publisher,
//! {
//!     let report = DeadLetterQueue::new(dead_letters)
//!         .filter(|letter, _record| letter.class == Some(ErrorClass::Transient))
//!         .replay(publisher)
//!         .rate_limit(RateLimit::per(100, Duration::from_secs(1)))
//!         .run()
//!         .await?;
//!     Ok(report)
//! }
//! ```
//!
//! # What a replay promises
//!
//! - A dead letter is settled, and so removed from its queue, only after its message was confirmed. If the message is refused, is not
//!   confirmed, or the program ends, the dead letter stays.
//! - The message has the payload, key and headers of the record that failed, byte for byte, without the
//!   [headers of the dead letter](crate::dead_letter::headers). Two remain: `broadway-id`, by which a consumer can drop a message that it
//!   has handled already, and `broadway-replays`, which counts the replays.
//! - So a replay that is repeated does no harm: a message that is sent twice has the same `broadway-id`.
//! - Messages are sent in the order in which the source delivers the dead letters.
//! - Dead letters that do not match stay: see [`Leave`].

mod error;
mod handler;
mod message;
mod options;
mod queue;
mod report;
mod run;
mod sender;
mod session;

pub use error::ReplayError;
pub use options::Leave;
pub use queue::{DeadLetterQueue, ListedLetter};
pub use report::{ReplayReport, StopReason};
pub use sender::Replay;
