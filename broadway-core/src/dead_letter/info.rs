//! [`DeadLetterInfo`]: reads the headers of a dead letter.

use std::time::SystemTime;

use super::{
    headers::{
        ATTEMPTS, CLASS, DELIVERIES, ERROR_CHAIN, FAILED_AT, ID, ORIGIN, PIPELINE, REASON, REPLAYS,
        STAGE, TIME,
    },
    text::time,
};
use crate::{failure::ErrorClass, message::Record};

/// The headers of a dead letter, read from a record of any broker.
///
/// A dead letter of an earlier version, or of another program, may have fewer headers: those that are missing or cannot be read are
/// `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterInfo {
    /// The coordinates of the record that failed, such as `orders[3]@88127`.
    pub origin: String,
    /// The id: the same each time that this record became a dead letter of this pipeline, if its [`origin`](Self::origin) identifies
    /// it.
    pub id: Option<String>,
    /// Why it failed. Empty if unknown.
    pub reason: String,
    /// The sources of the error, from the outermost to the innermost.
    pub error_chain: Vec<String>,
    /// The class of the error.
    pub class: Option<ErrorClass>,
    /// The callback that failed, and after a colon the batcher if that is known.
    pub stage: Option<String>,
    /// How often the program tried to handle it.
    pub attempts: Option<u32>,
    /// How often the source's broker had delivered it.
    pub deliveries: Option<u32>,
    /// The name of the pipeline.
    pub pipeline: Option<String>,
    /// The time of the record that failed.
    pub time: Option<SystemTime>,
    /// When it failed.
    pub failed_at: Option<SystemTime>,
    /// How often it was replayed before it failed.
    pub replays: u32,
}

impl DeadLetterInfo {
    /// Reads the headers of `record`. Returns `None` unless it has the header that marks a dead letter,
    /// [`ORIGIN`](super::headers::ORIGIN), and that is text.
    #[must_use]
    pub fn of<R: Record>(record: &R) -> Option<Self> {
        let text = |name| std::str::from_utf8(record.header(name)?).ok();
        let owned = |name| text(name).map(str::to_owned);
        let number = |name| text(name)?.parse().ok();
        Some(Self {
            origin: owned(ORIGIN)?,
            id: owned(ID),
            reason: owned(REASON).unwrap_or_default(),
            error_chain: text(ERROR_CHAIN)
                .map(|lines| lines.lines().map(str::to_owned).collect())
                .unwrap_or_default(),
            class: text(CLASS).and_then(ErrorClass::from_name),
            stage: owned(STAGE),
            attempts: number(ATTEMPTS),
            deliveries: number(DELIVERIES),
            pipeline: owned(PIPELINE),
            time: text(TIME).and_then(time),
            failed_at: text(FAILED_AT).and_then(time),
            replays: number(REPLAYS).unwrap_or(0),
        })
    }

    /// Returns the topic or queue of the record that failed, as its coordinates name it: `orders` of `orders[3]@88127` (Kafka), and of
    /// `orders@id` and `orders#7` (SQS and RabbitMQ). `None` if they name none, as with Pub/Sub.
    #[must_use]
    pub fn origin_name(&self) -> Option<&str> {
        if let Some(topic) = self.origin_topic() {
            return Some(topic);
        }
        // A message id may have any characters, a name of a queue hardly one of these.
        let (name, _) = self.origin.split_once(['@', '#'])?;
        (!name.is_empty()).then_some(name)
    }

    /// Returns the Kafka topic of the record that failed. `None` if it came from another broker.
    #[must_use]
    pub fn origin_topic(&self) -> Option<&str> {
        let (partition, offset) = self.origin.rsplit_once('@')?;
        let (topic, number) = partition.strip_suffix(']')?.rsplit_once('[')?;
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(offset) && is_number(number) && !topic.is_empty()).then_some(topic)
    }
}
