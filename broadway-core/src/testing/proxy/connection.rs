//! One client, with its way to the broker: two flows, until both have ended, one has failed, or the test cuts them.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select, try_join};
use tokio::{net::TcpStream, sync::watch};

use super::{
    flow::flow,
    state::{Counts, State},
};

/// Serves one client to the end. `begun` is the state in which it came.
pub(super) async fn connection(
    mut client: TcpStream,
    broker: SocketAddr,
    begun: State,
    state: watch::Receiver<State>,
    counts: Arc<Counts>,
) {
    if begun.is_refusing {
        reset(&client);
        return;
    }
    let mut far = None;
    let end = {
        let mut until_cut = state.clone();
        let cut = pin!(until_cut.wait_for(|state| state.cuts != begun.cuts));
        let served = pin!(serve(&mut client, &mut far, broker, &state, &counts));
        match select(served, cut).await {
            Either::Left((served, _)) => served,
            Either::Right(_) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    // An orderly end was passed on by the flows. What failed on one side, or was cut, is reset on both.
    if end.is_err() {
        reset(&client);
        far.iter().for_each(reset);
    }
}

/// Connects to the broker, into `far`, and passes both ways.
async fn serve(
    client: &mut TcpStream,
    far: &mut Option<TcpStream>,
    broker: SocketAddr,
    state: &watch::Receiver<State>,
    counts: &Counts,
) -> io::Result<()> {
    // Whoever connects into a silent network reaches nobody.
    thawed(state).await;
    let far = far.insert(TcpStream::connect(broker).await?);
    client.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (client_in, client_out) = client.split();
    let (far_in, far_out) = far.split();
    let there = flow(client_in, far_out, state, counts);
    let back = flow(far_in, client_out, state, counts);
    try_join(there, back).await?;
    Ok(())
}

/// Returns at once when nothing is frozen.
pub(super) async fn thawed(state: &watch::Receiver<State>) {
    // The sender is gone when the proxy is; its connections are aborted then.
    let _ = state.clone().wait_for(|state| !state.is_frozen).await;
}

/// Makes that dropping it resets the connection instead of ending it: for a broken network, not for an orderly close, because
/// what the system has not yet sent is thrown away.
fn reset(stream: &TcpStream) {
    // Without waiting: it is the waiting of longer times that blocks a thread, and why tokio advises against this function. The
    // one that tokio has instead is younger than the oldest tokio we build with.
    #[allow(deprecated, reason = "zero does not block")]
    let set = stream.set_linger(Some(Duration::ZERO));
    // It fails for a socket that is reset already.
    drop(set);
}
