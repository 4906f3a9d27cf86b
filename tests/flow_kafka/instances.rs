//! Processes of the example, on topics of their own.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Lines},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::program::program;

/// How long an instance may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The topics of a test, and where its instances write.
pub(crate) struct Topics {
    broker: String,
    name: String,
    folder: PathBuf,
}

impl Topics {
    /// Names topics that no other test has.
    pub(crate) fn unique(broker: String) -> Self {
        let nanos = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let name = format!("e2e-flow-{}-{nanos}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir(&folder).unwrap();
        Self {
            broker,
            name,
            folder,
        }
    }

    /// Starts an instance, and waits until it runs.
    pub(crate) fn start(&self, name: &str) -> Instance {
        let path = self.folder.join(name);
        let log = File::create(&path).unwrap();
        let mut command = self.command(&["run", name]);
        command.stderr(log.try_clone().unwrap()).stdout(log);
        let mut instance = Instance {
            process: command.spawn().unwrap(),
            log: path,
        };
        instance.wait_until(|instance| instance.log().contains(" runs\n"));
        instance
    }

    /// Starts to publish views.
    pub(crate) fn produce(&self, views: u64) -> Producer {
        let mut command = self.command(&["produce", &views.to_string()]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Producer { process, output }
    }

    /// Compares all counts with what they must be.
    pub(crate) fn check(&self, views: u64) -> Output {
        self.command(&["check", &views.to_string()])
            .output()
            .unwrap()
    }

    pub(crate) fn forget(self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("flow_instances"));
        command
            .args(arguments)
            .env("BROADWAY_KAFKA", &self.broker)
            .env("BROADWAY_FLOW_TOPICS", &self.name);
        command
    }
}

/// A process that publishes views. Dropping it kills it.
pub(crate) struct Producer {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Producer {
    /// Waits until this number of thousands of views is published.
    pub(crate) fn reach(&mut self, thousands: u64) {
        let begin = format!("published {thousands}000 of ");
        let reached = self.output.any(|line| line.unwrap().starts_with(&begin));
        assert!(reached, "the producer has ended");
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A process that counts. Dropping it kills it.
pub(crate) struct Instance {
    process: Child,
    log: PathBuf,
}

impl Instance {
    /// What it has written.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Sends SIGKILL: it does not finish, commit, or leave the group.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends SIGINT, waits for the end, and returns what it has written.
    pub(crate) fn interrupt(mut self) -> String {
        let process = self.process.id().to_string();
        let sent = Command::new("kill")
            .args(["-INT", &process])
            .status()
            .unwrap();
        assert!(sent.success());
        let began = Instant::now();
        let ended = loop {
            if let Some(ended) = self.process.try_wait().unwrap() {
                break ended;
            }
            assert!(began.elapsed() < PATIENCE, "{}", self.log());
            thread::park_timeout(Duration::from_millis(50));
        };
        assert!(ended.success(), "{}", self.log());
        self.log()
    }

    fn wait_until(&mut self, reached: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !reached(self) {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < PATIENCE,
                "{}",
                self.log()
            );
            // Another process writes the file, so poll it.
            thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
