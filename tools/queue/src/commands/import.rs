//! `import`: publishes JSON lines, in batches, in their order.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use broadway::{
    BoxError, Outgoing, Publisher,
    queue::{QueueAdmin, QueuePublisher, TopicOptions},
};
use serde_json::json;
use tokio::runtime::Runtime;

use super::Outcome;
use crate::{args::Import, line, progress::Progress};

/// The lines of a batch, at most.
const BATCH_LINES: usize = 4_096;
/// The bytes of its lines, at most, unless one line has more.
const BATCH_BYTES: usize = 8 << 20;
/// The largest message that a folder can keep.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// How many numbers of lines a message names.
const LINES_NAMED: usize = 10;

/// Why it ended before the end of the file.
struct Stopped {
    reason: String,
    /// Lines to pass over when it goes on.
    skip: u64,
}

/// Publishes batches, and counts.
struct Importer {
    runtime: Runtime,
    publisher: QueuePublisher,
    /// With the numbers of their lines.
    batch: Vec<(u64, Outgoing)>,
    batch_bytes: usize,
    published: u64,
    /// The last line that was looked at.
    line: u64,
    progress: Progress,
}

/// Publishes the lines.
pub(super) fn run(args: &Import) -> Result<Outcome, BoxError> {
    let input: Box<dyn BufRead> = match args.file.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => {
            let cannot = |error| format!("cannot read {}: {error}", args.file.display());
            Box::new(BufReader::with_capacity(
                1 << 20,
                File::open(&args.file).map_err(cannot)?,
            ))
        }
    };
    let admin = open(&args.folder)?;
    if let Some(partitions) = args.partitions {
        let topics = admin.topics();
        let found = topics.into_iter().find(|topic| topic.name == args.topic);
        let options = found.map_or_else(TopicOptions::new, |topic| topic.options);
        admin.create_topic(&args.topic, &options.partitions(partitions))?;
    }
    let runtime = Runtime::new()?;
    let publisher = QueuePublisher::topic(admin.folder(), &args.topic).bytes_max(MESSAGE_BYTES_MAX);
    let publisher = runtime.block_on(publisher.open())?;
    let mut importer = Importer {
        runtime,
        publisher,
        batch: Vec::new(),
        batch_bytes: 0,
        published: 0,
        line: 0,
        progress: Progress::new(),
    };
    let stopped = importer.import(input, args)?;
    importer.progress.clear();
    importer.runtime.block_on(importer.publisher.close())?;
    report(args, importer.published, importer.line, stopped.as_ref());
    Ok(match stopped {
        None => Outcome::Done,
        Some(_) => Outcome::Failed,
    })
}

/// Opens a folder with the storage that it has, or creates one where nothing is.
fn open(folder: &Path) -> Result<QueueAdmin, BoxError> {
    let is_free = match folder.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    Ok(match is_free {
        true => QueueAdmin::create(folder)?,
        false => QueueAdmin::open(folder)?,
    })
}

impl Importer {
    fn import(
        &mut self,
        mut input: impl BufRead,
        args: &Import,
    ) -> Result<Option<Stopped>, BoxError> {
        let mut text = Vec::new();
        loop {
            text.clear();
            match input.read_until(b'\n', &mut text) {
                Ok(0) => return Ok(self.publish()),
                Ok(_) => self.line += 1,
                Err(error) => {
                    let reason = format!("cannot read line {}: {error}", self.line + 1);
                    return Ok(self.publish().or(Some(self.stopped(reason, self.line))));
                }
            }
            if self.line <= args.skip || text.trim_ascii().is_empty() {
                continue;
            }
            match line::read(&text, args.keep_partitions) {
                Ok(message) => self.batch.push((self.line, message)),
                Err(error) => {
                    let reason = format!("line {}: {error}", self.line);
                    return Ok(self.publish().or(Some(self.stopped(reason, self.line - 1))));
                }
            }
            self.batch_bytes += text.len();
            if self.batch.len() == BATCH_LINES || self.batch_bytes >= BATCH_BYTES {
                if let Some(stopped) = self.publish() {
                    return Ok(Some(stopped));
                }
                let (published, line) = (self.published, self.line);
                self.progress
                    .show(|| format!("{published} published, up to line {line}"));
            }
        }
    }

    fn stopped(&self, reason: String, skip: u64) -> Stopped {
        Stopped { reason, skip }
    }

    /// Publishes the batch.
    fn publish(&mut self) -> Option<Stopped> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch).into_iter();
        let (lines, messages): (Vec<_>, Vec<_>) = batch.unzip();
        let last = *lines.last()?;
        let results = self.runtime.block_on(self.publisher.publish(messages));
        let results = lines.into_iter().zip(results);
        let mut failed = Vec::new();
        for (line, result) in results {
            match result {
                Ok(()) => self.published += 1,
                Err(error) => failed.push((line, error)),
            }
        }
        let (first, error) = failed.first()?;
        let named = failed.iter().take(LINES_NAMED);
        let named: Vec<_> = named.map(|(line, _)| line.to_string()).collect();
        let more = match failed.len().saturating_sub(LINES_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let reason = format!(
            "line {first}: {error}. The lines up to {last} are published, without {}{more}: import those on their own",
            named.join(", ")
        );
        Some(self.stopped(reason, last))
    }
}

/// Prints how many were published, and how to go on.
fn report(args: &Import, published: u64, lines: u64, stopped: Option<&Stopped>) {
    if args.output.json {
        let stopped =
            stopped.map(|stopped| json!({ "reason": stopped.reason, "skip": stopped.skip }));
        println!(
            "{}",
            json!({ "topic": args.topic, "published": published, "lines": lines, "stopped": stopped })
        );
    } else {
        println!("{published} records are published to {}", args.topic);
    }
    if let Some(Stopped { reason, skip }) = stopped {
        eprintln!("broadway-queue: {reason}");
        eprintln!("broadway-queue: go on behind the lines that are published with --skip {skip}");
    }
}
