//! A TCP proxy in front of the server, whose connections a test can cut.

use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are passed on.
    Pass,
    /// They are accepted, and closed at once.
    Close,
    /// They are accepted, and nothing is ever said.
    Swallow,
}

/// Passes connections on until it is told otherwise.
pub struct Proxy {
    pub endpoint: String,
    /// The mode, and how often all connections were cut.
    state: Arc<watch::Sender<(Mode, u64)>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(endpoint: &str, mode: Mode) -> Self {
        let server = endpoint.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(watch::Sender::new((mode, 0)));
        let accepting = tokio::spawn(accept(listener, server, state.clone()));
        Self {
            endpoint: format!("http://{address}"),
            state,
            accepting,
        }
    }

    /// Breaks every connection that there is.
    pub fn cut(&self) {
        self.state.send_modify(|(_, cuts)| *cuts += 1);
    }

    /// From now on for new connections; those that there are break.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| *state = (mode, state.1 + 1));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: String, state: Arc<watch::Sender<(Mode, u64)>>) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut changes = state.subscribe();
        let (mode, _) = *changes.borrow_and_update();
        let server = server.clone();
        tokio::spawn(async move {
            match mode {
                Mode::Pass => {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = changes.changed() => {}
                    }
                }
                Mode::Close => {}
                Mode::Swallow => drop(changes.changed().await),
            }
        });
    }
}
