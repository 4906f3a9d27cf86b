//! This test again, as a process of its own that can be killed.

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

/// How often its files are looked at: another process writes them, so there is nothing to wait for but time.
const PAUSE: Duration = Duration::from_millis(20);

/// ChildProcesses of one test, one after the other, with the ledger that they write.
pub(super) struct ChildProcesses {
    test: &'static str,
    fixture: String,
    ledger: PathBuf,
    /// What they say, which only matters when one fails.
    said: PathBuf,
}

impl ChildProcesses {
    pub(super) fn of(test: &'static str, fixture: &str) -> Self {
        let stem = format!("{}-{}", process::id(), test.replace("::", "-"));
        let path = |end| env::temp_dir().join(format!("broadway-{stem}.{end}"));
        let children = Self {
            test,
            fixture: fixture.to_owned(),
            ledger: path("ledger"),
            said: path("said"),
        };
        for path in [&children.ledger, &children.said] {
            must("make a file", fs::write(path, "").map_err(BoxError::from));
        }
        children
    }

    /// What was handled by all of them, in order.
    pub(super) fn ledger(&self) -> Vec<u64> {
        let text = fs::read_to_string(&self.ledger);
        let text = must("read the ledger", text.map_err(BoxError::from));
        // All lines are whole: each was written by one call.
        let numbers = text.lines().map(|line| line.parse().expect("a number"));
        numbers.collect()
    }

    pub(super) fn distinct(&self) -> u64 {
        self.ledger().into_iter().collect::<BTreeSet<_>>().len() as u64
    }

    /// A child that handles so many messages.
    pub(super) fn start(&self, share: u64) -> RunningChild<'_> {
        let task = ChildTask {
            fixture: self.fixture.clone(),
            ledger: self.ledger.clone(),
            share,
        };
        let said = fs::File::options().append(true).open(&self.said);
        let said = must("open a file", said.map_err(BoxError::from));
        let program = must("find this program", env::current_exe().map_err(Into::into));
        let child = Command::new(program)
            .args(["--exact", self.test, "--nocapture"])
            .envs(task.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn();
        RunningChild {
            child: must("start this program again", child.map_err(BoxError::from)),
            children: self,
        }
    }
}

impl Drop for ChildProcesses {
    fn drop(&mut self) {
        for path in [&self.ledger, &self.said] {
            // A file that stays in a folder for such files does no harm.
            let _ = fs::remove_file(path);
        }
    }
}

/// A child that runs; it does not outlive this.
pub(super) struct RunningChild<'a> {
    child: Child,
    children: &'a ChildProcesses,
}

impl RunningChild<'_> {
    /// Waits until the ledger is as it should be.
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
            let len = self.children.ledger().len();
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

    /// SIGKILL: no drain, no goodbye.
    pub(super) fn kill(mut self) {
        self.end_now();
    }

    /// Lets it drain.
    pub(super) async fn end(mut self) {
        drop(self.child.stdin.take());
        self.ends_well().await;
    }

    /// SIGTERM: it drains.
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
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn fail(&self, what: &str) -> ! {
        let said = fs::read_to_string(&self.children.said).unwrap_or_default();
        panic!("{what}; it said: {said}");
    }
}

impl Drop for RunningChild<'_> {
    fn drop(&mut self) {
        self.end_now();
    }
}
