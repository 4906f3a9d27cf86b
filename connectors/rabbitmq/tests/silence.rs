//! A server that does not complete the handshake: the attempt ends within its timeout, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::{fs, time::Duration};

use broadway_core::testing::Reader;
use broadway_rabbitmq::{RabbitMq, RabbitMqPublisher};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// Far above what is needed, so that only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// `connection.start` of AMQP 0-9-1, as little as there can be.
fn start() -> Vec<u8> {
    let mut method = vec![0, 10, 0, 10, 0, 9, 0, 0, 0, 0];
    for text in ["PLAIN", "en_US"] {
        method.extend([0, 0, 0, text.len() as u8]);
        method.extend(text.as_bytes());
    }
    let mut frame = vec![1, 0, 0, 0, 0, 0, method.len() as u8];
    frame.extend(method);
    frame.push(0xce);
    frame
}

struct Peer {
    listener: TcpListener,
    /// The bytes that it sends on each connection.
    words: Vec<u8>,
}

impl Peer {
    async fn sending(words: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, words }
    }

    fn uri(&self) -> String {
        format!("amqp://{}", self.listener.local_addr().unwrap())
    }

    /// A client that has connected and received all bytes.
    async fn visitor(&self) -> TcpStream {
        let (mut visitor, _) = timeout(PATIENCE, self.listener.accept())
            .await
            .expect("a client connects")
            .unwrap();
        visitor.write_all(&self.words).await.unwrap();
        visitor
    }
}

async fn until_gone(mut visitor: TcpStream) {
    let mut all = Vec::new();
    let read = timeout(PATIENCE, visitor.read_to_end(&mut all)).await;
    // Reset or ended, as the system likes.
    drop(read.expect("the visitor goes"));
}

/// The client has a thread for each connection.
async fn until_no_thread_is_left() {
    let left = || {
        let threads = fs::read_dir("/proc/self/task").unwrap();
        let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm"));
        let mut names = threads.filter_map(|thread| name(thread.ok()?).ok());
        names.any(|name| name.starts_with("lapin-io"))
    };
    let gone = async {
        while left() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("threads end");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_without_an_answer_leave_no_socket_and_no_thread() {
    for words in [Vec::new(), start()] {
        let peer = Peer::sending(words).await;
        let source = RabbitMq::queue("orders")
            .uri(peer.uri())
            .connect_timeout(Duration::from_secs(1));
        for _ in 0..3 {
            let (opened, visitor) = tokio::join!(Reader::open(&source), peer.visitor());
            let said = opened.err().unwrap().to_string();
            assert!(said.contains("`connect_timeout`"), "{said}");
            until_gone(visitor).await;
        }
        let publisher = RabbitMqPublisher::queue("orders")
            .uri(peer.uri())
            .connect_timeout(Duration::from_secs(1));
        let (opened, visitor) = tokio::join!(publisher.open(), peer.visitor());
        let said = opened.err().unwrap().to_string();
        assert!(said.contains("`connect_timeout`"), "{said}");
        until_gone(visitor).await;
    }
    until_no_thread_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_dropped_ends_its_socket() {
    let peer = Peer::sending(start()).await;
    let source = RabbitMq::queue("orders")
        .uri(peer.uri())
        .connect_timeout(Duration::from_secs(3_600));
    // The attempt loses the race, and is dropped with it.
    let visitor = tokio::select! {
        visitor = peer.visitor() => visitor,
        _ = Reader::open(&source) => panic!("opened without an answer"),
    };
    until_gone(visitor).await;
}
