//! How the members of a pool are made, and what its manager knows of one.

use std::sync::Arc;

use crate::{
    caught::caught,
    error::{Callback, Problem, StartError},
    machine::restart::RestartPolicy,
    stage::{
        self, Consumer, ConsumerHandle, Output, Subscription, runner::Control, stats::Counters,
    },
    telemetry::Observers,
};

/// What all members have in common.
pub(super) struct Recipe<C> {
    pub(super) name: String,
    pub(super) make: Arc<dyn Fn() -> C + Send + Sync>,
    pub(super) restart: Option<RestartPolicy>,
    pub(super) observers: Observers,
    pub(super) counters: Arc<Counters>,
}

impl<C: Consumer> Recipe<C> {
    /// Makes and starts a member. It has no subscriptions yet, so nothing is promised to it while its `init` runs.
    pub(super) async fn start(&self, number: usize) -> Result<ConsumerHandle<C>, StartError> {
        let name = format!("{}-{number}", self.name);
        let made = caught(async { Ok((self.make)()) }).await;
        let member = made.map_err(|failure| StartError::Init {
            stage: Arc::from(name.as_str()),
            reason: failure.reason(Callback::Init),
        })?;
        let mut builder = stage::consumer(member).name(name).counting(&self.counters);
        if let Some(policy) = &self.restart {
            let make = Arc::clone(&self.make);
            builder = builder.restart(policy.clone(), move || make());
        }
        builder = builder.observed_by(self.observers.clone());
        builder.start().await
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.name.trim().is_empty() {
            let message = "is empty: give the pool a name for its metrics and logs";
            problems.push(Problem::new("name", message));
        }
        problems
    }
}

/// A member that runs.
pub(super) struct Member<C: Consumer> {
    pub(super) number: usize,
    handle: ConsumerHandle<C>,
    subscriptions: Vec<Subscription>,
    /// It was told to go.
    pub(super) leaving: bool,
}

impl<C: Consumer> Member<C> {
    /// Subscribes it to all of `outputs`.
    pub(super) fn new(
        number: usize,
        handle: ConsumerHandle<C>,
        outputs: &[Output<C::Event>],
    ) -> Self {
        let mut member = Self {
            number,
            handle,
            subscriptions: Vec::new(),
            leaving: false,
        };
        for output in outputs {
            member.subscribe(output);
        }
        member
    }

    pub(super) fn subscribe(&mut self, output: &Output<C::Event>) {
        // It was checked, so it fails only if the member has ended, of which the manager learns anyway.
        if let Ok(subscription) = self.handle.subscribe(output) {
            self.subscriptions.push(subscription);
        }
    }

    /// Whether it waits for events of all its producers.
    pub(super) fn is_idle(&mut self) -> bool {
        self.subscriptions
            .retain(|subscription| subscription.waits().is_some());
        let mut all = self.subscriptions.iter();
        all.all(|subscription| subscription.waits() == Some(true))
    }

    /// It ends when the chunk in hand is handled.
    pub(super) fn let_go(&mut self) {
        self.leaving = true;
        // If nobody hears it, it has ended.
        let _ = self.handle.common.control.send(Control::Stop);
    }
}
