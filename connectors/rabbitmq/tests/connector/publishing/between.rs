//! A connection that the tests can cut or hold back.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Stands between the publisher and the broker, and can cut or hold back what comes from the broker.
pub(crate) struct Between {
    pub(crate) address: String,
    pub(crate) cut: watch::Sender<Flow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Open,
    /// Answers are held back.
    Mute,
    /// Connections are cut, with what was held back.
    Cut,
}

impl Between {
    pub(crate) async fn new(broker: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cut = watch::Sender::new(Flow::Open);
        let flow = cut.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&broker).await.unwrap();
                tokio::spawn(Self::carry(near, far, flow.subscribe()));
            }
        });
        Self { address, cut }
    }

    pub(crate) async fn carry(near: TcpStream, far: TcpStream, mut flow: watch::Receiver<Flow>) {
        let (mut near_in, mut near_out) = near.into_split();
        let (mut far_in, mut far_out) = far.into_split();
        let mut gate = flow.clone();
        let there = copy(&mut near_in, &mut far_out);
        let back = async {
            let mut bytes = vec![0; 65_536];
            while let Ok(n @ 1..) = far_in.read(&mut bytes).await {
                gate.wait_for(|flow| *flow == Flow::Open).await.unwrap();
                if near_out.write_all(&bytes[..n]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            _ = there => {}
            () = back => {}
            _ = flow.wait_for(|flow| *flow == Flow::Cut) => {}
        }
    }
}
