//! [`ConnectionNetwork`]: the state of the network as one connection sees it. Its parts check it before they forward
//! data.

use std::{io, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::state::{NetworkState, ProxyCounts};

pub(super) struct ConnectionNetwork {
    state: watch::Receiver<NetworkState>,
    counts: Arc<ProxyCounts>,
    /// How many cuts had happened when this connection arrived.
    cuts: u64,
    is_refused: bool,
}

impl ConnectionNetwork {
    /// The state for a client that has just connected. The client is counted afterwards, so that a test that cuts the
    /// counted connections cuts this one too.
    pub(super) fn begin(state: &watch::Receiver<NetworkState>, counts: &Arc<ProxyCounts>) -> Self {
        let (cuts, is_refused) = {
            let now = state.borrow();
            (now.cuts, now.is_refusing)
        };
        counts.accept();
        Self {
            state: state.clone(),
            counts: counts.clone(),
            cuts,
            is_refused,
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Returns when this connection is cut.
    pub(super) async fn cut(&self) {
        let is_cut = |state: &NetworkState| state.cuts != self.cuts;
        // When the proxy and its sender are dropped, the connections are aborted.
        let _ = self.state.clone().wait_for(is_cut).await;
    }

    /// Waits while the network is frozen. Call it after reading, so that nothing is forwarded that was sent after a cut
    /// or a freeze.
    ///
    /// # Errors
    ///
    /// Fails if the connection was cut.
    pub(super) async fn open(&self) -> io::Result<()> {
        let is_decided = |state: &NetworkState| !state.is_frozen || state.cuts != self.cuts;
        let mut state = self.state.clone();
        match state.wait_for(is_decided).await {
            Ok(state) if state.cuts == self.cuts => Ok(()),
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    pub(super) fn delay(&self) -> Duration {
        self.state.borrow().delay
    }

    pub(super) fn bytes_per_second(&self) -> Option<u32> {
        self.state.borrow().bytes_per_second
    }

    pub(super) fn pass(&self, bytes: usize) {
        self.counts.pass(bytes);
    }
}
