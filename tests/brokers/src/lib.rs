//! Addresses of the test brokers, and a time limit for every test that uses one.
//!
//! A broker is found by its address in `BROADWAY_KAFKA`, otherwise on loopback at the port in `BROADWAY_KAFKA_PORT`, otherwise at
//! the port of that name in `scripts/brokers.env`. Other ports work alike: `rabbitmq_management` is found by
//! `BROADWAY_RABBITMQ_MANAGEMENT` or `BROADWAY_RABBITMQ_MANAGEMENT_PORT`.

mod limit;

use std::{
    env,
    net::{SocketAddr, TcpStream},
};

pub use limit::{SECONDS_MAX, limit_this_test};

/// The defaults of all ports.
const PORTS: &str = include_str!("../../../scripts/brokers.env");

/// Returns the address of a running broker. If it does not run, prints that the test is skipped and returns `None`.
///
/// Starts the time limit of the calling test, [`SECONDS_MAX`].
///
/// # Panics
///
/// Panics if the broker does not run and `BROADWAY_REQUIRE_BROKERS` is set.
#[must_use]
pub fn broker(name: &str) -> Option<String> {
    limit_this_test();
    let address = address(name);
    if TcpStream::connect(&address).is_ok() {
        return Some(address);
    }
    let service = name.split('_').next().unwrap_or(name);
    let hint = format!("no {name} at {address}: start it with `scripts/brokers up {service}`");
    assert!(env::var_os("BROADWAY_REQUIRE_BROKERS").is_none(), "{hint}");
    eprintln!("skipped: {hint}");
    None
}

/// Returns the address of a broker, whether it runs or not.
#[must_use]
pub fn address(name: &str) -> String {
    let variable = format!("BROADWAY_{}", name.to_ascii_uppercase());
    env::var(variable).unwrap_or_else(|_| loopback(name).to_string())
}

/// Returns the port `BROADWAY_<NAME>_PORT` on loopback.
///
/// # Panics
///
/// Panics if the variable is not a port number, or is not in `scripts/brokers.env`.
#[must_use]
pub fn loopback(name: &str) -> SocketAddr {
    let variable = format!("BROADWAY_{}_PORT", name.to_ascii_uppercase());
    let port = env::var(&variable).unwrap_or_else(|_| default_of(&variable).to_owned());
    let port: u16 = port
        .parse()
        .unwrap_or_else(|_| panic!("{variable} is '{port}', which is not a port"));
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn default_of(variable: &str) -> &'static str {
    let mut lines = PORTS.lines().filter_map(|line| line.split_once('='));
    lines
        .find(|(name, _)| *name == variable)
        .unwrap_or_else(|| panic!("scripts/brokers.env has no {variable}"))
        .1
}
