//! A producer without an engine, and the lag that it reports.

use std::{num::NonZeroUsize, time::Duration};

use broadway_core::{
    Acknowledger, OpenContext, Outcome, Settled, Source, SourceProducer,
    telemetry::{Emitter, Event, Observer},
    testing::{Collector, Received},
};
use tokio::time::timeout;

/// Far above what is needed, so that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A report: how many messages, and how old the oldest is.
pub type Lag = (Option<u64>, Option<Duration>);

#[derive(Clone)]
struct Lags(Collector<(String, Lag)>);

impl Observer for Lags {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        if let Event::Lag {
            part,
            messages,
            oldest,
            ..
        } = event
        {
            self.0.push(((*part).to_owned(), (*messages, *oldest)));
        }
    }
}

/// A producer that a test drives.
pub struct Measured<P: SourceProducer> {
    pub producer: P,
    lags: Lags,
}

impl<P: SourceProducer> Measured<P> {
    pub async fn open<S: Source<Producer = P>>(source: &S) -> Self {
        let lags = Lags(Collector::new());
        let cx = OpenContext::for_test().with_emitter(Emitter::new("test", lags.clone()));
        let producer = source.open(&cx).await.unwrap();
        Self { producer, lags }
    }

    /// Exactly `n` messages.
    pub async fn exactly(&mut self, n: usize) -> Vec<Received<P>> {
        let mut out = Vec::new();
        while out.len() < n {
            let demand = NonZeroUsize::new(n - out.len()).unwrap();
            let produced = timeout(PATIENCE, self.producer.produce(demand, &mut out)).await;
            produced.unwrap().unwrap();
        }
        out
    }

    pub async fn done(&self, received: Vec<Received<P>>) {
        let settled = received.into_iter();
        let mut settled: Vec<_> = settled
            .map(|delivery| Settled::for_test(delivery.token, Outcome::Done))
            .collect();
        self.producer
            .acknowledger()
            .settle(&mut settled)
            .await
            .unwrap();
    }

    /// Waits for a new report of this part that satisfies `wanted`.
    pub async fn wait(&self, part: &str, mut wanted: impl FnMut(&Lag) -> bool) -> Lag {
        let mut left = self.lags.0.len();
        let found = self.lags.0.wait_for(|(of, lag)| {
            let is_new = left == 0;
            left = left.saturating_sub(1);
            is_new && of == part && wanted(lag)
        });
        let found = timeout(PATIENCE, found).await;
        let reported = self.lags.0.all();
        found
            .unwrap_or_else(|_| panic!("not reported: {reported:?}"))
            .1
    }

    /// Closes the producer. Returns its last report.
    pub async fn close(mut self) -> Option<Lag> {
        self.producer.stop().await;
        timeout(PATIENCE, self.producer.close())
            .await
            .unwrap()
            .unwrap();
        self.lags.0.all().last().map(|(_, lag)| *lag)
    }
}
