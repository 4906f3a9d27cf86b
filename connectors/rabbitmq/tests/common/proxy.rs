//! A broker's address whose connections can be cut, or fall silent.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What becomes of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They pass, on connections that are younger than this number of cuts.
    Pass(u64),
    /// They are kept, for ever.
    Hold(u64),
}

/// Passes bytes to and from a broker.
pub struct Proxy {
    address: String,
    mode: Arc<watch::Sender<Mode>>,
}

impl Proxy {
    pub async fn to(broker: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (mode, _) = watch::channel(Mode::Pass(0));
        let mode = Arc::new(mode);
        let (broker, modes) = (broker.to_owned(), mode.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&broker).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, modes.subscribe()));
                tokio::spawn(pass(from_server, to_client, modes.subscribe()));
            }
        });
        Self { address, mode }
    }

    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }

    /// Cuts all connections; new ones pass.
    pub fn cut(&self) {
        self.mode.send_modify(|mode| {
            let (Mode::Pass(cuts) | Mode::Hold(cuts)) = *mode;
            *mode = Mode::Pass(cuts + 1);
        });
    }

    /// Lets nothing pass any more, and cuts nothing.
    pub fn hold(&self) {
        self.mode.send_modify(|mode| {
            let (Mode::Pass(cuts) | Mode::Hold(cuts)) = *mode;
            *mode = Mode::Hold(cuts);
        });
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) {
    let (Mode::Pass(born) | Mode::Hold(born)) = *mode.borrow_and_update();
    let mut bytes = vec![0; 65_536];
    loop {
        let now = *mode.borrow_and_update();
        match now {
            Mode::Pass(cuts) | Mode::Hold(cuts) if cuts != born => return,
            Mode::Hold(_) => {
                if mode.changed().await.is_err() {
                    return;
                }
            }
            Mode::Pass(_) => {
                tokio::select! {
                    read = from.read(&mut bytes) => {
                        let Ok(n @ 1..) = read else { return };
                        if to.write_all(&bytes[..n]).await.is_err() {
                            return;
                        }
                    }
                    changed = mode.changed() => {
                        if changed.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }
}
