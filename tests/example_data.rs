//! The data of the examples, as its README documents it: one file with valid records only, one with malformed records only.

use serde::Deserialize;

#[derive(Deserialize)]
#[expect(dead_code, reason = "the fields are there to be decoded")]
struct Flight {
    date: String,
    delay: i32,
    distance: u32,
    origin: String,
    destination: String,
}

#[test]
fn every_flight_decodes() {
    let lines = include_str!("../examples/data/flights.jsonl").lines();
    let flights: Vec<Flight> = lines
        .enumerate()
        .map(|(index, line)| match serde_json::from_str(line) {
            Ok(flight) => flight,
            Err(error) => panic!("line {}: {error}: {line}", index + 1),
        })
        .collect();
    assert_eq!(flights.len(), 20_000);
}

#[test]
fn no_malformed_record_decodes() {
    let lines: Vec<&str> = include_str!("../examples/data/flights-malformed.jsonl")
        .lines()
        .collect();
    assert_eq!(lines.len(), 30);
    for (index, line) in lines.iter().enumerate() {
        let decoded = serde_json::from_str::<Flight>(line);
        assert!(decoded.is_err(), "line {} decodes: {line}", index + 1);
    }
}
