//! Health check of a silent stream: the client reopens a broken stream automatically, with pauses of up to a minute, and does not report
//! it.
//!
//! The check requests the subscription, as opening does, over a connection of its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadway_core::{
    connector::{Backoff, ConnectorError, Jitter},
    telemetry::{Emitter, Event},
};
use tokio::time::sleep;

use crate::{
    connect::{Lookup, ServiceAccess, TimeLimit},
    error::Resource,
    liveness::Liveness,
    unsettled::UnsettledMessages,
};

/// How long a stream is silent before the first check, and the pause after one that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// A stream may be silent for days, and requests count against a quota: each answer doubles the pause, up to two minutes.
const PAUSES: Backoff = Backoff::new(FIRST_PAUSE, Duration::from_secs(120));
/// The limit of one check, whatever `connect_timeout` is: without a limit, a network that drops every packet would never be reported.
const ANSWER_MAX: Duration = Duration::from_secs(60);

pub(crate) struct HealthCheck {
    pub(crate) access: ServiceAccess,
    pub(crate) connect_timeout: Duration,
    pub(crate) resource: Resource,
    pub(crate) unsettled: Arc<UnsettledMessages>,
    pub(crate) liveness: Arc<Mutex<Liveness>>,
    pub(crate) producer: usize,
    pub(crate) emitter: Emitter,
}

impl HealthCheck {
    /// Runs until the subscription is deleted, which fails the producer, or until it is aborted.
    pub(crate) async fn run(self) {
        let name = &self.resource.name;
        let request = |limit| self.access.find_subscription(name, limit);
        let receives = || {
            let liveness = self.liveness.lock().unwrap_or_else(PoisonError::into_inner);
            liveness.receives()
        };
        let report = |error: &str| {
            tracing::warn!(target: "broadway_pubsub", error, "the stream is silent and the service does not answer");
            self.emitter
                .emit(&Event::source_error(self.producer, error));
        };
        check(self.connect_timeout, receives, request, report).await;
        // Some servers do not end the streams of a deleted subscription.
        self.unsettled.fail(self.resource.missing());
    }
}

/// Makes a request whenever the stream has returned nothing for a while, until the answer is that the subscription does not exist.
/// `receives` counts how often the stream returned messages. Each request has a limit of its own.
async fn check<F>(
    connect_timeout: Duration,
    receives: impl Fn() -> u64,
    request: impl Fn(TimeLimit) -> F,
    report: impl Fn(&str),
) where
    F: Future<Output = Result<Lookup, ConnectorError>>,
{
    let mut answers = 0;
    let mut before = receives();
    loop {
        // Without jitter: each producer counts from its own last message.
        sleep(PAUSES.pause(answers, Jitter::MAX)).await;
        // A stream that returned messages meanwhile is alive, which saves a request.
        let now = receives();
        if now != before {
            before = now;
            answers = 0;
            continue;
        }
        let limit = TimeLimit::of_health_check(connect_timeout.min(ANSWER_MAX));
        match request(limit).await {
            Ok(Lookup::Found | Lookup::Hidden) => answers = answers.saturating_add(1),
            Ok(Lookup::Missing) => return,
            Err(error) => {
                answers = 0;
                report(&error.to_string());
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

    /// An answer after `takes`, unless the limit of its request comes first.
    async fn answer(limit: TimeLimit, takes: Duration) -> Result<Lookup, ConnectorError> {
        match limit.deadline.within(sleep(takes)).await {
            Some(()) => Ok(Lookup::Found),
            None => Err(ConnectorError::transient(format!(
                "no answer within {:?}",
                limit.within
            ))),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_stream_of_a_healthy_service_is_not_reported_for_hours() {
        let (requests, failures) = (Cell::new(0), RefCell::new(Vec::new()));
        let request = |limit: TimeLimit| {
            requests.set(requests.get() + 1);
            answer(limit, Duration::from_secs(9))
        };
        let report = |error: &str| failures.borrow_mut().push(error.to_owned());
        let checking = check(Duration::from_secs(10), || 0, request, report);
        assert!(timeout(3 * HOUR, checking).await.is_err(), "it never ends");
        assert_eq!(*failures.borrow(), Vec::<String>::new());
        assert!(requests.get() > 50, "only {} requests", requests.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_never_answers_is_reported_also_without_a_connect_timeout() {
        let failures = RefCell::new(Vec::new());
        let request = |limit| answer(limit, 10 * HOUR);
        let report = |error: &str| {
            failures
                .borrow_mut()
                .push((Instant::now(), error.to_owned()))
        };
        let began = Instant::now();
        let checking = check(Duration::MAX, || 0, request, report);
        assert!(timeout(HOUR, checking).await.is_err(), "it never ends");
        let failures = failures.into_inner();
        assert_eq!(failures[0].0 - began, FIRST_PAUSE + ANSWER_MAX);
        assert!(failures[0].1.contains("60s"), "{}", failures[0].1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_returns_messages_is_not_checked() {
        let count = Cell::new(0);
        let receives = || {
            count.set(count.get() + 1);
            count.get()
        };
        let request = async |_| panic!("no request is expected");
        let checking = check(Duration::from_secs(10), receives, request, |_| ());
        assert!(timeout(HOUR, checking).await.is_err());
    }
}
