//! The closing table and the progress line as text: aligned, at most 80 columns.

use std::{
    fmt::{self, Write},
    time::{Duration, Instant},
};

use super::counts::{ProgressSnapshot, SummaryCounts};

/// Returns the closing table. Its last line has no line feed.
pub(super) fn closing(counts: &SummaryCounts, now: Instant) -> String {
    let mut table = String::new();
    write_all(&mut table, counts, now).expect("a string takes all");
    table.truncate(table.trim_end().len());
    table
}

pub(super) fn progress_line(progress: &ProgressSnapshot) -> String {
    let ProgressSnapshot {
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

fn write_all(out: &mut String, counts: &SummaryCounts, now: Instant) -> fmt::Result {
    write_head(out, counts, now)?;
    write_counts(out, counts)?;
    write_speed(out, counts, now)?;
    write_reasons(out, counts)?;
    write_batches(out, counts)
}

fn write_head(out: &mut String, counts: &SummaryCounts, now: Instant) -> fmt::Result {
    let pipeline = clipped(&counts.pipeline, 40);
    let elapsed = human(counts.elapsed(now));
    match (counts.started, counts.ended) {
        (None, _) => writeln!(out, "no pipeline started"),
        (Some(_), None) => writeln!(out, "pipeline {pipeline}, running for {elapsed}"),
        (Some(_), Some(_)) => writeln!(out, "pipeline {pipeline}, ended after {elapsed}"),
    }
}

/// Successes are always shown; failures only if there were any.
fn write_counts(out: &mut String, counts: &SummaryCounts) -> fmt::Result {
    let settled = counts.settled();
    write_count(out, "read", counts.read, "")?;
    write_count(out, "ok", counts.done, &percent(counts.done, settled))?;
    write_count(
        out,
        "failed",
        counts.failed,
        &percent(counts.failed, settled),
    )?;
    if counts.resolved > 0 {
        let share = percent(counts.resolved, settled);
        let note = format!("{share}  failed, then taken care of");
        write_count(out, "resolved", counts.resolved, &note)?;
    }
    let rare = [
        ("released", counts.released, "unhandled, no longer ours"),
        ("delayed", counts.delayed, "delivered again after a time"),
        (
            "dropped unsettled",
            counts.dropped_unsettled,
            "will be delivered again",
        ),
        (
            "acknowledgement failed",
            counts.ack_failures,
            "will be delivered again",
        ),
    ];
    let mut seen = rare.iter().filter(|(_, count, _)| *count > 0);
    seen.try_for_each(|(name, count, note)| write_count(out, name, *count, note))
}

fn write_speed(out: &mut String, counts: &SummaryCounts, now: Instant) -> fmt::Result {
    write_count(
        out,
        "throughput",
        counts.throughput(now).round() as u64,
        "msg/s",
    )?;
    for (name, quantile) in [("latency p50", 0.5), ("latency p99", 0.99)] {
        if let Some(latency) = counts.latencies.quantile(quantile) {
            writeln!(out, "  {name:<24}{:>16}", human(latency))?;
        }
    }
    Ok(())
}

fn write_count(out: &mut String, name: &str, count: u64, note: &str) -> fmt::Result {
    let line = format!("  {name:<24}{:>16}  {note}", thousands(count));
    writeln!(out, "{}", line.trim_end())
}

fn write_reasons(out: &mut String, counts: &SummaryCounts) -> fmt::Result {
    let unsorted = [
        ("(other reasons)", counts.other_reasons),
        ("(no reason given)", counts.unexplained()),
    ];
    let reasons = counts
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

fn write_batches(out: &mut String, counts: &SummaryCounts) -> fmt::Result {
    if counts.batches.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n  {:<34}{:<10}{:>16}{:>16}",
        "batches of", "by", "batches", "messages"
    )?;
    for ((batcher, trigger), tally) in &counts.batches {
        let (batches, messages) = (thousands(tally.batches), thousands(tally.messages));
        writeln!(
            out,
            "  {:<34}{trigger:<10}{batches:>16}{messages:>16}",
            clipped(batcher, 33)
        )?;
    }
    Ok(())
}

/// Formats `1234567` as `1,234,567`.
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

/// Formats a duration with a suitable unit.
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

/// Formats a share, which is never `0.0 %` of something nor `100.0 %` of less than all.
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
