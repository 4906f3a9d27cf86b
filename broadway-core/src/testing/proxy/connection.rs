//! One client and its connection to the broker: two flows, until both have ended, one has failed, or the test cuts
//! them.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use futures_util::future::{Either, select, try_join};
use tokio::net::TcpStream;

use super::{flow::flow, network::ConnectionNetwork};

/// Serves one client until its connection ends.
pub(super) async fn connection(
    mut client: TcpStream,
    broker: SocketAddr,
    network: ConnectionNetwork,
) {
    if network.is_refused() {
        reset(&client);
        return;
    }
    let mut far = None;
    let end = {
        let served = pin!(serve(&mut client, &mut far, broker, &network));
        match select(pin!(network.cut()), served).await {
            Either::Left(_) => Err(io::ErrorKind::ConnectionReset.into()),
            Either::Right((served, _)) => served,
        }
    };
    // The flows have forwarded an orderly end. A failure on one side, or a cut, is reset on both.
    if end.is_err() {
        reset(&client);
        far.iter().for_each(reset);
    }
}

/// Connects to the broker, stores the stream in `far`, and forwards in both directions.
async fn serve(
    client: &mut TcpStream,
    far: &mut Option<TcpStream>,
    broker: SocketAddr,
    network: &ConnectionNetwork,
) -> io::Result<()> {
    // A connection into a silent network reaches no broker.
    network.open().await?;
    let far = far.insert(TcpStream::connect(broker).await?);
    client.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (client_in, client_out) = client.split();
    let (far_in, far_out) = far.split();
    let there = flow(client_in, far_out, network);
    let back = flow(far_in, client_out, network);
    try_join(there, back).await?;
    Ok(())
}

/// Makes a drop reset the connection instead of closing it: for a broken network, not for an orderly close, because
/// unsent data is discarded.
fn reset(stream: &TcpStream) {
    // Zero does not wait. Longer times block a thread, which is why tokio advises against this function; the
    // replacement is younger than the oldest tokio that we support.
    #[allow(deprecated, reason = "zero does not block")]
    let set = stream.set_linger(Some(Duration::ZERO));
    // It fails on a socket that is reset already.
    drop(set);
}
