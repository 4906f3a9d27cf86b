//! The proxy that tests of connectors put before a broker: it fails as a network does, and only when it is told to.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use broadway_core::testing::Proxy;
use futures_util::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A listener for a broker, and the proxy before it.
async fn network() -> (TcpListener, Proxy) {
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(broker.local_addr().unwrap()).await.unwrap();
    (broker, proxy)
}

/// Both ends of a connection through the proxy, which works.
async fn connected(broker: &TcpListener, proxy: &Proxy) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.address()).await.unwrap();
    let (server, _) = broker.accept().await.unwrap();
    (client, server)
}

async fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    arrive(to, bytes).await;
}

/// Every wait is bounded, so that a proxy that swallows fails its test.
async fn arrive(to: &mut TcpStream, bytes: &[u8]) {
    let mut arrived = vec![0; bytes.len()];
    let read = timeout(Duration::from_secs(30), to.read_exact(&mut arrived));
    read.await.unwrap().unwrap();
    assert!(arrived == bytes, "other bytes arrived than were sent");
}

async fn ends(stream: &mut TcpStream) -> std::io::Result<usize> {
    let mut rest = Vec::new();
    timeout(Duration::from_secs(30), stream.read_to_end(&mut rest))
        .await
        .unwrap()
}

#[tokio::test]
async fn bytes_pass_both_ways_and_the_end_of_one_way_leaves_the_other() {
    let (broker, proxy) = network().await;
    let (mut client, mut server) = connected(&broker, &proxy).await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    let expected = large.clone();
    let sent = async {
        client.write_all(&large).await.unwrap();
        client.shutdown().await.unwrap();
    };
    tokio::join!(sent, arrive(&mut server, &expected));
    assert_eq!(ends(&mut server).await.unwrap(), 0);
    pass(&mut server, &mut client, b"and back").await;
    drop(server);
    assert_eq!(ends(&mut client).await.unwrap(), 0);
    assert_eq!(proxy.passed(), 3_000_008);
}

#[tokio::test]
async fn a_cut_resets_both_sides_of_all_connections_and_none_that_comes_later() {
    let (broker, proxy) = network().await;
    let (mut client, mut server) = connected(&broker, &proxy).await;
    let (mut other, mut other_server) = connected(&broker, &proxy).await;
    pass(&mut client, &mut server, b"before").await;
    proxy.cut();
    for end in [&mut client, &mut server, &mut other, &mut other_server] {
        assert_eq!(
            ends(end).await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }
    let (mut client, mut server) = connected(&broker, &proxy).await;
    pass(&mut client, &mut server, b"after").await;
    assert_eq!(proxy.accepted(), 3);
}

/// On several threads, where the proxy moves while the test does: which of the two it sees first is chance, so it has many tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_sent_after_a_cut_or_in_a_freeze_never_arrives() {
    let (broker, proxy) = network().await;
    for round in 0..2000 {
        let (mut client, mut server) = connected(&broker, &proxy).await;
        pass(&mut client, &mut server, b"before").await;
        match round % 2 {
            0 => proxy.cut(),
            _ => proxy.freeze(),
        }
        // It may be reset already.
        drop(client.write_all(b"after").await);
        if round % 2 == 1 {
            proxy.cut();
        }
        proxy.thaw();
        let mut arrived = Vec::new();
        let read = server.read_to_end(&mut arrived);
        drop(timeout(Duration::from_secs(30), read).await.unwrap());
        assert!(arrived.is_empty(), "{arrived:?} arrived in round {round}");
    }
}

#[tokio::test]
async fn a_broken_side_breaks_the_other() {
    let (broker, proxy) = network().await;
    let (mut client, server) = connected(&broker, &proxy).await;
    server.set_zero_linger().unwrap();
    drop(server);
    assert_eq!(
        ends(&mut client).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn a_frozen_connection_is_silent_and_delivers_what_was_held_when_it_thaws() {
    let (broker, proxy) = network().await;
    let (mut client, mut server) = connected(&broker, &proxy).await;
    pass(&mut client, &mut server, b"before").await;
    proxy.freeze();
    client.write_all(b"there").await.unwrap();
    server.write_all(b"back").await.unwrap();
    server.shutdown().await.unwrap();
    // One that comes meanwhile is accepted, and reaches nobody; that it is there proves that the proxy had time to fail.
    let mut late = TcpStream::connect(proxy.address()).await.unwrap();
    late.write_all(b"late").await.unwrap();
    while proxy.accepted() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(client.read_u8().now_or_never().is_none());
    assert!(server.read_u8().now_or_never().is_none());
    assert!(broker.accept().now_or_never().is_none());
    assert_eq!(proxy.passed(), 6);

    proxy.thaw();
    arrive(&mut server, b"there").await;
    arrive(&mut client, b"back").await;
    assert_eq!(ends(&mut client).await.unwrap(), 0);
    let (mut late_server, _) = broker.accept().await.unwrap();
    arrive(&mut late_server, b"late").await;
}

#[tokio::test]
async fn a_frozen_connection_can_be_cut() {
    let (broker, proxy) = network().await;
    let (mut client, mut server) = connected(&broker, &proxy).await;
    pass(&mut client, &mut server, b"before").await;
    proxy.freeze();
    client.write_all(b"held").await.unwrap();
    proxy.cut();
    assert_eq!(
        ends(&mut server).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert!(ends(&mut client).await.is_err());
}

#[tokio::test]
async fn delayed_bytes_come_late_and_in_order() {
    let (broker, proxy) = network().await;
    let (mut client, mut server) = connected(&broker, &proxy).await;
    let delay = Duration::from_millis(50);
    proxy.delay(delay);
    let begun = Instant::now();
    client.write_all(b"1").await.unwrap();
    client.write_all(b"2").await.unwrap();
    arrive(&mut server, b"12").await;
    assert!(
        begun.elapsed() >= delay,
        "a lower bound, which no load breaks"
    );
    proxy.delay(Duration::ZERO);
    pass(&mut client, &mut server, b"3").await;
}

#[tokio::test]
async fn slow_bytes_keep_the_speed_and_all_arrive() {
    let (broker, proxy) = network().await;
    let (mut client, mut server) = connected(&broker, &proxy).await;
    proxy.slow(100_000);
    let begun = Instant::now();
    pass(&mut client, &mut server, &[7; 20_000]).await;
    // The last piece is a twentieth of a second, and its pause comes after it.
    let at_least = Duration::from_millis(200 - 50);
    assert!(
        begun.elapsed() >= at_least,
        "a lower bound, which no load breaks"
    );
    proxy.full_speed();
    pass(&mut client, &mut server, &[8; 1_000_000]).await;
}

#[tokio::test]
async fn refused_connections_are_reset_and_counted_and_present_ones_stay() {
    let (broker, proxy) = network().await;
    let (mut client, mut server) = connected(&broker, &proxy).await;
    proxy.refuse(true);
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(ends(&mut refused).await.is_err());
    assert!(broker.accept().now_or_never().is_none());
    pass(&mut client, &mut server, b"still here").await;
    assert_eq!(proxy.accepted(), 2);
    proxy.refuse(false);
    connected(&broker, &proxy).await;
}

#[tokio::test]
async fn a_broker_that_is_not_there_resets_and_may_come_later() {
    let (broker, proxy) = network().await;
    let address = proxy.broker();
    drop(broker);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(ends(&mut client).await.is_err());
    let broker = TcpListener::bind(address).await.unwrap();
    let (mut client, mut server) = connected(&broker, &proxy).await;
    pass(&mut client, &mut server, b"here").await;
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_connections_and_its_port() {
    let (broker, proxy) = network().await;
    let (mut client, mut server) = connected(&broker, &proxy).await;
    let address = proxy.address();
    drop(proxy);
    drop(ends(&mut client).await);
    drop(ends(&mut server).await);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
