//! [`MemberSpec`]: how the members of a pool are made; [`PoolMember`]: what its manager knows of one.

use std::sync::Arc;

use crate::{
    caught::caught,
    error::{Callback, Problem, StartError},
    machine::restart::RestartPolicy,
    stage::{
        self, Consumer, ConsumerHandle, Output, Subscription, runner::StageCommand,
        stats::StageCounters,
    },
    telemetry::Observers,
};

/// What all members have in common.
pub(super) struct MemberSpec<C> {
    pub(super) name: String,
    pub(super) make: Arc<dyn Fn() -> C + Send + Sync>,
    pub(super) restart: Option<RestartPolicy>,
    pub(super) observers: Observers,
    pub(super) counters: Arc<StageCounters>,
}

impl<C: Consumer> MemberSpec<C> {
    /// Makes and starts a member. It has no subscriptions yet, so links promise it no events while its `init` runs.
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

/// A running member.
pub(super) struct PoolMember<C: Consumer> {
    pub(super) number: usize,
    handle: ConsumerHandle<C>,
    subscriptions: Vec<Subscription>,
    /// The manager has stopped it.
    pub(super) stopping: bool,
}

impl<C: Consumer> PoolMember<C> {
    /// Subscribes the member to all of `outputs`.
    pub(super) fn new(
        number: usize,
        handle: ConsumerHandle<C>,
        outputs: &[Output<C::Event>],
    ) -> Self {
        let mut member = Self {
            number,
            handle,
            subscriptions: Vec::new(),
            stopping: false,
        };
        for output in outputs {
            member.subscribe(output);
        }
        member
    }

    pub(super) fn subscribe(&mut self, output: &Output<C::Event>) {
        // The options were checked, so this fails only if the member has ended, which the manager notices anyway.
        if let Ok(subscription) = self.handle.subscribe(output) {
            self.subscriptions.push(subscription);
        }
    }

    /// Whether the member waits for events of all its producers.
    pub(super) fn is_idle(&mut self) -> bool {
        self.subscriptions
            .retain(|subscription| subscription.is_waiting().is_some());
        let mut all = self.subscriptions.iter();
        all.all(|subscription| subscription.is_waiting() == Some(true))
    }

    /// Stops the member once its current chunk is handled. Does not wait for that.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        // Fails if the member has ended.
        let _ = self.handle.core.commands.send(StageCommand::Stop);
    }
}
