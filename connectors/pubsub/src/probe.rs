//! Whether the service can still be reached, asked while the stream is silent: the client opens a broken stream again by itself,
//! with pauses of up to a minute, and tells nobody.
//!
//! The question is the one that opening asks: for the subscription, over a connection of its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadway_core::{
    BoxError,
    telemetry::{Emitter, Event},
};
use tokio::time::sleep;

use crate::{
    connect::{Access, Found, Limit, Target},
    held::Held,
    pulse::Pulse,
};

/// How long the stream is silent before the first question, and how soon one that had no answer is asked again.
const FIRST: Duration = Duration::from_secs(15);
/// A stream may be silent for days: after each answer the pause doubles, up to this. Questions count against a quota.
const LONGEST: Duration = Duration::from_secs(120);

/// The most that one answer may take, whatever `connect_timeout` is: without a limit, a network that swallows everything is silent.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What asks, and where it reports.
pub(crate) struct Probe {
    pub(crate) access: Access,
    pub(crate) connect_timeout: Duration,
    pub(crate) target: Target,
    pub(crate) held: Arc<Held>,
    pub(crate) pulse: Arc<Mutex<Pulse>>,
    pub(crate) producer: usize,
    pub(crate) emitter: Emitter,
}

impl Probe {
    /// Runs until the subscription is gone, or it is aborted.
    pub(crate) async fn run(self) {
        let name = &self.target.name;
        let ask = |limit| self.access.find_subscription(name, limit);
        let brought = || {
            let pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
            pulse.times_brought()
        };
        let trouble = |error: &str| {
            tracing::warn!(target: "broadway_pubsub", error, "the stream is silent, and the service does not answer");
            self.emitter
                .emit(&Event::source_trouble(self.producer, error));
        };
        watch(self.connect_timeout, brought, ask, trouble).await;
        // Not every server ends the streams of what is deleted.
        self.held.fail(self.target.missing(), false);
    }
}

/// Asks whenever the stream has brought nothing for a while, until the answer is that there is no such subscription. `brought`
/// counts what the stream has brought. Each question has its own limit, which begins with it.
async fn watch<F>(
    connect_timeout: Duration,
    brought: impl Fn() -> u64,
    ask: impl Fn(Limit) -> F,
    trouble: impl Fn(&str),
) where
    F: Future<Output = Result<Found, BoxError>>,
{
    let mut pause = FIRST;
    let mut before = brought();
    loop {
        sleep(pause).await;
        let now = brought();
        if now != before {
            before = now;
            pause = FIRST;
            continue;
        }
        match ask(Limit::of_probe(connect_timeout.min(ANSWER_MAX))).await {
            Ok(Found::Yes | Found::Hidden) => pause = (pause * 2).min(LONGEST),
            Ok(Found::No) => return,
            Err(error) => {
                pause = FIRST;
                trouble(&error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::{Instant, timeout};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// An answer that takes `takes` of the limit which the question has.
    async fn answer(limit: Limit, takes: Duration) -> Result<Found, BoxError> {
        match limit.deadline.within(sleep(takes)).await {
            Some(()) => Ok(Found::Yes),
            None => Err(format!("no answer within {:?}", limit.within).into()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_stream_of_a_healthy_service_is_no_trouble_for_hours() {
        let (asked, troubles) = (Cell::new(0), RefCell::new(Vec::new()));
        let ask = |limit: Limit| {
            asked.set(asked.get() + 1);
            answer(limit, Duration::from_secs(9))
        };
        let trouble = |error: &str| troubles.borrow_mut().push(error.to_owned());
        let watching = watch(Duration::from_secs(10), || 0, ask, trouble);
        assert!(timeout(3 * HOUR, watching).await.is_err(), "it never ends");
        assert_eq!(*troubles.borrow(), Vec::<String>::new());
        assert!(asked.get() > 50, "asked {} times only", asked.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_never_answers_is_trouble_also_without_a_limit_on_connecting() {
        let troubles = RefCell::new(Vec::new());
        let ask = |limit| answer(limit, 10 * HOUR);
        let trouble = |error: &str| {
            troubles
                .borrow_mut()
                .push((Instant::now(), error.to_owned()))
        };
        let began = Instant::now();
        let watching = watch(Duration::MAX, || 0, ask, trouble);
        assert!(timeout(HOUR, watching).await.is_err(), "it never ends");
        let troubles = troubles.into_inner();
        assert_eq!(troubles[0].0 - began, FIRST + ANSWER_MAX);
        assert!(troubles[0].1.contains("60s"), "{}", troubles[0].1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_brings_messages_is_not_asked_about() {
        let count = Cell::new(0);
        let brought = || {
            count.set(count.get() + 1);
            count.get()
        };
        let ask = async |_| panic!("nothing is to be asked");
        let watching = watch(Duration::from_secs(10), brought, ask, |_| ());
        assert!(timeout(HOUR, watching).await.is_err());
    }
}
