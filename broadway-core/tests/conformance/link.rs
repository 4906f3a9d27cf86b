//! A network for what needs none: each operation goes as a byte through a real connection, and waits for its echo.
//!
//! So a proxy between the two can cut, freeze and slow what is in memory. Whoever finds its link broken has lost its connection:
//! the broker takes back what it held.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::OnceLock,
    thread,
    time::Duration,
};

use broadway_core::BoxError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Mutex, Notify},
    time::timeout,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where echoes come from, for as long as the tests run.
pub(crate) fn echo() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream));
            }
        });
        address
    })
}

fn answer(mut stream: std::net::TcpStream) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
}

/// The way to the broker; without an address it is always good.
pub(crate) struct Link {
    via: Option<SocketAddr>,
    stream: Mutex<Option<TcpStream>>,
    broken: Notify,
}

impl Link {
    pub(crate) async fn open(via: Option<SocketAddr>) -> Result<Self, BoxError> {
        let link = Self {
            via,
            stream: Mutex::new(None),
            broken: Notify::new(),
        };
        link.connect().await?;
        Ok(link)
    }

    /// Makes the connection anew, if it is broken.
    pub(crate) async fn connect(&self) -> Result<(), BoxError> {
        let Some(address) = self.via else {
            return Ok(());
        };
        if self.stream.lock().await.is_some() {
            return Ok(());
        }
        let connect = async {
            *self.stream.lock().await = Some(TcpStream::connect(address).await?);
            self.pass().await
        };
        match timeout(CONNECT_TIMEOUT, connect).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("{address} does not answer within {CONNECT_TIMEOUT:?}").into()),
        }
    }

    pub(crate) fn is_real(&self) -> bool {
        self.via.is_some()
    }

    /// Waits until somebody has found it broken; for one who waits.
    pub(crate) async fn broken(&self) {
        self.broken.notified().await;
    }

    /// Comes back when the broker has heard. Dropped, it leaves an echo behind, which is as good for the next.
    pub(crate) async fn pass(&self) -> Result<(), BoxError> {
        if self.via.is_none() {
            return Ok(());
        }
        let mut guard = self.stream.lock().await;
        let stream = guard.as_mut().ok_or("the connection is lost")?;
        let echoed = async {
            stream.write_all(&[1]).await?;
            stream.read_u8().await
        };
        let echoed = echoed.await;
        if let Err(error) = echoed {
            *guard = None;
            self.broken.notify_one();
            return Err(error.into());
        }
        Ok(())
    }
}
