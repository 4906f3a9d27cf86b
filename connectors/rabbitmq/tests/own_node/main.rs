//! Faults of a RabbitMQ node that no other test uses: it stops or crashes, runs out of memory, and closes channels on a timeout.
//!
//! `scripts/rabbitmq/own.sh test` starts such a node, runs these tests at it, and ends it; `scripts/test restarts` is the same. The
//! node is at `BROADWAY_RABBITMQ`, and `BROADWAY_RABBITMQ_NODE` is the script that has power over it; without that they are left out.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod alarm;
#[path = "../connector/common/mod.rs"]
#[allow(dead_code, reason = "it is for other tests too")]
mod common;
mod consumer_timeout;
mod held_back;
mod restarts;

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{sync::Mutex, sync::MutexGuard, task::spawn_blocking, time::timeout};

/// Far above what is needed, also on a machine that does much else, so that only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(300);

/// The node, in the hands of one test at a time.
struct Node {
    script: String,
    address: SocketAddr,
    _turn: MutexGuard<'static, ()>,
}

impl Node {
    /// `None`, with a message, if there is no such node.
    async fn own() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::const_new(());
        let Ok(script) = std::env::var("BROADWAY_RABBITMQ_NODE") else {
            eprintln!("left out: it needs a node of its own, see scripts/rabbitmq/own.sh");
            return None;
        };
        let address = common::broker()?.parse().unwrap();
        let _turn = TURN.lock().await;
        Some(Self {
            script,
            address,
            _turn,
        })
    }

    /// Runs the script with these arguments.
    async fn asked(&self, words: &[&str]) {
        let mut command = Command::new(&self.script);
        command.args(words).stdout(Stdio::null());
        let said = format!("{command:?}");
        let status = spawn_blocking(move || command.status()).await.unwrap();
        assert!(status.unwrap().success(), "{said}");
    }

    async fn ctl(&self, words: &[&str]) {
        self.asked(&[&["ctl"], words].concat()).await;
    }
}

async fn in_time<T>(what: &str, done: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, done).await {
        Ok(done) => done,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// Looks again and again.
async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    in_time(what, async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
