//! `ls`, `stat`, `peek`, `verify` and `purge`.

use std::io::{self, Write};

use broadway::{
    BoxError, Record,
    publisher::{Header, HeaderValue},
    queue::{QueueAdmin, QueueRecord, admin::TopicStat},
};
use serde_json::json;

use super::{Outcome, bytes_of, records_of, topic_of};
use crate::{
    args::Peek,
    line,
    progress::{Progress, share},
    text,
};

/// Prints a line for each topic.
pub(super) fn ls(admin: &QueueAdmin, is_json: bool) -> Result<Outcome, BoxError> {
    let topics = admin.topics();
    let width = topics.iter().map(|topic| topic.name.len()).max();
    let width = width.unwrap_or_default().max("TOPIC".len());
    let mut out = io::stdout().lock();
    if !is_json && !topics.is_empty() {
        writeln!(
            out,
            "{:width$}  PARTITIONS     RECORDS        SIZE  GROUPS (UNSETTLED)",
            "TOPIC"
        )?;
    }
    for topic in &topics {
        let (records, bytes) = (records_of(topic), bytes_of(topic));
        if is_json {
            let groups = topic.groups.iter();
            let groups =
                groups.map(|group| json!({ "name": group.name, "unsettled": group.unsettled }));
            let line = json!({
                "topic": topic.name,
                "partitions": topic.partitions.len(),
                "records": records,
                "bytes": bytes,
                "groups": groups.collect::<Vec<_>>(),
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let groups = topic.groups.iter();
        let groups: Vec<_> = groups
            .map(|group| format!("{} ({})", group.name, group.unsettled))
            .collect();
        let groups = match groups.is_empty() {
            true => "-".to_owned(),
            false => groups.join(", "),
        };
        let (name, partitions, size) = (&topic.name, topic.partitions.len(), text::size(bytes));
        writeln!(
            out,
            "{name:width$}  {partitions:>10}  {records:>10}  {size:>10}  {groups}"
        )?;
    }
    Ok(Outcome::Done)
}

/// Prints the partitions and groups of topics.
pub(super) fn stat(
    admin: &QueueAdmin,
    topic: Option<&str>,
    is_json: bool,
) -> Result<Outcome, BoxError> {
    let topics = match topic {
        Some(name) => vec![topic_of(admin, name)?],
        None => admin.topics(),
    };
    let (folder, disk) = (admin.folder(), admin.disk_bytes());
    let folder = folder.path().display();
    let mut out = io::stdout().lock();
    if is_json {
        let stat = json!({ "folder": folder.to_string(), "disk_bytes": disk, "topics": topics });
        writeln!(out, "{stat}")?;
        return Ok(Outcome::Done);
    }
    writeln!(out, "{folder}: {} on disk", text::size(disk))?;
    for topic in &topics {
        print_stat(&mut out, topic)?;
    }
    Ok(Outcome::Done)
}

fn print_stat(out: &mut impl Write, topic: &TopicStat) -> io::Result<()> {
    let (records, bytes) = (records_of(topic), text::size(bytes_of(topic)));
    writeln!(out, "\n{}: {records} records, {bytes}", topic.name)?;
    writeln!(
        out,
        "  PARTITION         START           END        SIZE  SEGMENTS"
    )?;
    for stat in &topic.partitions {
        let (partition, start, end) = (stat.partition, stat.start, stat.end);
        let (size, segments) = (text::size(stat.bytes), stat.segments);
        writeln!(
            out,
            "  {partition:>9}  {start:>12}  {end:>12}  {size:>10}  {segments:>8}"
        )?;
    }
    for group in &topic.groups {
        let watermarks = group.watermarks.iter().enumerate();
        let watermarks: Vec<_> = watermarks
            .map(|(partition, offset)| format!("{partition}:{offset}"))
            .collect();
        let (name, unsettled) = (&group.name, group.unsettled);
        writeln!(
            out,
            "  group {name}: {unsettled} unsettled, from {}",
            watermarks.join(" ")
        )?;
    }
    Ok(())
}

/// Prints records.
pub(super) fn peek(admin: &QueueAdmin, args: &Peek) -> Result<Outcome, BoxError> {
    let topic = topic_of(admin, &args.topic)?;
    let partitions = match args.partition {
        Some(partition) => partition..partition + 1,
        None => 0..topic.partitions.len() as u32,
    };
    let mut out = io::stdout().lock();
    let (mut left, mut outcome) = (args.max, Outcome::Done);
    for partition in partitions {
        let records = admin.records(&args.topic, partition, args.offset.unwrap_or_default())?;
        for record in records.take(left) {
            left -= 1;
            match record {
                Err(corrupt) => {
                    eprintln!("broadway-queue: {corrupt}");
                    outcome = Outcome::Failed;
                }
                Ok(record) if args.output.json => {
                    writeln!(out, "{}", line::preview(&record, args.max_bytes)?)?;
                }
                Ok(record) => print_record(&mut out, &record, args.max_bytes)?,
            }
        }
    }
    Ok(outcome)
}

fn print_record(out: &mut impl Write, record: &QueueRecord, max: usize) -> io::Result<()> {
    let time = record.time().map(|time| text::time(text::millis(time)));
    write!(out, "{}  {}", record.id(), time.as_deref().unwrap_or("-"))?;
    if let Some(key) = record.key() {
        write!(out, "  key {}", text::bytes(key))?;
    }
    let payload = record.payload();
    match record.is_tombstone() {
        true => writeln!(out, "  no payload")?,
        false => writeln!(out, "  {} bytes", payload.len())?,
    }
    let mut headers = Vec::new();
    record.for_each_header(&mut |header| headers.push(header));
    for header in &headers {
        let name = text::bytes(header.name.as_bytes());
        writeln!(out, "  {name}: {}", value_text(header))?;
    }
    if !payload.is_empty() {
        let beginning = text::beginning(payload, max);
        let more = match beginning.len() < payload.len() {
            true => "…",
            false => "",
        };
        writeln!(out, "  {}{more}", text::bytes(beginning))?;
    }
    Ok(())
}

fn value_text(header: &Header) -> String {
    match &header.value {
        HeaderValue::Bytes(bytes) => text::bytes(bytes),
        HeaderValue::Bool(value) => value.to_string(),
        HeaderValue::Int(value) => value.to_string(),
        HeaderValue::Float(value) => value.to_string(),
        HeaderValue::Time(time) => text::time(text::millis(*time)),
        other => text::shown(&format!("{other:?}")),
    }
}

/// Reads everything, and prints the offsets that cannot be read.
pub(super) fn verify(admin: &QueueAdmin, is_json: bool) -> Result<Outcome, BoxError> {
    let whole = admin.topics().iter().map(bytes_of).sum();
    let progress = Progress::new();
    let verified = admin
        .verify(|bytes| progress.show(|| format!("checked {}", share(bytes, whole, text::size))));
    progress.clear();
    let report = verified?;
    let mut out = io::stdout().lock();
    if is_json {
        let report = json!({
            "records": report.records,
            "bytes": report.bytes,
            "corrupt": report.corrupt,
        });
        writeln!(out, "{report}")?;
    } else {
        for corrupt in &report.corrupt {
            writeln!(out, "{corrupt}")?;
        }
        let (records, size) = (report.records, text::size(report.bytes));
        writeln!(out, "{records} records, {size}, are as they were written")?;
    }
    Ok(match report.corrupt.is_empty() {
        true => Outcome::Done,
        false => Outcome::Failed,
    })
}

/// Deletes acknowledged records.
pub(super) fn purge(admin: &QueueAdmin, topic: &str, is_json: bool) -> Result<Outcome, BoxError> {
    let freed = admin.purge_acked(topic)?;
    let mut out = io::stdout().lock();
    match is_json {
        true => writeln!(out, "{}", json!({ "topic": topic, "freed_bytes": freed }))?,
        false => writeln!(out, "freed {freed} bytes ({})", text::size(freed))?,
    }
    Ok(Outcome::Done)
}
