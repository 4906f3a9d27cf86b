//! The addresses of the brokers, unique names, and the small HTTP client for the brokers' own interfaces.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use broadway::BoxError;

/// The in-flight limit of our publishers: low, so that it is reached soon.
pub(crate) const IN_FLIGHT_MAX: usize = 100;
const ANSWER: Duration = Duration::from_secs(30);

/// Returns the address of a broker; `None` after printing that the test is skipped.
pub(crate) fn address(name: &str) -> Option<SocketAddr> {
    let address = broadway_test_brokers::broker(name)?;
    Some(address.parse().expect("an IP address and a port"))
}

/// Returns a unique name.
pub(crate) fn unique(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("conform-{what}-{}-{nanos:x}-{count}", process::id()).replace('_', "-")
}

/// Returns the server's response to a GET of `path`, head and body.
pub(crate) async fn get(server: SocketAddr, path: String) -> Result<String, BoxError> {
    let answered = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect_timeout(&server, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    });
    let answer = answered.await??;
    match answer.starts_with("HTTP/1.1 200 ") {
        true => Ok(answer),
        false => Err(format!("{server} answers: {answer}").into()),
    }
}
