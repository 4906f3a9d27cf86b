//! The names of the headers that a dead letter carries beside the headers of its record.
//!
//! All values are text. A dead letter that fails again has new ones: these names are reserved.

/// The coordinates of the record, [`Record::id`](crate::Record::id): at most 1,024 bytes. It marks a dead letter.
pub const ORIGIN: &str = "broadway-origin";
/// Why the message failed: at most 1,024 bytes.
pub const REASON: &str = "broadway-reason";
/// The sources of the error, from the outermost to the innermost, one on each line: at most 1,024 bytes. Missing if it had none.
pub const ERROR_CHAIN: &str = "broadway-error-chain";
/// The class of the error: `transient`, `permanent` or `poison`.
pub const CLASS: &str = "broadway-class";
/// The callback that failed, and after a colon the batcher if that is known: `handle_message`, `handle_batch:archive`.
pub const STAGE: &str = "broadway-stage";
/// How often the program tried to handle the message.
pub const ATTEMPTS: &str = "broadway-attempts";
/// How often the broker had delivered the message, if it counts.
pub const DELIVERIES: &str = "broadway-deliveries";
/// The name of the pipeline: at most 256 bytes.
pub const PIPELINE: &str = "broadway-pipeline";
/// The time of the record, in milliseconds since 1970.
pub const TIME: &str = "broadway-time";
/// When the message failed, by the clock of the program, in milliseconds since 1970.
pub const FAILED_AT: &str = "broadway-failed-at";
/// The id of the dead letter: 32 hexadecimal digits. A replayed message keeps it.
pub const ID: &str = "broadway-id";
/// How often the message was replayed. Set on replayed messages, and kept by their dead letters.
pub const REPLAYS: &str = "broadway-replays";

/// All of these names.
pub const ALL: [&str; 12] = [
    ORIGIN,
    REASON,
    ERROR_CHAIN,
    CLASS,
    STAGE,
    ATTEMPTS,
    DELIVERIES,
    PIPELINE,
    TIME,
    FAILED_AT,
    ID,
    REPLAYS,
];

/// The headers that a new dead letter replaces.
pub(crate) fn is_of_letter(name: &crate::header::HeaderName) -> bool {
    ALL.iter().any(|own| *own != REPLAYS && name == own)
}

/// The headers that move into JSON before the message's own, where a broker allows few.
#[cfg(feature = "portable")]
pub(crate) const DETAILS: [&str; 9] = [
    ERROR_CHAIN,
    CLASS,
    STAGE,
    ATTEMPTS,
    DELIVERIES,
    PIPELINE,
    FAILED_AT,
    ID,
    REPLAYS,
];
