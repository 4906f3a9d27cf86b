//! The closing table and the line of progress, as text: aligned, at most 80 columns.

use std::{
    fmt::{self, Write},
    time::{Duration, Instant},
};

use super::ledger::{Ledger, Progress};

/// The closing table; its last line has no line feed.
pub(super) fn closing(ledger: &Ledger, now: Instant) -> String {
    let mut table = String::new();
    write_all(&mut table, ledger, now).expect("a string takes all");
    table.truncate(table.trim_end().len());
    table
}

pub(super) fn progress_line(progress: &Progress) -> String {
    let Progress {
        settled,
        rate,
        failed,
        resolved,
        p99,
    } = progress;
    let (settled, rate, failed) = (
        thousands(*settled),
        thousands(rate.round() as u64),
        thousands(*failed),
    );
    let p99 = p99.map_or_else(|| "-".to_owned(), human);
    let resolved = match resolved {
        0 => String::new(),
        resolved => format!("  {} resolved", thousands(*resolved)),
    };
    format!("{settled} messages  {rate} msg/s  {failed} failed{resolved}  p99 {p99}")
}

fn write_all(out: &mut String, ledger: &Ledger, now: Instant) -> fmt::Result {
    write_head(out, ledger, now)?;
    write_counts(out, ledger)?;
    write_speed(out, ledger, now)?;
    write_reasons(out, ledger)?;
    write_batches(out, ledger)
}

fn write_head(out: &mut String, ledger: &Ledger, now: Instant) -> fmt::Result {
    let pipeline = clipped(&ledger.pipeline, 40);
    let elapsed = human(ledger.elapsed(now));
    match (ledger.started, ledger.ended) {
        (None, _) => writeln!(out, "no pipeline started"),
        (Some(_), None) => writeln!(out, "pipeline {pipeline}, running for {elapsed}"),
        (Some(_), Some(_)) => writeln!(out, "pipeline {pipeline}, ended after {elapsed}"),
    }
}

/// What went well is always there; what went wrong, when it did.
fn write_counts(out: &mut String, ledger: &Ledger) -> fmt::Result {
    let settled = ledger.settled();
    write_count(out, "read", ledger.read, "")?;
    write_count(out, "ok", ledger.done, &percent(ledger.done, settled))?;
    write_count(
        out,
        "failed",
        ledger.failed,
        &percent(ledger.failed, settled),
    )?;
    if ledger.resolved > 0 {
        let share = percent(ledger.resolved, settled);
        let note = format!("{share}  failed, then taken care of");
        write_count(out, "resolved", ledger.resolved, &note)?;
    }
    let rare = [
        ("released", ledger.released, "unhandled, no longer ours"),
        (
            "dropped unsettled",
            ledger.dropped_unsettled,
            "will be delivered again",
        ),
        (
            "acknowledgement failed",
            ledger.ack_failures,
            "will be delivered again",
        ),
    ];
    let mut seen = rare.iter().filter(|(_, count, _)| *count > 0);
    seen.try_for_each(|(name, count, note)| write_count(out, name, *count, note))
}

fn write_speed(out: &mut String, ledger: &Ledger, now: Instant) -> fmt::Result {
    write_count(
        out,
        "throughput",
        ledger.throughput(now).round() as u64,
        "msg/s",
    )?;
    for (name, quantile) in [("latency p50", 0.5), ("latency p99", 0.99)] {
        if let Some(latency) = ledger.latencies.quantile(quantile) {
            writeln!(out, "  {name:<24}{:>16}", human(latency))?;
        }
    }
    Ok(())
}

fn write_count(out: &mut String, name: &str, count: u64, note: &str) -> fmt::Result {
    let line = format!("  {name:<24}{:>16}  {note}", thousands(count));
    writeln!(out, "{}", line.trim_end())
}

fn write_reasons(out: &mut String, ledger: &Ledger) -> fmt::Result {
    let unsorted = [
        ("(other reasons)", ledger.other_reasons),
        ("(no reason told)", ledger.unexplained()),
    ];
    let reasons = ledger
        .reasons_by_count()
        .into_iter()
        .chain(unsorted.into_iter().filter(|(_, count)| *count > 0));
    for (row, (text, count)) in reasons.enumerate() {
        if row == 0 {
            writeln!(out, "\n  {:<60}{:>16}", "failed because", "messages")?;
        }
        writeln!(out, "  {:<60}{:>16}", clipped(text, 59), thousands(count))?;
    }
    Ok(())
}

fn write_batches(out: &mut String, ledger: &Ledger) -> fmt::Result {
    if ledger.batches.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n  {:<34}{:<10}{:>16}{:>16}",
        "batches of", "by", "batches", "messages"
    )?;
    for ((batcher, trigger), tally) in &ledger.batches {
        let (batches, messages) = (thousands(tally.batches), thousands(tally.messages));
        writeln!(
            out,
            "  {:<34}{trigger:<10}{batches:>16}{messages:>16}",
            clipped(batcher, 33)
        )?;
    }
    Ok(())
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration with a unit that suits it.
pub(super) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..0.000_999_5 => format!("{:.0} µs", seconds * 1e6),
        ..0.999_95 => format!("{:.1} ms", seconds * 1e3),
        ..59.995 => format!("{seconds:.2} s"),
        _ => {
            let whole = seconds.round() as u64;
            format!("{} min {:02} s", thousands(whole / 60), whole % 60)
        }
    }
}

/// A share, which says neither `0.0 %` of something nor `100.0 %` of less than all.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    let share = part as f64 * 100.0 / whole as f64;
    if part > 0 && share < 0.1 {
        "< 0.1 %".to_owned()
    } else if part < whole && share > 99.9 {
        "> 99.9 %".to_owned()
    } else {
        format!("{share:.1} %")
    }
}

fn clipped(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}
