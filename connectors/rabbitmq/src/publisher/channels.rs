//! The connection of a publisher, its channels, and the way to the next connection when it is lost.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadway_core::{BoxError, Deadline};
use lapin::{Channel, Connection, options::ConfirmSelectOptions};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    connect::{ConnectOptions, OpenConnection},
    error::Trouble,
    socket_guard::SocketGuard,
};

/// How soon after one attempt the next may begin: at first, and at last. Up to half of it is added by chance.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// One connection after the other.
pub(crate) struct Channels {
    connect_options: ConnectOptions,
    /// Held while somebody connects, so that others wait for the same connection.
    state: Arc<AsyncMutex<ReconnectState>>,
    has_ended: watch::Sender<bool>,
}

struct ReconnectState {
    link: Option<Arc<PublisherConnection>>,
    /// Why there is none.
    trouble: String,
    pause: Duration,
    not_before: Instant,
}

/// A connection, and the channels on it that nobody uses.
pub(crate) struct PublisherConnection {
    connection: Connection,
    /// Ends it where it does not end by itself. There until the link is dropped.
    socket_guard: Option<SocketGuard>,
    idle: Mutex<Vec<Channel>>,
    /// Why nobody shall wait for it any more.
    given_up: watch::Sender<Option<String>>,
}

impl Channels {
    /// Begins with this connection, and a channel on it.
    pub(crate) fn new(
        connect_options: ConnectOptions,
        connection: Connection,
        socket_guard: SocketGuard,
    ) -> Self {
        let state = ReconnectState {
            link: Some(PublisherConnection::new(connection, socket_guard)),
            trouble: String::new(),
            pause: PAUSE_MIN,
            not_before: Instant::now() + PAUSE_MIN,
        };
        Self {
            connect_options,
            state: Arc::new(AsyncMutex::new(state)),
            has_ended: watch::Sender::new(false),
        }
    }

    /// A channel for oneself, on a connection that lives. Connects where needed, and says why not at the deadline.
    pub(crate) async fn channel(
        &self,
        deadline: Deadline,
    ) -> Result<(Arc<PublisherConnection>, Channel), String> {
        let mut ended = self.has_ended.subscribe();
        let channel = async {
            loop {
                let link = self.link(deadline).await?;
                if let Some(channel) = link.idle_channel() {
                    return Ok((link, channel));
                }
                match deadline.within(link.open_channel()).await {
                    Some(Ok(channel)) => return Ok((link, channel)),
                    Some(Err(_)) if !link.is_alive() => {}
                    Some(Err(error)) => return Err(format!("no channel: {error}")),
                    None => {
                        let why = "the broker opened no channel in time";
                        link.give_up(why);
                        return Err(why.to_owned());
                    }
                }
            }
        };
        tokio::select! {
            _ = ended.wait_for(|ended| *ended) => Err("the publisher was closed".to_owned()),
            found = channel => found,
        }
    }

    async fn link(&self, deadline: Deadline) -> Result<Arc<PublisherConnection>, String> {
        let turn = self.state.clone().lock_owned();
        let Some(mut state) = deadline.within(turn).await else {
            return Err("there was no connection in time (`confirm_timeout`)".to_owned());
        };
        loop {
            if let Some(link) = state.link.as_ref().filter(|link| link.is_alive()) {
                return Ok(Arc::clone(link));
            }
            state.link = None;
            let not_before = state.not_before;
            if deadline.at().is_some_and(|at| not_before.into_std() >= at) {
                return Err(state.no_link());
            }
            sleep_until(not_before).await;
            // It goes on when the time of this call is over: calls with little time left would break off one attempt after the
            // other, and nobody would ever connect. Who calls next waits for it, or finds what it has made.
            let attempt = attempt(
                state,
                self.connect_options.clone(),
                self.has_ended.subscribe(),
            );
            match deadline.within(tokio::spawn(attempt)).await {
                Some(Ok(tried)) => state = tried,
                Some(Err(_)) => return Err("the attempt to connect has ended early".to_owned()),
                None => {
                    return Err("no connection in time (`confirm_timeout`): no answer".to_owned());
                }
            }
        }
    }

    /// Ends the connection: in good order where the broker answers within this time.
    pub(crate) async fn close(&self, within: Duration) {
        self.has_ended.send_replace(true);
        let Some(link) = self.state.lock().await.link.take() else {
            return;
        };
        link.give_up("the publisher was closed");
        let closing = link
            .connection
            .close(200, "the publisher was closed".into());
        if let Ok(Err(error)) = timeout(within, closing).await {
            tracing::debug!(target: "broadway_rabbitmq", %error, "the connection of a publisher was lost while it closed");
        }
    }
}

/// Tries to connect, until the publisher is closed or gone.
async fn attempt(
    mut state: OwnedMutexGuard<ReconnectState>,
    connect_options: ConnectOptions,
    mut has_ended: watch::Receiver<bool>,
) -> OwnedMutexGuard<ReconnectState> {
    let connected = tokio::select! {
        _ = has_ended.wait_for(|ended| *ended) => return state,
        connected = connect_options.connect() => connected,
    };
    state.tried();
    match connected {
        Ok(OpenConnection {
            connection,
            socket_guard,
            ..
        }) => {
            tracing::info!(target: "broadway_rabbitmq", uri = connect_options.shown(), "a publisher has connected again");
            state.link = Some(PublisherConnection::new(connection, socket_guard));
            state.pause = PAUSE_MIN;
        }
        Err(trouble) => {
            state.trouble = Trouble::into_error(trouble).to_string();
            tracing::debug!(target: "broadway_rabbitmq", error = state.trouble, "a publisher cannot connect");
        }
    }
    state
}

impl ReconnectState {
    /// After an attempt: the next one comes later.
    fn tried(&mut self) {
        let chance = RandomState::new().hash_one(0_u8) % 512;
        let jitter = self.pause.mul_f64(chance as f64 / 1024.0);
        self.not_before = Instant::now() + self.pause + jitter;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn no_link(&self) -> String {
        let why = match &self.trouble[..] {
            "" => "no answer",
            why => why,
        };
        format!("no connection in time (`confirm_timeout`): {why}")
    }
}

impl PublisherConnection {
    fn new(connection: Connection, socket_guard: SocketGuard) -> Arc<Self> {
        Arc::new(Self {
            connection,
            socket_guard: Some(socket_guard),
            idle: Mutex::default(),
            given_up: watch::Sender::new(None),
        })
    }

    /// The largest frame that the broker takes.
    pub(crate) fn frame_max(&self) -> usize {
        usize::try_from(self.connection.configuration().frame_max()).unwrap_or(usize::MAX)
    }

    /// Whether the broker has said that it reads nothing from those who publish.
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Fails what is on its way, and lets the next call make a new connection.
    pub(crate) fn give_up(&self, why: &str) {
        self.given_up.send_if_modified(|given_up| {
            let is_first = given_up.is_none();
            given_up.get_or_insert_with(|| why.to_owned());
            is_first
        });
        self.idle().clear();
    }

    /// Waits until it is given up, and says why.
    pub(crate) async fn given_up(&self) -> String {
        let mut given_up = self.given_up.subscribe();
        let why = given_up.wait_for(Option::is_some).await;
        why.ok().and_then(|why| why.clone()).unwrap_or_default()
    }

    /// For others to use: nothing may be unconfirmed on it.
    pub(crate) fn put_back(&self, channel: Channel) {
        if self.is_alive() {
            self.idle().push(channel);
        }
    }

    fn is_alive(&self) -> bool {
        self.given_up.borrow().is_none() && self.connection.status().connected()
    }

    fn idle_channel(&self) -> Option<Channel> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop()).find(|channel| channel.status().connected())
    }

    async fn open_channel(&self) -> Result<Channel, BoxError> {
        let channel = self.connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(channel)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Once given up, its socket is ended, since a broker that is mute or has blocked us hears no good-bye. Otherwise the client says it.
impl Drop for PublisherConnection {
    fn drop(&mut self) {
        if self.given_up.borrow().is_none()
            && let Some(socket_guard) = self.socket_guard.take()
        {
            socket_guard.release();
        }
    }
}
