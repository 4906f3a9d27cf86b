//! [`Proxy`]: a network between a client and its broker that a test cuts, silences, slows or refuses.
//!
//! ```text
//!  client ──► 127.0.0.1:port ──► connection: two flows, there and back ──► broker
//!                                     ▲
//!  test ── cut, freeze, delay … ──► NetworkState (a watch: every connection sees each change)
//! ```
//!
//! `state` holds the settings of the test and the proxy's counts, `connection` serves one client, `flow` is one
//! direction of a connection, and `network` is the state as one connection sees it. One task accepts connections and
//! owns their tasks; the [`Proxy`] owns that task, so nothing outlives it.

mod connection;
mod flow;
mod network;
mod state;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use self::{
    connection::connection,
    network::ConnectionNetwork,
    state::{NetworkState, ProxyCounts},
};

/// A TCP proxy on 127.0.0.1 in front of a broker, whose network fails on request.
///
/// A setting applies to present and future connections, in both directions, until it is changed back; only
/// [`cut`](Self::cut) is momentary. Dropping the proxy closes its connections and its port.
///
/// Limits: a connection buffers up to 1 MiB in each direction. Beyond that the sender finds its window full, as on a
/// real network. A broker that sends its clients other addresses (Kafka) has to be configured with this one.
///
/// ```
/// use broadway_core::testing::Proxy;
/// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::{TcpListener, TcpStream}};
///
/// # async fn run() -> std::io::Result<()> {
/// let broker = TcpListener::bind("127.0.0.1:0").await?;
/// let proxy = Proxy::start(broker.local_addr()?).await?;
///
/// let mut client = TcpStream::connect(proxy.address()).await?;
/// let (mut server, _) = broker.accept().await?;
/// client.write_all(b"hello").await?;
/// let mut hello = [0; 5];
/// server.read_exact(&mut hello).await?;
///
/// proxy.cut();
/// assert!(client.read_u8().await.is_err()); // reset by peer
/// assert_eq!(proxy.accepted(), 1);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[must_use = "a proxy ends its connections when it is dropped"]
pub struct Proxy {
    address: SocketAddr,
    broker: SocketAddr,
    state: watch::Sender<NetworkState>,
    counts: Arc<ProxyCounts>,
    accepting: AbortHandle,
}

/// The pause after the system refused a connection, for instance because too many files are open.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long to wait for an address that is in use.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(120);

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `broker`, which need not exist yet.
    ///
    /// # Errors
    ///
    /// Fails if no port is free.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with its network enabled.
    pub async fn start(broker: SocketAddr) -> io::Result<Self> {
        Self::with(TcpListener::bind("127.0.0.1:0").await?, broker)
    }

    /// As [`start`](Self::start), at this address, to which the broker sends its clients. Waits up to two minutes for
    /// an address that is in use.
    ///
    /// # Errors
    ///
    /// Fails if the address is still in use then, or does not belong to this machine.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_at(address: SocketAddr, broker: SocketAddr) -> io::Result<Self> {
        let begun = Instant::now();
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return Self::with(listener, broker),
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && begun.elapsed() < ADDRESS_PATIENCE =>
                {
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn with(listener: TcpListener, broker: SocketAddr) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let state = watch::Sender::new(NetworkState::default());
        let counts = Arc::new(ProxyCounts::default());
        let accepting = tokio::spawn(accept(listener, broker, state.subscribe(), counts.clone()));
        Ok(Self {
            address,
            broker,
            state,
            counts,
            accepting: accepting.abort_handle(),
        })
    }

    /// Returns the address that clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of the broker.
    #[must_use]
    pub fn broker(&self) -> SocketAddr {
        self.broker
    }

    /// Returns how many connections arrived, including refused ones.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.counts.accepted()
    }

    /// Returns how many bytes were forwarded in both directions together.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.counts.passed()
    }

    /// Resets all present connections, to the client and to the broker. Data in transit is lost, and data sent after
    /// this call arrives nowhere. New connections are not affected.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Sets whether new connections are reset at once. Present connections stay: [cut](Self::cut) them.
    pub fn refuse(&self, refuse: bool) {
        self.state.send_modify(|state| state.is_refusing = refuse);
    }

    /// Silences the network: connections stay open, data sent after this call is not forwarded, and neither side learns
    /// that the other closed or reset its end. New connections are accepted, and silent.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.is_frozen = true);
    }

    /// Ends [`freeze`](Self::freeze): held data is delivered, and so is the end of a connection.
    pub fn thaw(&self) {
        self.state.send_modify(|state| state.is_frozen = false);
    }

    /// Delays all data by this time, in each direction, in order and without reducing the throughput. Data read before
    /// keeps its time. Zero ends the delay.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Limits each connection and direction to this many bytes per second.
    ///
    /// # Panics
    ///
    /// Panics if it is 0: use [`freeze`](Self::freeze).
    #[track_caller]
    pub fn slow(&self, bytes_per_second: u32) {
        assert!(bytes_per_second > 0, "at least a byte a second");
        self.state
            .send_modify(|state| state.bytes_per_second = Some(bytes_per_second));
    }

    /// Ends [`slow`](Self::slow).
    pub fn full_speed(&self) {
        self.state
            .send_modify(|state| state.bytes_per_second = None);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .field("broker", &self.broker)
            .field("state", &*self.state.borrow())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// Accepts connections until it is aborted, which aborts its connections too: they are in its set.
async fn accept(
    listener: TcpListener,
    broker: SocketAddr,
    state: watch::Receiver<NetworkState>,
    counts: Arc<ProxyCounts>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let network = ConnectionNetwork::begin(&state, &counts);
        connections.spawn(connection(client, broker, network));
        while connections.try_join_next().is_some() {}
    }
}
