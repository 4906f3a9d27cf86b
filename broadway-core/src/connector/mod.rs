//! What connectors share, beside the traits in [`source`](crate::source) and [`Publisher`](crate::Publisher).
//!
//! | for | use |
//! |---|---|
//! | checking options | [`Checks`](crate::Checks), [`ConfigError`](crate::ConfigError) |
//! | classifying errors | [`ConnectorError`], [`error_chain`], [`TlsFault`] |
//! | addresses in logs and errors | [`without_password`], [`without_user_info`] |
//! | pauses between attempts | [`Backoff`], [`Jitter`] |
//! | acknowledgement per message | [`AckOptions`], [`AckPolicy`], [`AckChoice`] |
//! | a publisher's limit, flush and close | [`InFlight`], [`PublishCall`] |
//! | reporting lag | [`LagReporter`] |
//! | the broker's own dead-lettering | [`DeliveryLimit`] |
//! | a thread that no handler can block | [`ClientRuntime`] |
//!
//! These are plain functions and small types. Connectors share no base trait: offsets, leases and delivery tags differ too
//! much. The guide `docs/writing-a-connector.md` builds a connector with them.

mod ack_options;
mod backoff;
mod client_error;
mod delivery_limit;
mod in_flight;
mod lag;
mod redact;
mod runtime;
mod tls;

pub use ack_options::{AckChoice, AckOptions, AckPolicy};
pub use backoff::{Backoff, Jitter};
pub use client_error::{ConnectorError, ConnectorErrorKind, error_chain};
pub use delivery_limit::DeliveryLimit;
pub use in_flight::{InFlight, PublishCall};
pub use lag::LagReporter;
pub use redact::{without_password, without_user_info};
pub use runtime::ClientRuntime;
pub use tls::TlsFault;
