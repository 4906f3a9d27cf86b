//! Every port of a test broker comes from the variables that `scripts/brokers.env` lists.

use std::{env, process::Command};

use broadway_test_brokers::{address, loopback};

const PRINTS: &str = "BROADWAY_TEST_PRINTS";

/// Prints the addresses of a broker, as the environment sets them.
#[test]
fn prints() {
    let Ok(name) = env::var(PRINTS) else { return };
    println!("{} {}", address(&name), loopback(&name));
}

fn found(name: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env::current_exe().expect("a test has a program"));
    command.args(["--exact", "prints", "--nocapture"]);
    for (variable, _) in env::vars().filter(|(variable, _)| variable.starts_with("BROADWAY_")) {
        command.env_remove(variable);
    }
    command.env(PRINTS, name).envs(variables.iter().copied());
    let output = command.output().expect("the program runs");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

#[test]
fn brokers_env_sets_the_default_address() {
    let default = found("rabbitmq_management", &[]);
    assert!(default.contains("127.0.0.1:19673 127.0.0.1:19673"));
}

#[test]
fn a_port_variable_moves_a_broker() {
    let moved = found(
        "rabbitmq_management",
        &[("BROADWAY_RABBITMQ_MANAGEMENT_PORT", "29673")],
    );
    assert!(moved.contains("127.0.0.1:29673 127.0.0.1:29673"));
}

#[test]
fn an_address_overrides_the_port() {
    let variables = [
        ("BROADWAY_KAFKA", "kafka.example:9092"),
        ("BROADWAY_KAFKA_PORT", "29092"),
    ];
    assert!(found("kafka", &variables).contains("kafka.example:9092 127.0.0.1:29092"));
}
