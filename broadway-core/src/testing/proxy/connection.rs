//! One client, with its way to the broker: two flows, until both have ended, one has failed, or the test cuts them.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use futures_util::future::{Either, select, try_join};
use tokio::net::TcpStream;

use super::{flow::flow, network::ConnectionNetwork};

/// Serves one client to the end.
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
    network: &ConnectionNetwork,
) -> io::Result<()> {
    // Whoever connects into a silent network reaches nobody.
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
