//! The errors whose `Debug` is their `Display`: a `main` that returns an error prints its `Debug`, and so does `unwrap`.

use crate::debug_as_display::debug_as_display;

debug_as_display! {
    crate::layer::TimedOut,
    crate::config_error::ConfigError,
    crate::connector::ConnectorError,
    crate::error::Problem,
    crate::error::RunError,
    crate::error::StartError,
    crate::fatal::Fatal,
    crate::machine::credit::InvalidCredit,
    crate::machine::dispatch::JoinError,
    crate::machine::offsets::DeliverError,
    crate::machine::offsets::SettleError,
    crate::machine::pool::InvalidPool,
    crate::machine::rate::InvalidAllowance,
    crate::publish_error::PublishError,
    crate::replay::ReplayError,
    crate::stage::Failure,
    crate::stage::Closed,
    crate::stage::SubscribeError,
    crate::stage::TooManyRestarts,
}

#[cfg(feature = "portable")]
debug_as_display!(crate::portable::TooManyHeaders);
