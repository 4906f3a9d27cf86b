//! A proxy that cuts connections, before or after an answer has passed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Forwards bytes to a broker and cuts each connection at its third answer, a given number of times. Every second time the answer is
/// lost too, although the broker has acted.
pub struct Proxy {
    pub address: String,
    left: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn start(to: &str, cuts: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let left = Arc::new(AtomicUsize::new(cuts));
        let (to, counter) = (to.to_owned(), left.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&to).await else {
                    continue;
                };
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                let requests = tokio::spawn(pass(near_in, far_out));
                let counter = counter.clone();
                tokio::spawn(async move {
                    answers(far_in, near_out, &counter).await;
                    requests.abort();
                });
            }
        });
        Self { address, left }
    }

    /// The number of cuts left.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    drop(tokio::io::copy(&mut from, &mut to).await);
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: &AtomicUsize) {
    let mut buffer = vec![0; 64 * 1024];
    for answer in 1.. {
        let n = match from.read(&mut buffer).await {
            Ok(n) if n > 0 => n,
            _ => return,
        };
        let one_less = |left: usize| left.checked_sub(1);
        let cut = (answer >= 3)
            .then(|| {
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                    .ok()
            })
            .flatten();
        if cut.is_some_and(|left| left % 2 == 0) {
            return;
        }
        if to.write_all(&buffer[..n]).await.is_err() || cut.is_some() {
            return;
        }
    }
}
