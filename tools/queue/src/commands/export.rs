//! `export`: the records of a topic as JSON lines.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    iter,
    ops::Range,
};

use broadway::{BoxError, queue::QueueAdmin};

use super::{Outcome, topic_of};
use crate::{
    args::Export,
    line,
    progress::{Progress, share},
};

/// Writes the lines. Records that cannot be read are reported, and the others are written.
pub(super) fn run(admin: &QueueAdmin, args: &Export) -> Result<Outcome, BoxError> {
    let parts = parts(admin, args)?;
    match &args.output {
        None => write(admin, args, &parts, BufWriter::new(io::stdout().lock())),
        Some(path) => {
            let cannot = |error| format!("cannot write {}: {error}", path.display());
            let file = File::create(path).map_err(cannot)?;
            let outcome = write(admin, args, &parts, BufWriter::new(&file))?;
            // The records may be deleted once they are here.
            file.sync_all().map_err(cannot)?;
            Ok(outcome)
        }
    }
}

/// The offsets of a partition that are wanted, in order.
struct Part {
    partition: u32,
    offsets: Vec<Range<u64>>,
}

/// The partitions, and which of their offsets are wanted.
fn parts(admin: &QueueAdmin, args: &Export) -> Result<Vec<Part>, BoxError> {
    let topic = topic_of(admin, &args.topic)?;
    let all = topic.partitions.iter();
    let wanted: Vec<_> = all
        .filter(|stat| args.partition.is_none_or(|wanted| wanted == stat.partition))
        .collect();
    if let (true, Some(partition)) = (wanted.is_empty(), args.partition) {
        let (name, n) = (&args.topic, topic.partitions.len());
        return Err(format!(
            "the topic {name:?} has {n} partitions, from 0 on, and no partition {partition}"
        )
        .into());
    }
    let mut parts = Vec::new();
    for stat in wanted {
        let offsets = match &args.group {
            None => iter::once(stat.start..stat.end).collect(),
            Some(group) => admin.unsettled(&args.topic, group, stat.partition)?,
        };
        let partition = stat.partition;
        parts.push(Part { partition, offsets });
    }
    Ok(parts)
}

fn write(
    admin: &QueueAdmin,
    args: &Export,
    parts: &[Part],
    mut out: impl Write,
) -> Result<Outcome, BoxError> {
    let offsets = parts.iter().flat_map(|part| &part.offsets);
    let whole: u64 = offsets.map(|offsets| offsets.end - offsets.start).sum();
    let progress = Progress::new();
    let (mut records, mut corrupt) = (0, 0);
    for Part { partition, offsets } in parts {
        let mut offsets = offsets.iter().peekable();
        let Some(first) = offsets.peek() else {
            continue;
        };
        for record in admin.records(&args.topic, *partition, first.start)? {
            let at = match &record {
                Ok(record) => record.offset()..record.offset() + 1,
                Err(corrupt) => corrupt.offsets.clone(),
            };
            while offsets.next_if(|offsets| offsets.end <= at.start).is_some() {}
            let Some(next) = offsets.peek() else { break };
            if at.end <= next.start {
                continue;
            }
            match record {
                Ok(record) => {
                    writeln!(out, "{}", line::write(&record)?)?;
                    records += 1;
                    progress
                        .show(|| format!("records: {}", share(records, whole, |n| n.to_string())));
                }
                Err(found) => {
                    progress.note(&found.to_string());
                    corrupt += 1;
                }
            }
        }
    }
    out.flush()?;
    progress.note(&format!("{records} records of {} are written", args.topic));
    Ok(match corrupt {
        0 => Outcome::Done,
        _ => Outcome::Failed,
    })
}
