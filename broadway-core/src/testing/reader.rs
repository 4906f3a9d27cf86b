//! [`Reader`]: a producer without an engine, for tests of a connector.

use std::{fmt, future::Future, num::NonZeroUsize, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::timeout;

use super::Recorder;
use crate::{
    ack::{Acknowledger, Outcome, Settled},
    error::{BoxError, Callback, Reason},
    source::{Delivery, OpenContext, Source, SourceProducer, TokenOf},
    telemetry::Emitter,
};

/// A delivery of a producer of type `P`.
pub type Received<P> = Delivery<<P as SourceProducer>::Item, TokenOf<P>>;

/// One open producer that a test drives in place of the engine: it demands, inspects, settles and closes.
///
/// Every wait is limited to a minute, so that a connector that hangs fails its test with the place.
///
/// ```
/// use broadway_core::{source, testing::Reader};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let mut reader = Reader::open(&source::from_iter(|_producer| 0..10)).await?;
/// let received = reader.exactly(3).await;
/// assert_eq!(received[2].item, 2);
/// reader.done(received).await;
/// reader.close().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[must_use = "dropping a reader drops its producer without closing it: `close` it"]
pub struct Reader<P: SourceProducer> {
    producer: P,
    acknowledger: Arc<P::Acknowledger>,
    recorder: Recorder,
}

/// Far above the time that is needed, so that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

impl<P: SourceProducer> Reader<P> {
    /// Opens a producer of the source.
    ///
    /// # Errors
    ///
    /// Returns the error of [`Source::open`].
    ///
    /// # Panics
    ///
    /// Panics if it hangs.
    pub async fn open<S: Source<Producer = P>>(source: &S) -> Result<Self, BoxError> {
        let recorder = Recorder::new();
        let cx = OpenContext::for_test().with_emitter(Emitter::new("test", recorder.clone()));
        let producer = timely("open", source.open(&cx)).await?;
        Ok(Self {
            acknowledger: producer.acknowledger(),
            producer,
            recorder,
        })
    }

    /// Returns the events that the producer reported.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Returns the acknowledger, which may outlive the reader.
    #[must_use]
    pub fn acknowledger(&self) -> Arc<P::Acknowledger> {
        self.acknowledger.clone()
    }

    /// Returns the next messages, at most `demand`.
    ///
    /// # Errors
    ///
    /// Returns the error of [`SourceProducer::produce`], after which the engine would open the source again. This
    /// reader loses the messages that came before the error, unlike the engine: use [`some_into`](Self::some_into) to
    /// keep them.
    ///
    /// # Panics
    ///
    /// Panics if no message comes, if more come than were demanded, or if `demand` is 0.
    pub async fn some(&mut self, demand: usize) -> Result<Vec<Received<P>>, BoxError> {
        let mut out = Vec::new();
        self.some_into(demand, &mut out).await?;
        Ok(out)
    }

    /// As [`some`](Self::some), appended to `out`.
    ///
    /// # Errors
    ///
    /// As [`some`](Self::some). Messages that came before the error are in `out`.
    ///
    /// # Panics
    ///
    /// As [`some`](Self::some).
    pub async fn some_into(
        &mut self,
        demand: usize,
        out: &mut Vec<Received<P>>,
    ) -> Result<(), BoxError> {
        let before = out.len();
        let asked = NonZeroUsize::new(demand).expect("a demand of at least one");
        timely("produce", self.producer.produce(asked, out)).await?;
        let count = out.len() - before;
        assert!(
            count <= demand,
            "{count} messages came for a demand of {demand}"
        );
        Ok(())
    }

    /// Returns exactly `n` messages, in order.
    ///
    /// # Panics
    ///
    /// Panics if fewer come, or if the producer fails.
    pub async fn exactly(&mut self, n: usize) -> Vec<Received<P>> {
        let mut all = Vec::with_capacity(n);
        while all.len() < n {
            let missing = n - all.len();
            if let Err(error) = self.some_into(missing, &mut all).await {
                panic!("the producer failed after {} of {n}: {error}", all.len());
            }
        }
        all
    }

    /// Demands a message while `other` runs to its end, and checks that none is delivered until then.
    ///
    /// # Panics
    ///
    /// Panics if a message comes, or if the producer fails.
    pub async fn nothing_until<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut out = Vec::new();
        let value = {
            let produced = pin!(self.producer.produce(NonZeroUsize::MIN, &mut out));
            let other = pin!(other);
            match select(produced, other).await {
                Either::Left((Ok(_), _)) => panic!("something came where nothing should"),
                Either::Left((Err(error), _)) => panic!("the producer failed: {error}"),
                Either::Right((value, _)) => value,
            }
        };
        assert!(out.is_empty(), "something came where nothing should");
        value
    }

    /// Settles messages in one group, with [`Acknowledger::settle`].
    ///
    /// # Errors
    ///
    /// Returns the error of [`Acknowledger::settle`].
    ///
    /// # Panics
    ///
    /// Panics if it hangs, or if it does not drain its list.
    pub async fn settle(
        &self,
        outcome: &Outcome,
        received: impl IntoIterator<Item = Received<P>>,
    ) -> Result<(), BoxError> {
        let settled = received.into_iter();
        let mut settled: Vec<_> = settled
            .map(|delivery| Settled::for_test(delivery.token, outcome.clone()))
            .collect();
        let result = timely("settle", self.acknowledger.settle(&mut settled)).await;
        assert!(settled.is_empty(), "settle drains its list");
        result
    }

    /// Settles messages as done, in one group, with [`Acknowledger::settle_done`].
    ///
    /// # Panics
    ///
    /// Panics if the acknowledger fails, hangs, or does not drain its list.
    pub async fn done(&self, received: impl IntoIterator<Item = Received<P>>) {
        let mut done = received
            .into_iter()
            .map(|delivery| delivery.token)
            .collect();
        let result = timely("settle_done", self.acknowledger.settle_done(&mut done)).await;
        if let Err(error) = result {
            panic!("the acknowledger failed: {error}");
        }
        assert!(done.is_empty(), "settle_done drains its list");
    }

    /// Settles messages as failed, as after an error of `handle_message`.
    ///
    /// # Panics
    ///
    /// Panics if the acknowledger fails.
    pub async fn failed(&self, received: impl IntoIterator<Item = Received<P>>) {
        let reason = Reason::error(Callback::HandleMessage, "it does not work");
        if let Err(error) = self.settle(&Outcome::Failed(reason), received).await {
            panic!("the acknowledger failed: {error}");
        }
    }

    /// Stops the producer, as a drain does: see [`SourceProducer::stop`].
    ///
    /// # Panics
    ///
    /// Panics if it hangs.
    pub async fn stop(&mut self) {
        timely("stop", self.producer.stop()).await;
    }

    /// Stops and closes the producer, and returns the events that it reported.
    ///
    /// # Errors
    ///
    /// Returns the error of [`SourceProducer::close`].
    ///
    /// # Panics
    ///
    /// Panics if it hangs.
    pub async fn close(mut self) -> Result<Recorder, BoxError> {
        self.stop().await;
        timely("close", self.producer.close()).await?;
        Ok(self.recorder)
    }
}

impl<P: SourceProducer> fmt::Debug for Reader<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("recorder", &self.recorder)
            .finish_non_exhaustive()
    }
}

async fn timely<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("`{what}` did not end within {PATIENCE:?}"),
    }
}
