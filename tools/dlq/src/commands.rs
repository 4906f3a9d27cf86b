//! `list`, `show` and `replay`, for any source and any publisher.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    time::Duration,
};

use broadway::{
    BoxError, Publisher, RateLimit, Record,
    dead_letters::{DeadLetterInfo, DeadLetterQueue, ReplayReport, StopReason},
    publisher::BoxPublisher,
    source::{Source, SourceProducer},
};

use crate::{
    args::{How, Usage, Which},
    letter,
    progress::{Log, Progress, summary},
};

/// How a command ended.
pub(crate) enum Outcome {
    Done,
    SomeFailed,
}

/// From this number of deliveries on, a limit of the broker may soon remove a dead letter that is only listed.
const DELIVERIES_WARNED: u32 = 10;

/// Applies the options that all commands share.
fn options<S, R>(queue: DeadLetterQueue<S, R>, which: &Which) -> DeadLetterQueue<S, R>
where
    S: Source<Producer: SourceProducer<Item = R>>,
    R: Record,
{
    let filters = which.filters.clone();
    let queue = queue
        .filter(move |letter, _| filters.iter().all(|filter| filter.matches(letter)))
        .idle_after(which.idle)
        .hold_max(which.hold as usize)
        .without_logs()
        .observe(Log)
        .stop_on_signals();
    match which.max {
        Some(max) => queue.max(max),
        None => queue,
    }
}

/// Prints a line for each dead letter.
pub(crate) async fn list<S, R>(
    queue: DeadLetterQueue<S, R>,
    which: &Which,
) -> Result<Outcome, BoxError>
where
    S: Source<Producer: SourceProducer<Item = R>>,
    R: Record,
{
    let progress = Progress::new();
    let queue = options(queue, which).on_progress(progress.reader());
    let (letters, report) = queue.list_with(letter::PREVIEW_BYTES).await?;
    progress.clear();
    let mut out = io::stdout().lock();
    if !which.json && !letters.is_empty() {
        writeln!(out, "{}", letter::HEADING)?;
    }
    for listed in &letters {
        match which.json {
            true => writeln!(out, "{}", letter::json(listed))?,
            false => writeln!(out, "{}", letter::line(listed))?,
        }
    }
    eprintln!("{}", summary(&report));
    warn(
        &report,
        letters.iter().filter_map(|listed| listed.deliveries).max(),
    );
    Ok(Outcome::Done)
}

/// Prints one dead letter.
pub(crate) async fn show<S, R>(
    queue: DeadLetterQueue<S, R>,
    id: &str,
    which: &Which,
) -> Result<Outcome, BoxError>
where
    S: Source<Producer: SourceProducer<Item = R>>,
    R: Record,
{
    let wanted = id.to_owned();
    let is_wanted = move |letter: &DeadLetterInfo| {
        let has_id = letter
            .id
            .as_deref()
            .is_some_and(|id| id.starts_with(&wanted));
        has_id || letter.origin == wanted
    };
    let queue = options(queue, which)
        .filter(move |letter, _| is_wanted(letter))
        .max(1);
    let (letters, report) = queue.list_with(usize::MAX).await?;
    let Some(found) = letters.first() else {
        return Err(format!("no dead letter has the id {id}: {}", summary(&report)).into());
    };
    let text = match which.json {
        true => letter::json(found).to_string(),
        false => letter::full(found),
    };
    writeln!(io::stdout().lock(), "{text}")?;
    warn(&report, found.deliveries);
    Ok(Outcome::Done)
}

/// Sends messages again.
pub(crate) async fn replay<S, R>(
    queue: DeadLetterQueue<S, R>,
    publisher: BoxPublisher,
    to: impl Fn(&DeadLetterInfo) -> Option<String> + Send + Sync + 'static,
    which: &Which,
    how: &How,
) -> Result<Outcome, BoxError>
where
    S: Source<Producer: SourceProducer<Item = R>>,
    R: Record,
{
    let progress = Progress::new();
    let queue = options(queue, which).on_progress(progress.reader());
    let publisher = std::sync::Arc::new(publisher);
    let mut replay = queue.replay(std::sync::Arc::clone(&publisher)).to(to);
    if let Some(rate) = how.rate {
        let limit = RateLimit::per(rate as usize, Duration::from_secs(1));
        replay = replay.rate_limit(limit.with_burst(1));
    }
    if how.keep_times {
        replay = replay.keep_times();
    }
    if how.dry_run {
        replay = replay.dry_run();
    }
    let ran = replay.run().await;
    progress.clear();
    let closed = publisher.close().await;
    let report = ran?;
    if which.json {
        writeln!(
            io::stdout().lock(),
            "{}",
            letter::report(&report, how.dry_run)
        )?;
    }
    eprintln!("{}", summary(&report));
    warn(&report, None);
    if let Err(error) = closed {
        eprintln!("broadway-dlq: cannot close the publisher: {error}");
    }
    let is_done = report.failed == 0 && report.stopped != Some(StopReason::NotConfirmed);
    Ok(if is_done {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}

/// Asks whether to send, unless `--yes` answers or nothing is sent.
pub(crate) fn confirm(how: &How) -> Result<(), BoxError> {
    if how.yes || how.dry_run {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(
            Usage("without a terminal, `replay` needs --yes or --dry-run".to_owned()).into(),
        );
    }
    eprint!(
        "Send the messages of the matching dead letters again, and remove those dead letters? [y/N] "
    );
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err("nothing was sent".into()),
    }
}

/// Prints warnings about limits that were reached.
fn warn(report: &ReplayReport, deliveries: Option<u32>) {
    if report.stopped == Some(StopReason::HoldFull) {
        eprintln!(
            "broadway-dlq: not everything was read: --hold limits how many dead letters are held"
        );
    }
    if report.stopped == Some(StopReason::NotConfirmed) {
        eprintln!("broadway-dlq: the destination confirmed nothing; the other dead letters stay");
    }
    if let Some(deliveries) = deliveries.filter(|deliveries| *deliveries >= DELIVERIES_WARNED) {
        eprintln!(
            "broadway-dlq: a dead letter was delivered {deliveries} times, lists included: a delivery limit of its queue could \
             remove it"
        );
    }
}
