//! The settings, from environment variables.

use std::{env, path::PathBuf};

use broadway::BoxError;

/// The settings of the service. Defaults are for a trial on one machine.
pub(crate) struct Settings {
    /// `BROADWAY_KAFKA`: `host:port`, several with commas.
    pub(crate) brokers: String,
    /// `ORDERS_TOPIC`: the topic of the orders.
    pub(crate) topic: String,
    /// `ORDERS_FILE`: the file of the store.
    pub(crate) file: PathBuf,
    /// `ORDERS_HTTP`: the address of metrics and probes.
    pub(crate) http: String,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self, BoxError> {
        Ok(Self {
            brokers: variable("BROADWAY_KAFKA", "127.0.0.1:19092")?,
            topic: variable("ORDERS_TOPIC", "orders")?,
            file: match env::var_os("ORDERS_FILE") {
                Some(path) => path.into(),
                None => env::temp_dir().join("orders.csv"),
            },
            http: variable("ORDERS_HTTP", "127.0.0.1:9600")?,
        })
    }

    pub(crate) fn dead_letter_topic(&self) -> String {
        format!("{}.dead", self.topic)
    }
}

fn variable(name: &str, default: &str) -> Result<String, BoxError> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Err(format!("{name} is empty").into()),
        Ok(value) => Ok(value),
        Err(env::VarError::NotPresent) => Ok(default.to_owned()),
        Err(error) => Err(format!("{name}: {error}").into()),
    }
}
