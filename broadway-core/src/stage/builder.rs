//! The builders of stages: [`producer`], [`producer_consumer`] and [`consumer`].

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    Buffer, Consumer, ConsumerHandle, Output, Producer, ProducerConsumer, ProducerConsumerHandle,
    ProducerHandle,
    any_stage::{AnyConsumer, AnyProducer, AnyProducerConsumer, AnyStage},
    launch::{start, start_sender},
    options::{OutputOptions, StageOptions},
    stage_output::NoOutput,
    stats::StageCounters,
};
use crate::{
    error::StartError,
    machine::{
        dispatch::{Demand, Dispatch},
        restart::RestartPolicy,
    },
    telemetry::{Observer, Observers},
};

/// Builds a producer.
pub fn producer<P: Producer>(producer: P) -> ProducerBuilder<P> {
    ProducerBuilder {
        stage: producer,
        options: StageOptions::new("producer"),
        output: OutputOptions::new(Demand::new()),
    }
}

/// Builds a producer-consumer.
pub fn producer_consumer<S: ProducerConsumer>(stage: S) -> ProducerConsumerBuilder<S> {
    ProducerConsumerBuilder {
        stage,
        options: StageOptions::new("producer_consumer"),
        output: OutputOptions::new(Demand::new()),
        outputs: Vec::new(),
    }
}

/// Builds a consumer.
pub fn consumer<C: Consumer>(consumer: C) -> ConsumerBuilder<C> {
    ConsumerBuilder {
        stage: consumer,
        options: StageOptions::new("consumer"),
        outputs: Vec::new(),
    }
}

/// The options of a producer. Made by [`producer`].
#[must_use = "a stage does nothing until it is started"]
pub struct ProducerBuilder<P: Producer, D = Demand<<P as Producer>::Event>> {
    stage: P,
    options: StageOptions<P>,
    output: OutputOptions<D>,
}

/// The options of a producer-consumer. Made by [`producer_consumer`].
#[must_use = "a stage does nothing until it is started"]
pub struct ProducerConsumerBuilder<S: ProducerConsumer, D = Demand<<S as ProducerConsumer>::Out>> {
    stage: S,
    options: StageOptions<S>,
    output: OutputOptions<D>,
    outputs: Vec<Output<S::In>>,
}

/// The options of a consumer. Made by [`consumer`].
#[must_use = "a stage does nothing until it is started"]
pub struct ConsumerBuilder<C: Consumer> {
    stage: C,
    options: StageOptions<C>,
    outputs: Vec<Output<C::Event>>,
}

macro_rules! common_options {
    ($stage:ty) => {
        /// Sets the name of the stage in logs, metrics and errors. Defaults to its kind, such as `producer`.
        pub fn name(mut self, name: impl Into<String>) -> Self {
            self.options.name = name.into();
            self
        }

        /// Sets how many messages the mailbox holds, 1 to 1,000,000. Defaults to 1,000. Senders wait while it is full.
        pub fn mailbox(mut self, size: usize) -> Self {
            self.options.mailbox = size;
            self
        }

        /// Restarts the stage after a failure, with a value that `make` makes, after a delay that grows, as often as `policy` allows. By
        /// default a failure ends the stage.
        ///
        /// Subscriptions on both sides, events in links and in the buffer, the mailbox, and the outstanding demand outlive a restart.
        /// Only the current chunk is lost, and what the failed callback emitted. A message at which the stage failed is not received
        /// again.
        ///
        /// A failure of the first `init` is an error of `start`, and is not retried.
        pub fn restart(
            mut self,
            policy: RestartPolicy,
            make: impl FnMut() -> $stage + Send + 'static,
        ) -> Self {
            self.options.restart = Some((policy, Box::new(make)));
            self
        }

        /// Adds an observer of the stage's [events](crate::telemetry::StageEvent). Observers are called in the order they were added.
        /// None by default.
        pub fn observe(mut self, observer: impl Observer) -> Self {
            self.options.observers.observe(observer);
            self
        }

        /// Turns off the stage's own log lines. By default, with the feature `tracing`, it logs failures and restarts to the target
        /// `broadway`.
        pub fn without_logs(mut self) -> Self {
            self.options.observers.without_logs();
            self
        }
    };
}

macro_rules! sending_options {
    ($builder:ident<$stage:ident>, $event:ty, { $($field:ident),* }) => {
        /// Sets the dispatcher, which decides which consumer gets which event. Defaults to
        /// [`Demand`](crate::stage::dispatch::Demand): any consumer may take any event.
        pub fn dispatcher<N: Dispatch<$event>>(self, dispatcher: N) -> $builder<$stage, N> {
            $builder {
                output: OutputOptions {
                    dispatcher,
                    buffer: self.output.buffer,
                    forward: self.output.forward,
                },
                $($field: self.$field),*
            }
        }

        /// Sets where events wait that were emitted without demand. Defaults to [`Buffer::wait`] with 10,000 events.
        pub fn buffer(mut self, buffer: Buffer) -> Self {
            self.output.buffer = buffer;
            self
        }

        /// Accumulates demand, and buffers emitted events, until [`forward_demand`](ProducerHandle::forward_demand) is called: for
        /// consumers that should all have subscribed before the first event.
        pub fn accumulate(mut self) -> Self {
            self.output.forward = false;
            self
        }
    };
}

macro_rules! receiving_options {
    ($event:ty) => {
        /// Subscribes the stage to an output when it starts. May be called more than once.
        pub fn subscribe_to(mut self, output: Output<$event>) -> Self {
            self.outputs.push(output);
            self
        }
    };
}

impl<P: Producer, D> ProducerBuilder<P, D> {
    common_options!(P);
    sending_options!(ProducerBuilder<P>, P::Event, { stage, options });

    /// Starts the stage, and waits for its `init`.
    ///
    /// # Errors
    ///
    /// Fails with all invalid options at once, if there are any; if `init` failed; or without a tokio runtime with timers.
    pub async fn start(self) -> Result<ProducerHandle<P, D>, StartError>
    where
        D: Dispatch<P::Event, Options: Send> + Send + 'static,
    {
        let stage = AnyProducer::new(self.stage);
        let (core, outputs) = start_sender(stage, self.options, self.output, Vec::new()).await?;
        Ok(ProducerHandle { core, outputs })
    }
}

impl<S: ProducerConsumer, D> ProducerConsumerBuilder<S, D> {
    common_options!(S);
    sending_options!(ProducerConsumerBuilder<S>, S::Out, { stage, options, outputs });
    receiving_options!(S::In);

    /// Starts the stage, and waits for its `init`.
    ///
    /// # Errors
    ///
    /// Fails with all invalid options at once, including subscription options, if there are any; if `init` failed; or without a tokio
    /// runtime with timers.
    pub async fn start(self) -> Result<ProducerConsumerHandle<S, D>, StartError>
    where
        D: Dispatch<S::Out, Options: Send> + Send + 'static,
    {
        let stage = AnyProducerConsumer::new(self.stage);
        let (core, outputs) = start_sender(stage, self.options, self.output, self.outputs).await?;
        Ok(ProducerConsumerHandle { core, outputs })
    }
}

impl<C: Consumer> ConsumerBuilder<C> {
    common_options!(C);

    /// Replaces the observers, for a member of a pool.
    pub(super) fn observed_by(mut self, observers: Observers) -> Self {
        self.options.observers = observers;
        self
    }

    /// Shares counters, for a member of a pool.
    pub(super) fn counting(mut self, counters: &Arc<StageCounters>) -> Self {
        self.options.counters = Arc::clone(counters);
        self
    }

    receiving_options!(C::Event);

    /// Starts the stage, and waits for its `init`.
    ///
    /// # Errors
    ///
    /// Fails with all invalid options at once, including subscription options, if there are any; if `init` failed; or without a tokio
    /// runtime with timers.
    pub async fn start(self) -> Result<ConsumerHandle<C>, StartError> {
        let problems = self.options.problems();
        let notices = mpsc::unbounded_channel();
        let stage = AnyConsumer::new(self.stage);
        let outputs = self.outputs;
        let core = start(stage, self.options, problems, outputs, notices, || NoOutput).await?;
        Ok(ConsumerHandle { core })
    }
}
