//! The commands.

mod export;
mod import;
mod inspect;
mod relocate;

use std::path::Path;

use broadway::{
    BoxError,
    queue::{QueueAdmin, admin::TopicStat},
};

use crate::args::{Command, Usage};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Something was found or failed, and is reported.
    Failed,
}

/// Runs the command.
pub(crate) fn run(command: Command) -> Result<Outcome, BoxError> {
    match command {
        Command::Ls { folder, output } => inspect::ls(&open(&folder.path)?, output.json),
        Command::Stat {
            folder,
            topic,
            output,
        } => inspect::stat(&open(&folder.path)?, topic.as_deref(), output.json),
        Command::Peek(args) => inspect::peek(&open(&args.folder.path)?, &args),
        Command::Verify { folder, output } => inspect::verify(&open(&folder.path)?, output.json),
        Command::Export(args) => export::run(&open(&args.folder.path)?, &args),
        Command::Import(args) => import::run(&args),
        Command::Purge {
            folder,
            topic,
            acked,
            output,
        } => {
            if !acked {
                let why = "`purge` deletes records only with --acked: those that all groups have acknowledged";
                return Err(Usage(why.to_owned()).into());
            }
            inspect::purge(&open(&folder.path)?, &topic, output.json)
        }
        Command::Move(args) => relocate::run(&open(&args.folder.path)?, &args),
    }
}

fn open(folder: &Path) -> Result<QueueAdmin, BoxError> {
    Ok(QueueAdmin::open(folder)?)
}

/// The topic of this name.
fn topic_of(admin: &QueueAdmin, name: &str) -> Result<TopicStat, BoxError> {
    let topics = admin.topics();
    let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
    let found = topics.into_iter().find(|topic| topic.name == name);
    found.ok_or_else(|| {
        format!("the topic {name:?} does not exist; the folder has {names:?}").into()
    })
}

/// The records that a topic keeps.
fn records_of(topic: &TopicStat) -> u64 {
    let partitions = topic.partitions.iter();
    partitions
        .map(|partition| partition.end - partition.start)
        .sum()
}

/// The bytes of these records.
fn bytes_of(topic: &TopicStat) -> u64 {
    topic
        .partitions
        .iter()
        .map(|partition| partition.bytes)
        .sum()
}
