//! The errors of examples without a broker.

use std::{net::TcpListener, process::Command};

use crate::program::program;

/// Runs an example with a closed port, and returns its standard error.
fn without_a_broker(example: &str) -> String {
    // A port that was just free.
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = closed.local_addr().expect("its address").to_string();
    drop(closed);
    let ended = Command::new(program(example))
        .env("BROADWAY_KAFKA", &address)
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&address), "{errors}");
    errors
}

#[test]
fn examples_without_a_broker_report_that_the_connection_is_refused() {
    for example in ["kafka_flights", "bridge"] {
        let errors = without_a_broker(example);
        for words in ["Connection refused", "within 10s (`connect_timeout`)"] {
            assert!(errors.contains(words), "{example}: {errors}");
        }
    }
}
