//! The process of one program: a fresh allocator, no threads that another program left behind, and a peak of memory of its own.
//!
//! The benchmark starts its own binary again with a hidden argument. The child runs the program on two worker threads and prints one line
//! of JSON.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::BoxError;
use crate::brokers::clock::Cost;
use crate::commits::Commits;
use crate::programs::{Body, Program, Running, Work};
use crate::run::Run;
use crate::scenarios::{SCENARIOS, Scenario};
use crate::topic::Topic;

/// The hidden argument, followed by a [`Request`].
pub(crate) const CHILD: &str = "--child";

const WORKER_THREADS: usize = 2;

/// A program that does not reach the last message in this time has stopped.
const RUN_TIMEOUT: Duration = Duration::from_secs(600);

/// The task of a child.
#[derive(Serialize, Deserialize)]
pub(crate) struct Request {
    scenario: String,
    program: String,
    broker: String,
    topic: String,
    partitions: i32,
    messages: u64,
    group: String,
}

/// The measurement of a child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// To the last commit; to the last message of a program that commits nothing.
    pub(crate) total: Spent,
    /// To the last message.
    pub(crate) handled: Spent,
    /// Whether the committed offsets were the ends of the partitions.
    pub(crate) is_committed: bool,
    /// Whether the messages of each key were handled in order, one at a time. `None` without keys.
    pub(crate) is_ordered: Option<bool>,
    /// `None` where the system has no `/proc`.
    pub(crate) peak_rss_kib: Option<u64>,
}

/// CPU and wall time of a run, in nanoseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
}

/// Starts a process that runs the program once, and waits for its result.
///
/// # Errors
///
/// Fails if the process cannot be started, fails, or prints an unexpected result.
pub(crate) fn ask(
    scenario: &Scenario,
    program: &Program,
    topic: &Topic,
) -> Result<Sample, BoxError> {
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_nanos();
    let request = Request {
        scenario: scenario.name.to_owned(),
        program: program.name.to_owned(),
        broker: topic.broker.clone(),
        topic: topic.name.clone(),
        partitions: topic.partitions,
        messages: topic.messages,
        group: format!("{}-{}-{now}", topic.name, program.name),
    };
    let child = Command::new(std::env::current_exe()?)
        .args([CHILD, &serde_json::to_string(&request)?])
        .stderr(Stdio::inherit())
        .output()?;
    let (scenario, program) = (scenario.name, program.name);
    if !child.status.success() {
        return Err(format!("{scenario}: {program} failed ({})", child.status).into());
    }
    Ok(serde_json::from_slice(&child.stdout)?)
}

/// The child: runs the requested program and prints the measurement.
///
/// # Errors
///
/// Fails if the program fails, stops before the last message, or does not commit it.
pub(crate) fn measure(request: &Request) -> Result<(), BoxError> {
    let scenario = SCENARIOS
        .iter()
        .find(|scenario| scenario.name == request.scenario)
        .ok_or("no such scenario")?;
    let program = scenario
        .program(&request.program)
        .ok_or("no such program")?;
    let topic = Topic {
        broker: request.broker.clone(),
        name: request.topic.clone(),
        partitions: request.partitions,
        messages: request.messages,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()?;
    let sample = match program.body {
        Body::Reads(read) => without_commits(read(&topic, &runtime)?),
        Body::Commits(start) => {
            let run: &'static Run = Box::leak(Box::new(Run::new(topic, request.group.clone())));
            with_commits(run, start, &runtime)?;
            let is_ordered = matches!(scenario.work, Work::Wait).then(|| run.order_held());
            Sample {
                total: spent(run.committed_cost().ok_or("nothing was committed")?),
                handled: spent(run.handled_cost().ok_or("nothing was handled")?),
                is_committed: true,
                is_ordered,
                peak_rss_kib: peak_rss_kib(),
            }
        }
    };
    println!("{}", serde_json::to_string(&sample)?);
    Ok(())
}

fn without_commits(cost: Cost) -> Sample {
    Sample {
        total: spent(cost),
        handled: spent(cost),
        is_committed: false,
        is_ordered: None,
        peak_rss_kib: peak_rss_kib(),
    }
}

/// Runs a program until the broker has its last commit. Its own shutdown, which begins at the last message, makes that commit; the
/// rest of the shutdown is not measured.
fn with_commits(
    run: &'static Run,
    start: fn(&'static Run) -> Running,
    runtime: &Runtime,
) -> Result<(), BoxError> {
    let commits = Commits::open(&run.topic, &run.group)?;
    let mut program = runtime.spawn(start(run));
    runtime.block_on(async {
        tokio::select! {
            () = run.all_handled() => Ok(()),
            ended = &mut program => match ended? {
                Ok(()) => Err("ended before the last message".into()),
                Err(error) => Err(error),
            },
            () = tokio::time::sleep(RUN_TIMEOUT) => Err("did not reach the last message".into()),
        }
    })?;
    commits.wait()?;
    run.all_committed();
    runtime.block_on(program)?
}

fn spent(cost: Cost) -> Spent {
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Spent {
        cpu_ns: ns(cost.cpu),
        wall_ns: ns(cost.wall),
    }
}

/// The peak since `exec`, unlike the peak of `getrusage`, which begins with the parent's.
fn peak_rss_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
