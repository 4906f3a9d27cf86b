//! The test program started again, as a process that can be killed.

use std::{
    collections::BTreeSet,
    env, fs,
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    child_task::ChildTask,
    fixture::{PATIENCE, must},
};
use crate::error::BoxError;

/// How often a child's files are read. Another process writes them, so no event wakes this one.
const PAUSE: Duration = Duration::from_millis(20);

/// The children of one test, one after the other, and the log that they write.
pub(super) struct ChildProcesses {
    test: &'static str,
    fixture: String,
    log: PathBuf,
    /// Their output, which is shown if one fails.
    output: PathBuf,
}

impl ChildProcesses {
    pub(super) fn of(test: &'static str, fixture: &str) -> Self {
        let stem = format!("{}-{}", process::id(), test.replace("::", "-"));
        let path = |end| env::temp_dir().join(format!("broadway-{stem}.{end}"));
        let children = Self {
            test,
            fixture: fixture.to_owned(),
            log: path("log"),
            output: path("output"),
        };
        for path in [&children.log, &children.output] {
            must("make a file", fs::write(path, "").map_err(BoxError::from));
        }
        children
    }

    /// Returns the numbers that all of them handled, in order.
    pub(super) fn log(&self) -> Vec<u64> {
        let text = fs::read_to_string(&self.log);
        let text = must("read the log", text.map_err(BoxError::from));
        // All lines are complete: each was written by one call.
        let numbers = text.lines().map(|line| line.parse().expect("a number"));
        numbers.collect()
    }

    pub(super) fn distinct(&self) -> u64 {
        self.log().into_iter().collect::<BTreeSet<_>>().len() as u64
    }

    /// Starts a child that handles `share` messages.
    pub(super) fn start(&self, share: u64) -> RunningChild<'_> {
        let task = ChildTask {
            fixture: self.fixture.clone(),
            log: self.log.clone(),
            share,
        };
        let output = fs::File::options().append(true).open(&self.output);
        let output = must("open a file", output.map_err(BoxError::from));
        let program = must("find this program", env::current_exe().map_err(Into::into));
        let child = Command::new(program)
            .args(["--exact", self.test, "--nocapture"])
            .envs(task.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn();
        RunningChild {
            child: must("start this program again", child.map_err(BoxError::from)),
            children: self,
        }
    }
}

impl Drop for ChildProcesses {
    fn drop(&mut self) {
        for path in [&self.log, &self.output] {
            // A file that stays in the temporary folder does no harm.
            let _ = fs::remove_file(path);
        }
    }
}

/// A running child. It is killed when this is dropped.
pub(super) struct RunningChild<'a> {
    child: Child,
    children: &'a ChildProcesses,
}

impl RunningChild<'_> {
    /// Waits until the log satisfies `is_enough`.
    pub(super) async fn wait(&mut self, is_enough: impl AsyncFn() -> bool) {
        let mut last = (0, Instant::now());
        while !is_enough().await {
            let ended = self.child.try_wait();
            if let Some(status) = must("look after a child", ended.map_err(BoxError::from)) {
                self.fail(&format!(
                    "a child ended too early, with {status} (it was to run the test {}, and no other)",
                    self.children.test
                ));
            }
            let len = self.children.log().len();
            if last.0 != len {
                last = (len, Instant::now());
            }
            if last.1.elapsed() > 2 * PATIENCE {
                let distinct = self.children.distinct();
                self.fail(&format!("lost: {distinct} were handled, and no more come"));
            }
            sleep(PAUSE).await;
        }
    }

    /// Kills the child with SIGKILL, without a drain.
    pub(super) fn kill(mut self) {
        self.end_now();
    }

    /// Ends the child's input and waits for it to drain.
    pub(super) async fn end(mut self) {
        drop(self.child.stdin.take());
        self.ends_well().await;
    }

    /// Sends SIGTERM and waits for the child to drain.
    pub(super) async fn terminate(mut self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        let sent = must("send a signal", sent.map_err(BoxError::from));
        assert!(sent.success(), "cannot send a signal: {sent}");
        self.ends_well().await;
    }

    async fn ends_well(&mut self) {
        let begun = Instant::now();
        loop {
            let ended = self.child.try_wait();
            match must("look after a child", ended.map_err(BoxError::from)) {
                Some(status) if status.success() => return,
                Some(status) => self.fail(&format!("a child could not drain: {status}")),
                None if begun.elapsed() > 2 * PATIENCE => self.fail("a child does not drain"),
                None => sleep(PAUSE).await,
            }
        }
    }

    fn end_now(&mut self) {
        // The child may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn fail(&self, what: &str) -> ! {
        let output = fs::read_to_string(&self.children.output).unwrap_or_default();
        panic!("{what}; its output: {output}");
    }
}

impl Drop for RunningChild<'_> {
    fn drop(&mut self) {
        self.end_now();
    }
}
