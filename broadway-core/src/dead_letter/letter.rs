//! [`DeadLetter`]: makes the dead letter of a record.

use std::time::SystemTime;

use super::{
    headers::{
        ATTEMPTS, CLASS, DELIVERIES, ERROR_CHAIN, FAILED_AT, ID, ORIGIN, PIPELINE, REASON, STAGE,
        TIME, is_of_letter,
    },
    identity::id,
    text::{bounded, millis, sources},
};
use crate::{error::Reason, message::Record, publisher::Outgoing};

/// The most bytes of the origin, of the reason, and of the error's sources: brokers limit headers, Pub/Sub to 1,024 bytes.
const TEXT_BYTES_MAX: usize = 1_024;
/// The most bytes of the names of a pipeline, and of a callback with its batcher.
const NAME_BYTES_MAX: usize = 256;

/// A failure, described for the dead letter of its message. [`DeadLetters`](crate::DeadLetters) makes them for a pipeline.
///
/// [`of`](Self::of) copies a record, and adds the [headers](super::headers) of a dead letter.
///
/// ```
/// use broadway_core::{Outgoing, Reason, Record, dead_letter::DeadLetter};
///
/// fn letter<R: Record>(record: &R, reason: &Reason) -> Outgoing {
///     DeadLetter::new(reason).attempts(3).pipeline("orders").of(record).to("orders.dead")
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a dead letter is made by `of`"]
pub struct DeadLetter<'a> {
    reason: &'a Reason,
    attempts: u32,
    pipeline: Option<&'a str>,
    batcher: Option<&'a str>,
    failed_at: SystemTime,
}

impl<'a> DeadLetter<'a> {
    /// Creates the description of a failure that happened now, at the first attempt.
    pub fn new(reason: &'a Reason) -> Self {
        Self {
            reason,
            attempts: 1,
            pipeline: None,
            batcher: None,
            failed_at: SystemTime::now(),
        }
    }

    /// Sets how often the program tried to handle the message. Defaults to 1.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the name of the pipeline. None by default.
    pub fn pipeline(mut self, name: &'a str) -> Self {
        self.pipeline = Some(name);
        self
    }

    /// Sets the batcher in whose batch the message failed. None by default.
    pub fn batcher(mut self, name: &'a str) -> Self {
        self.batcher = Some(name);
        self
    }

    /// Sets when the message failed. Defaults to the time of [`new`](Self::new).
    pub fn failed_at(mut self, time: SystemTime) -> Self {
        self.failed_at = time;
        self
    }

    /// Returns the dead letter of `record`: its payload, key and headers, and the headers of this failure. They add less than 5 kB.
    ///
    /// The broker dates a dead letter when it arrives: with the time of the record, retention could delete it at once. If the record is
    /// a dead letter itself, the headers of this failure replace the earlier ones.
    pub fn of<R: Record>(&self, record: &R) -> Outgoing {
        let mut letter = Outgoing::from_record(record);
        letter.retain_headers(|header| !is_of_letter(&header.name));
        let origin = record.id();
        let id = id(record, &origin, self.pipeline);
        let reason = bounded(self.reason.to_string(), TEXT_BYTES_MAX);
        letter = letter
            .header(ORIGIN, bounded(origin, TEXT_BYTES_MAX))
            .header(REASON, reason)
            .header(ID, id);
        // A time before 1970 comes from a clock that is not set, and means nothing.
        if let Some(time) = letter
            .take_time()
            .filter(|time| *time >= SystemTime::UNIX_EPOCH)
        {
            letter = letter.header(TIME, millis(time));
        }
        letter = letter
            .header(CLASS, self.reason.class().name())
            .header(STAGE, self.stage())
            .header(ATTEMPTS, self.attempts.to_string())
            .header(FAILED_AT, millis(self.failed_at));
        let deliveries = record.deliveries().map(|count| count.to_string());
        let pipeline = self
            .pipeline
            .map(|name| bounded(name.to_owned(), NAME_BYTES_MAX));
        let error = self.reason.boxed();
        let chain = error.and_then(|error| sources(error, TEXT_BYTES_MAX));
        let optional = [
            (DELIVERIES, deliveries),
            (PIPELINE, pipeline),
            (ERROR_CHAIN, chain),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                letter = letter.header(name, value);
            }
        }
        letter
    }

    fn stage(&self) -> String {
        let callback = self.reason.callback().name();
        match self.batcher {
            Some(batcher) => bounded(format!("{callback}:{batcher}"), NAME_BYTES_MAX),
            None => callback.to_owned(),
        }
    }
}

impl Outgoing {
    /// Creates the dead letter of a record that failed at the first attempt: short for [`DeadLetter::new`]`(reason).of(record)`.
    pub fn dead_letter<R: Record>(record: &R, reason: &Reason) -> Self {
        DeadLetter::new(reason).of(record)
    }

    /// Returns whether it is a [dead letter](Self::dead_letter), or a copy of one. For connectors: properties that made the original
    /// expire, or sent it to several places, must not apply to its dead letter.
    #[must_use]
    pub fn is_dead_letter(&self) -> bool {
        self.origin().is_some()
    }

    /// Returns the [`id`](Record::id) of the record of a dead letter: the last `broadway-origin`.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        let origins = self.headers().iter().filter(|header| header.name == ORIGIN);
        origins.last()?.value.as_str()
    }
}
