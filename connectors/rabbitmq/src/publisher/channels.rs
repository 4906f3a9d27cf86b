//! The connection of a publisher and its channels, and the way to the next connection when it is lost.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use broadway_core::{
    Deadline,
    connector::{Backoff, Jitter},
};
use lapin::{Channel, Connection, options::ConfirmSelectOptions};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch},
    time::{Instant, sleep_until, timeout},
};

use super::error::closes_connection;
use crate::{
    connect::{ConnectOptions, OpenConnection},
    socket_guard::SocketGuard,
};

/// Pauses between attempts to connect. Shorter than a source's, because calls wait for the connection.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Hands out channels, and replaces a lost connection.
pub(crate) struct Channels {
    connect_options: ConnectOptions,
    /// Locked during an attempt to connect, so that all calls wait for the same connection.
    current: Arc<AsyncMutex<CurrentConnection>>,
    is_closed: watch::Sender<bool>,
}

struct CurrentConnection {
    connection: Option<Arc<PublisherConnection>>,
    /// Why the last attempt failed.
    last_error: String,
    /// Failed attempts in a row.
    failures: u32,
    next_attempt: Instant,
}

/// A connection, and the channels on it that no call uses.
pub(crate) struct PublisherConnection {
    connection: Connection,
    /// `None` only while this is being dropped.
    socket_guard: Option<SocketGuard>,
    idle: Mutex<Vec<Channel>>,
    /// Why no call waits for answers on this connection any more.
    given_up: watch::Sender<Option<String>>,
    /// Whether the broker has closed it. The client's own state follows a little later.
    is_closed: AtomicBool,
}

impl Channels {
    /// Starts with this connection.
    pub(crate) fn new(
        connect_options: ConnectOptions,
        connection: Connection,
        socket_guard: SocketGuard,
    ) -> Self {
        let mut current = CurrentConnection {
            connection: Some(PublisherConnection::new(connection, socket_guard)),
            last_error: String::new(),
            failures: 0,
            next_attempt: Instant::now(),
        };
        current.delay_next_attempt();
        Self {
            connect_options,
            current: Arc::new(AsyncMutex::new(current)),
            is_closed: watch::Sender::new(false),
        }
    }

    /// A channel that no other call uses, on a live connection. Connects if necessary, until the deadline.
    ///
    /// # Errors
    ///
    /// Fails with the reason at the deadline, or when the publisher is closed.
    pub(crate) async fn channel(
        &self,
        deadline: Deadline,
    ) -> Result<(Arc<PublisherConnection>, Channel), String> {
        let mut is_closed = self.is_closed.subscribe();
        let channel = async {
            loop {
                let connection = self.connection(deadline).await?;
                if let Some(channel) = connection.idle_channel() {
                    return Ok((connection, channel));
                }
                match deadline.within(connection.open_channel()).await {
                    Some(Ok(channel)) => return Ok((connection, channel)),
                    Some(Err(error)) if closes_connection(&error) => connection.closed(),
                    Some(Err(_)) if !connection.is_alive() => {}
                    Some(Err(error)) => return Err(format!("cannot open a channel: {error}")),
                    None => {
                        let reason = "the broker did not open a channel in time";
                        connection.give_up(reason);
                        return Err(reason.to_owned());
                    }
                }
            }
        };
        tokio::select! {
            _ = is_closed.wait_for(|is_closed| *is_closed) => Err("the publisher was closed".to_owned()),
            channel = channel => channel,
        }
    }

    /// The live connection, or a new one.
    async fn connection(&self, deadline: Deadline) -> Result<Arc<PublisherConnection>, String> {
        let lock = self.current.clone().lock_owned();
        let Some(mut current) = deadline.within(lock).await else {
            return Err("no connection in time (`confirm_timeout`)".to_owned());
        };
        loop {
            let connection = current.connection.as_ref();
            if let Some(connection) = connection.filter(|connection| connection.is_alive()) {
                return Ok(Arc::clone(connection));
            }
            current.connection = None;
            let next_attempt = current.next_attempt;
            if deadline
                .at()
                .is_some_and(|at| next_attempt.into_std() >= at)
            {
                return Err(current.no_connection());
            }
            sleep_until(next_attempt).await;
            // A task, which goes on after the deadline of this call. Otherwise calls with little time left would abort one attempt after
            // the other, and none would ever complete. The task keeps the lock: the next call waits for it, or finds its connection.
            let attempt = attempt(
                current,
                self.connect_options.clone(),
                self.is_closed.subscribe(),
            );
            match deadline.within(tokio::spawn(attempt)).await {
                Some(Ok(after)) => current = after,
                Some(Err(_)) => return Err("the attempt to connect has ended early".to_owned()),
                None => {
                    return Err("no connection in time (`confirm_timeout`): no answer".to_owned());
                }
            }
        }
    }

    /// Fails the calls that still run, and closes the connection, in good order if the broker answers within this time.
    pub(crate) async fn close(&self, within: Duration) {
        // Before the lock: an attempt that holds it ends on this.
        self.is_closed.send_replace(true);
        let Some(connection) = self.current.lock().await.connection.take() else {
            return;
        };
        connection.give_up("the publisher was closed");
        let closing = connection
            .connection
            .close(200, "the publisher was closed".into());
        if let Ok(Err(error)) = timeout(within, closing).await {
            tracing::debug!(target: "broadway_rabbitmq", %error, "the connection of a publisher was lost while it closed");
        }
    }
}

/// One attempt to connect, unless the publisher is closed or dropped before it succeeds.
async fn attempt(
    mut current: OwnedMutexGuard<CurrentConnection>,
    connect_options: ConnectOptions,
    mut is_closed: watch::Receiver<bool>,
) -> OwnedMutexGuard<CurrentConnection> {
    let connected = tokio::select! {
        _ = is_closed.wait_for(|is_closed| *is_closed) => return current,
        connected = connect_options.connect() => connected,
    };
    current.delay_next_attempt();
    match connected {
        Ok(OpenConnection {
            connection,
            socket_guard,
            ..
        }) => {
            tracing::info!(target: "broadway_rabbitmq", uri = connect_options.shown_uri(), "a publisher has connected again");
            current.connection = Some(PublisherConnection::new(connection, socket_guard));
            current.failures = 0;
        }
        Err(error) => {
            current.last_error = error.to_string();
            current.failures = current.failures.saturating_add(1);
            tracing::debug!(target: "broadway_rabbitmq", error = current.last_error, "a publisher cannot connect");
        }
    }
    current
}

impl CurrentConnection {
    /// Also after a success: a broker that accepts connections and closes them at once is not asked in a loop.
    fn delay_next_attempt(&mut self) {
        self.next_attempt = Instant::now() + BACKOFF.pause(self.failures, Jitter::random());
    }

    fn no_connection(&self) -> String {
        let reason = match &self.last_error[..] {
            "" => "no answer",
            error => error,
        };
        format!("no connection in time (`confirm_timeout`): {reason}")
    }
}

impl PublisherConnection {
    fn new(connection: Connection, socket_guard: SocketGuard) -> Arc<Self> {
        Arc::new(Self {
            connection,
            socket_guard: Some(socket_guard),
            idle: Mutex::default(),
            given_up: watch::Sender::new(None),
            is_closed: AtomicBool::new(false),
        })
    }

    /// The largest frame that the broker accepts, in bytes.
    pub(crate) fn frame_max(&self) -> usize {
        usize::try_from(self.connection.configuration().frame_max()).unwrap_or(usize::MAX)
    }

    /// Whether the broker has announced that it blocks publishers.
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Fails unconfirmed messages on this connection, and lets the next call open a new one. The first reason counts.
    pub(crate) fn give_up(&self, reason: &str) {
        self.given_up.send_if_modified(|given_up| {
            let is_first = given_up.is_none();
            given_up.get_or_insert_with(|| reason.to_owned());
            is_first
        });
        self.idle().clear();
    }

    /// Lets the next call open a new connection: the broker has closed this one. Unconfirmed messages on it get the broker's error.
    pub(crate) fn closed(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.idle().clear();
    }

    /// Waits until the connection is given up, and returns the reason.
    pub(crate) async fn given_up(&self) -> String {
        let mut given_up = self.given_up.subscribe();
        let reason = given_up.wait_for(Option::is_some).await;
        reason
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or_default()
    }

    /// Makes the channel available to other calls. No message may be unconfirmed on it.
    pub(crate) fn return_channel(&self, channel: Channel) {
        if self.is_alive() {
            self.idle().push(channel);
        }
    }

    fn is_alive(&self) -> bool {
        self.given_up.borrow().is_none()
            && !self.is_closed.load(Ordering::Acquire)
            && self.connection.status().connected()
    }

    fn idle_channel(&self) -> Option<Channel> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop()).find(|channel| channel.status().connected())
    }

    async fn open_channel(&self) -> lapin::Result<Channel> {
        let channel = self.connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(channel)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that was given up is shut down at the socket, since a broker that is silent or blocks publishers does not answer a close.
/// Otherwise the client closes it in good order.
impl Drop for PublisherConnection {
    fn drop(&mut self) {
        if self.given_up.borrow().is_none()
            && let Some(socket_guard) = self.socket_guard.take()
        {
            socket_guard.release();
        }
    }
}
