//! The network between a client and its broker, in the hands of a test: cut, silent, slow, or not there.
//!
//! ```text
//!  client ──► 127.0.0.1:port ──► connection: two flows, there and back ──► broker
//!                                     ▲
//!  test ── cut, freeze, delay … ──► NetworkState (a watch: every connection sees each change)
//! ```
//!
//! `state` is what the test wants and what the proxy counted, `connection` one client with its way to the broker, `flow` one
//! direction of it, `network` what both ask of the state. One task accepts; it owns the tasks of its connections, and the [`Proxy`] owns it: nothing outlives that.

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

/// A TCP proxy on 127.0.0.1 before a broker, whose network fails when a test says so.
///
/// What is said of it holds for the connections that are there and for those to come, both ways, until it is taken back; only
/// [`cut`](Self::cut) is over at once. Dropped, it closes its connections and its port.
///
/// Limits: a connection holds up to 1 MiB in each direction that it has read and not yet passed on; beyond that the sender finds
/// its window full, as with a real network. A broker that tells its clients other addresses (Kafka) has to be told this one.
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

/// How long it waits after the system refused it a connection, for instance because too many files are open.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long it waits for an address that another has.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(120);

impl Proxy {
    /// Listens at a free port of 127.0.0.1 and leads to `broker`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its network enabled.
    pub async fn start(broker: SocketAddr) -> io::Result<Self> {
        Self::with(TcpListener::bind("127.0.0.1:0").await?, broker)
    }

    /// As [`start`](Self::start), at this address, to which the broker sends its clients. Waits for up to two minutes until
    /// another has left it.
    ///
    /// # Errors
    ///
    /// When the address is still taken then, or is none of this machine's.
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

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it leads to.
    #[must_use]
    pub fn broker(&self) -> SocketAddr {
        self.broker
    }

    /// How many connections came, refused ones too.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.counts.accepted()
    }

    /// How many bytes were passed on, both ways together: whether something moves.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.counts.passed()
    }

    /// Resets all present connections, to the client and to the broker. What was under way is lost, and what is sent after this
    /// call arrives nowhere. New connections are not concerned.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Whether new connections are reset as soon as they are made. Those that are there stay: [cut](Self::cut) them.
    pub fn refuse(&self, refuse: bool) {
        self.state.send_modify(|state| state.is_refusing = refuse);
    }

    /// Silence: connections stay open, nothing passes that is sent after this call, and no side learns that the other closed or reset its end. New connections
    /// are accepted, and silent.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.is_frozen = true);
    }

    /// The end of [`freeze`](Self::freeze): what was held is delivered, the end of a connection too.
    pub fn thaw(&self) {
        self.state.send_modify(|state| state.is_frozen = false);
    }

    /// Everything arrives this much later, each way, in order and no slower. What was read before keeps its time. Zero ends it.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// At most this many bytes a second, for each connection and direction.
    ///
    /// # Panics
    ///
    /// When it is 0: that would be [`freeze`](Self::freeze).
    #[track_caller]
    pub fn slow(&self, bytes_per_second: u32) {
        assert!(bytes_per_second > 0, "at least a byte a second");
        self.state
            .send_modify(|state| state.bytes_per_second = Some(bytes_per_second));
    }

    /// The end of [`slow`](Self::slow).
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

/// Accepts until it is aborted, which aborts its connections: they are in its set.
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
