//! Dead letters: messages that failed, with the reason. [`DeadLetter`] makes one, [`DeadLetterInfo`] reads what it carries.
//!
//! A dead letter is a copy of its record, with payload, key and headers unchanged, and with headers of its own ([`headers`]). The
//! layer [`DeadLetters`](crate::DeadLetters) sends them; [`replay`](crate::replay) lists them and sends their messages again.

pub mod headers;
mod identity;
mod info;
mod letter;
mod text;

pub use identity::origin_digest;
pub use info::DeadLetterInfo;
pub use letter::DeadLetter;
