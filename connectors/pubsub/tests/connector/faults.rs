//! Broken connections, unreachable servers, and streams that end.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use broadway_core::testing::{Proxy, Reader};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::common::{Fixture, PATIENCE, number, numbers, proxy, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_cut_connections_lose_nothing() {
    let Some(fixture) = Fixture::new("cuts").await else {
        return;
    };
    if crate::common::is_emulator(&fixture.endpoint) {
        eprintln!("skipped: Google's emulator keeps sending to a hundred ended streams");
        return;
    }
    let (proxy, endpoint) = proxy(&fixture.endpoint).await;
    let source = fixture.source().endpoint(&endpoint);
    let mut reader = Reader::open(&source).await.unwrap();
    let publish_and_cut = async {
        for cut in 0..100 {
            fixture.publish_numbers(cut * 5..cut * 5 + 5).await;
            proxy.cut();
        }
    };
    let mut seen = HashSet::new();
    let read = async {
        while seen.len() < 500 {
            let received = reader.some(50).await.unwrap();
            seen.extend(received.iter().map(number));
            reader.done(received).await;
        }
    };
    let both = async { tokio::join!(publish_and_cut, read) };
    tokio::time::timeout(PATIENCE * 3, both)
        .await
        .expect("everything in time");
    assert_eq!(seen, (0..500).collect());
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_outlives_its_stream() {
    let Some(fixture) = Fixture::new("outlives").await else {
        return;
    };
    let (proxy, endpoint) = proxy(&fixture.endpoint).await;
    let source = fixture.source().endpoint(&endpoint);
    let mut reader = Reader::open(&source).await.unwrap();
    fixture.publish_numbers(0..1).await;
    let held = reader.exactly(1).await;
    proxy.cut();
    // Several, since an emulator may still send some of them to the ended stream.
    fixture.publish_numbers(1..11).await;
    // The stream is reopened and returns more; the lease of the first was kept, so it can be acknowledged.
    let next = reader.some(10).await.unwrap();
    assert!(!numbers(&next).contains(&0), "its lease was kept");
    reader.done(held).await;
    reader.done(next).await;
    reader.close().await.unwrap();
    assert!(
        !fixture.rest().await.contains(&"0".to_owned()),
        "it was delivered again"
    );
}

/// Cuts all connections and refuses new ones.
fn close_all(proxy: &Proxy) {
    proxy.refuse(true);
    proxy.cut();
}

/// A balancer that forwards to `server` as long as there are backends, and otherwise closes the connections that it accepts.
async fn balancer(server: std::net::SocketAddr, has_backends: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            if has_backends.load(Ordering::Relaxed) {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    drop(copy_bidirectional(&mut client, &mut server).await);
                });
            }
        }
    });
    endpoint
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_as_soon_as_they_are_made_are_an_error() {
    let Some(fixture) = Fixture::new("storm").await else {
        return;
    };
    let (proxy, _) = proxy(&fixture.endpoint).await;
    let has_backends = Arc::new(AtomicBool::new(true));
    let endpoint = balancer(proxy.address(), has_backends.clone()).await;
    let source = fixture.source().endpoint(&endpoint);
    let mut reader = Reader::open(&source).await.unwrap();
    has_backends.store(false, Ordering::Relaxed);
    proxy.cut();
    let error = reader.some(1).await.unwrap_err().to_string();
    assert!(
        error.contains(&fixture.subscription) && error.contains(&endpoint),
        "{error}"
    );
    drop(reader);
    // Opened again, it fails again: at once, or with the stream.
    if let Ok(mut reader) = Reader::open(&source).await {
        assert!(reader.some(1).await.is_err());
    }
    has_backends.store(true, Ordering::Relaxed);
    let reader = Reader::open(&source).await.unwrap();
    reader.close().await.unwrap();
}

/// Waits for a new connection.
async fn connected(proxy: &Proxy) {
    let before = proxy.accepted();
    let more = async {
        while proxy.accepted() == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let more = tokio::time::timeout(PATIENCE, more).await;
    more.expect("a connection in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_of_a_service_that_answers_is_not_reported() {
    let Some(fixture) = Fixture::new("quiet").await else {
        return;
    };
    let (proxy, endpoint) = proxy(&fixture.endpoint).await;
    // Has passed at the first health check, after 15 s.
    let source = fixture.source().endpoint(&endpoint);
    let source = source.connect_timeout(Duration::from_secs(10));
    let mut reader = Reader::open(&source).await.unwrap();
    reader.nothing_until(connected(&proxy)).await;
    // A second health check means that the first was answered: the pause is longer than its limit.
    reader.nothing_until(connected(&proxy)).await;
    assert_eq!(reader.recorder().count("source_error"), 0);
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_service_is_reported_while_the_client_retries() {
    let Some(fixture) = Fixture::new("unreachable").await else {
        return;
    };
    let (proxy, endpoint) = proxy(&fixture.endpoint).await;
    let source = fixture.source().endpoint(&endpoint);
    let mut reader = Reader::open(&source).await.unwrap();
    // Reachable but silent: a new connection waits forever.
    proxy.freeze();
    proxy.cut();
    let recorder = reader.recorder().clone();
    let reported = recorder.wait_for(|event| event.get("error").is_some());
    let reported = reader.nothing_until(reported).await;
    let error = reported.get("error").unwrap();
    assert!(
        error.contains(&fixture.subscription) && error.contains(&endpoint),
        "{error}"
    );
    proxy.thaw();
    fixture.publish_numbers(0..1).await;
    let received = reader.exactly(1).await;
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_subscription_is_an_error_that_names_it() {
    let Some(fixture) = Fixture::new("deleted").await else {
        return;
    };
    let (proxy, endpoint) = proxy(&fixture.endpoint).await;
    let source = fixture.source().endpoint(&endpoint);
    let mut reader = Reader::open(&source).await.unwrap();
    fixture.delete_subscription().await;
    // Some servers do not end the streams of a deleted subscription; none lets a stream be reopened.
    proxy.cut();
    let error = reader.some(1).await.unwrap_err().to_string();
    assert!(
        error.contains("`subscription`") && error.contains(&fixture.subscription),
        "{error}"
    );
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_does_not_wait_for_a_server_that_is_gone() {
    for fail in [close_all, Proxy::freeze] {
        let Some(fixture) = Fixture::new("gone").await else {
            return;
        };
        fixture.publish_numbers(0..3).await;
        let (proxy, endpoint) = proxy(&fixture.endpoint).await;
        let source = fixture
            .source()
            .endpoint(&endpoint)
            .close_timeout(Duration::from_secs(2));
        let mut reader = Reader::open(&source).await.unwrap();
        let received = reader.exactly(1).await;
        fail(&proxy);
        reader.done(received).await;
        let begun = Instant::now();
        let closed = reader.close().await;
        assert!(begun.elapsed() < Duration::from_secs(20), "{proxy:?}");
        if let Err(error) = closed {
            assert!(error.to_string().contains("`close_timeout`"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exactly_once_ack_that_is_not_confirmed_is_reported() {
    let Some(fixture) = Fixture::exactly_once("unconfirmed").await else {
        return;
    };
    fixture.publish_numbers(0..1).await;
    let (proxy, endpoint) = proxy(&fixture.endpoint).await;
    let source = fixture
        .source()
        .endpoint(&endpoint)
        .close_timeout(Duration::from_secs(2));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(1).await;
    assert_eq!(text(&received[0]), "0");
    close_all(&proxy);
    reader.done(received).await;
    assert!(reader.close().await.is_err());
    // The message is not lost.
    let mut next = fixture.open().await;
    let again = crate::common::patiently(&mut next, 1).await;
    next.done(again).await;
    next.close().await.unwrap();
}
