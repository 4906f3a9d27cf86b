//! The management API of the broker, by hand: lists connections and closes them, makes users and vhosts.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

fn address() -> String {
    broadway_test_brokers::address("rabbitmq_management")
}

/// One request as guest; the body of the answer.
fn ask(method: &str, path: &str) -> String {
    say(method, path, "").1
}

/// One request as guest; the head and the body of the answer.
fn say(method: &str, path: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address()).unwrap();
    let timeout = Some(Duration::from_secs(30));
    stream.set_read_timeout(timeout).unwrap();
    // guest:guest
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (head.to_owned(), body.to_owned())
}

/// Makes, changes or removes what stands at this path.
pub async fn change(method: &'static str, path: String, body: String) {
    let (head, said) = tokio::task::spawn_blocking(move || say(method, &path, &body))
        .await
        .unwrap();
    let status = head.split(' ').nth(1).unwrap_or_default();
    assert!(status.starts_with('2'), "{method}: {head} {said}");
}

/// The value of a text field in a list of objects, wherever it stands.
fn values<'a>(json: &'a str, field: &str) -> Vec<&'a str> {
    let key = format!("\"{field}\":\"");
    json.split(key.as_str())
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

/// The connections that a client has called so, as the broker names them.
pub fn connections(client_name: &str) -> Vec<String> {
    let json = ask(
        "GET",
        "/api/connections?columns=name,client_properties.connection_name",
    );
    json.split("},{")
        .filter(|one| values(one, "connection_name").contains(&client_name))
        .filter_map(|one| {
            let names = values(one, "name");
            names.into_iter().find(|name| name.contains("->"))
        })
        .map(str::to_owned)
        .collect()
}

/// Closes the connection that a client has called so, once the broker shows it.
pub async fn kill(client_name: &str) {
    let name = client_name.to_owned();
    until(&format!("a connection {client_name}"), move || {
        let found = connections(&name);
        for connection in &found {
            let path = connection.replace(' ', "%20").replace('>', "%3E");
            ask("DELETE", &format!("/api/connections/{path}"));
        }
        !found.is_empty()
    })
    .await;
}

/// Waits until a client has so many connections.
pub async fn until_connections(client_name: &str, n: usize) {
    let name = client_name.to_owned();
    let what = format!("{n} connections {client_name}");
    until(&what, move || connections(&name).len() == n).await;
}

/// Waits until so many messages of the queue at this path are out and not settled. The plugin looks every few seconds.
pub async fn until_unacknowledged(path: &str, n: u64) {
    let field = format!("\"messages_unacknowledged\":{n},");
    let (what, path) = (format!("{field} at {path}"), path.to_owned());
    until(&what, move || ask("GET", &path).contains(&field)).await;
}

/// Asks again until it is so. Far more time than is needed, so that only what never comes meets the limit.
async fn until(what: &str, is_so: impl Fn() -> bool + Send + Sync + 'static) {
    const PATIENCE: Duration = Duration::from_secs(120);
    let (begun, is_so) = (Instant::now(), Arc::new(is_so));
    loop {
        let is_so = is_so.clone();
        if tokio::task::spawn_blocking(move || is_so()).await.unwrap() {
            return;
        }
        let in_time = begun.elapsed() < PATIENCE;
        assert!(in_time, "the broker does not show {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
