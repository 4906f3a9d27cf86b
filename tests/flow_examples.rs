//! The output of the examples of flows. Its figures were computed from the data files by a program that does not use flows.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test with its line")]

mod program;

use std::process::Command;

use program::program;

/// Runs an example, and returns the lines of its output.
fn lines(example: &str) -> Vec<String> {
    let ended = Command::new(program(example)).output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{errors}");
    let output = String::from_utf8(ended.stdout).unwrap();
    output.lines().map(str::to_owned).collect()
}

#[test]
fn the_ten_most_frequent_words_are_printed_and_the_plan_has_counts() {
    let lines = lines("flow_word_count");
    let (top, plan) = lines.split_at(10);
    let top: Vec<_> = top.iter().map(|line| line.trim_start()).collect();
    let expected = [
        "the      670",
        "a      313",
        "and      277",
        "is      204",
        "it      200",
        "of      180",
        "that      152",
        "to      149",
        "in      127",
        "you       86",
    ];
    assert_eq!(top, expected);
    let plan = plan.join("\n");
    let words = plan.lines().find(|line| line.contains("combine")).unwrap();
    assert!(words.contains("7,796 events"), "{plan}");
}

#[test]
fn each_minute_of_each_sensor_is_printed_and_late_readings_are_listed() {
    let lines = lines("flow_sensor_windows");
    let (late, table): (Vec<_>, Vec<_>) = lines
        .iter()
        .partition(|line| line.starts_with("too late: "));
    let mut late: Vec<_> = late
        .iter()
        .map(|line| &line["too late: ".len()..])
        .collect();
    late.sort_unstable();
    let expected = [
        "attic at 387 s, 25.7 °C",
        "attic at 618 s, 24.7 °C",
        "cellar at 618 s, 11.8 °C",
        "garage at 466 s, 7.9 °C",
        "greenhouse at 832 s, 27.8 °C",
    ];
    assert_eq!(late, expected);
    assert_eq!(table.len(), 20);
    let row = |minute: usize| {
        table[minute]
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let expected = "0 min attic 24.18 (23.9 to 24.6) cellar 13.85 (13.6 to 14.2) garage 10.30 (10.1 to 10.6) \
                    greenhouse 27.47 (27.1 to 27.8) kitchen 19.27 (19.0 to 19.5)";
    assert_eq!(row(0), expected);
    // With a late reading in two of them.
    let expected = "2 min attic 24.87 (24.5 to 25.2) cellar 14.04 (13.7 to 14.3) garage 9.71 (9.4 to 10.1)* \
                    greenhouse 26.81 (26.5 to 27.1)* kitchen 19.03 (18.7 to 19.3)";
    assert_eq!(row(2), expected);
    let expected = "19 min attic 22.57 (22.3 to 22.8) cellar 11.88 (11.6 to 12.3) garage 9.86 (9.5 to 10.2) \
                    greenhouse 29.00 (28.7 to 29.3) kitchen 21.26 (21.0 to 21.7)";
    assert_eq!(row(19), expected);
    assert_eq!(
        table
            .iter()
            .map(|row| row.matches('*').count())
            .sum::<usize>(),
        2
    );
}

#[test]
fn the_ten_airports_with_most_arrivals_are_printed() {
    let expected = [
        "ATL  Atlanta       212 arrivals,   4.5 minutes late",
        "DXB  Dubai         178 arrivals,   7.7 minutes late",
        "DFW  Dallas        151 arrivals,   7.7 minutes late",
        "CDG  Paris         136 arrivals,   6.0 minutes late",
        "DEL  Delhi         134 arrivals,   3.4 minutes late",
        "DEN  Denver        118 arrivals,   2.6 minutes late",
        "PEK  Beijing       113 arrivals,   6.7 minutes late",
        "JFK  New York      110 arrivals,   7.4 minutes late",
        "LHR  London        103 arrivals,   4.8 minutes late",
        "ICN  Seoul         100 arrivals,   7.6 minutes late",
    ];
    assert_eq!(lines("flow_top_airports"), expected);
}
