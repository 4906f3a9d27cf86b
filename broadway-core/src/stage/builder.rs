//! The builders of stages: options, checked at start.

use std::{collections::VecDeque, panic::AssertUnwindSafe, sync::Arc};

use futures_util::future::FutureExt;
use tokio::sync::mpsc;

use super::{
    Buffer, Consumer, ConsumerHandle, Context, End, Output, Producer, ProducerConsumer,
    ProducerConsumerHandle, ProducerHandle,
    body::{Body, Both, Consuming, Producing},
    emission::{Emission, Emits, Silent},
    farewell::{Farewell, farewell},
    handle::{self, Common, Sending},
    input::Inputs,
    output::Notice,
    runner::{Again, Desk, Runner},
    stats::Counters,
};
use crate::{
    end::Failure,
    engine::{actor, link::Link, runtime, spawn},
};
use crate::{
    error::{Callback, Problem, Reason, StartError},
    machine::{
        dispatch::{Demand, Dispatch},
        restart::{Restart, RestartPolicy},
    },
    telemetry::{Observer, Observers, StageEvent},
};

/// A producer, not started yet.
pub fn producer<P: Producer>(producer: P) -> ProducerBuilder<P> {
    ProducerBuilder {
        stage: producer,
        common: Options::new("producer"),
        sending: SendingOptions::new(Demand::new()),
    }
}

/// A producer-consumer, not started yet.
pub fn producer_consumer<S: ProducerConsumer>(stage: S) -> ProducerConsumerBuilder<S> {
    ProducerConsumerBuilder {
        stage,
        common: Options::new("producer_consumer"),
        sending: SendingOptions::new(Demand::new()),
        outputs: Vec::new(),
    }
}

/// A consumer, not started yet.
pub fn consumer<C: Consumer>(consumer: C) -> ConsumerBuilder<C> {
    ConsumerBuilder {
        stage: consumer,
        common: Options::new("consumer"),
        outputs: Vec::new(),
    }
}

/// Options of a producer. Made by [`producer`].
#[must_use = "a stage does nothing until it is started"]
pub struct ProducerBuilder<P: Producer, D = Demand<<P as Producer>::Event>> {
    stage: P,
    common: Options<P>,
    sending: SendingOptions<D>,
}

/// Options of a producer-consumer. Made by [`producer_consumer`].
#[must_use = "a stage does nothing until it is started"]
pub struct ProducerConsumerBuilder<S: ProducerConsumer, D = Demand<<S as ProducerConsumer>::Out>> {
    stage: S,
    common: Options<S>,
    sending: SendingOptions<D>,
    outputs: Vec<Output<S::In>>,
}

/// Options of a consumer. Made by [`consumer`].
#[must_use = "a stage does nothing until it is started"]
pub struct ConsumerBuilder<C: Consumer> {
    stage: C,
    common: Options<C>,
    outputs: Vec<Output<C::Event>>,
}

/// What every stage can be told.
pub(super) struct Options<S> {
    pub(super) name: String,
    mailbox: usize,
    restart: Option<(RestartPolicy, Make<S>)>,
    pub(super) observers: Observers,
    counters: Arc<Counters>,
}

type Make<S> = Box<dyn FnMut() -> S + Send>;

/// What stages that send can be told.
struct SendingOptions<D> {
    dispatcher: D,
    buffer: Buffer,
    forward: bool,
}

const MAILBOX_MAX: usize = 1_000_000;

impl<S> Options<S> {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            mailbox: 1_000,
            restart: None,
            observers: Observers::default(),
            counters: Arc::default(),
        }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.name.trim().is_empty() {
            let message = "is empty: give the stage a name for its metrics and logs";
            problems.push(Problem::new("name", message));
        }
        if self.mailbox == 0 || self.mailbox > MAILBOX_MAX {
            let message = format!("is {}: give 1 to {MAILBOX_MAX}", self.mailbox);
            problems.push(Problem::new("mailbox", message));
        }
        problems
    }
}

impl<D> SendingOptions<D> {
    const fn new(dispatcher: D) -> Self {
        Self {
            dispatcher,
            buffer: Buffer::wait(10_000),
            forward: true,
        }
    }

    fn problems(&self, found: &mut Vec<Problem>) {
        if self.buffer.size() == 0 {
            let message = "has a size of 0: give at least 1";
            found.push(Problem::new("buffer", message));
        }
    }
}

macro_rules! common_options {
    ($stage:ty) => {
        /// The name of the stage in logs, metrics and errors. By default that of its kind.
        pub fn name(mut self, name: impl Into<String>) -> Self {
            self.common.name = name.into();
            self
        }

        /// How many messages may wait to be received: 1 to 1,000,000, by default 1,000. Who sends more waits for room.
        pub fn mailbox(mut self, size: usize) -> Self {
            self.common.mailbox = size;
            self
        }

        /// After a failure the stage begins anew with a value that `make` makes, after a pause that grows, as often as the
        /// policy allows. Subscriptions on both sides, what waits in links, buffer and mailbox, and the demand
        /// that was not served outlive the restart. Only the chunk in hand is lost, and what the failed callback emitted. A failed
        /// message is not received again.
        ///
        /// A failure of the first `init` is an error of `start` and not tried again.
        pub fn restart(
            mut self,
            policy: RestartPolicy,
            make: impl FnMut() -> $stage + Send + 'static,
        ) -> Self {
            self.common.restart = Some((policy, Box::new(make)));
            self
        }

        /// Adds an observer, which is called with the [events](crate::telemetry::StageEvent) of the stage. Called more than once, all
        /// hear.
        pub fn observe(mut self, observer: impl Observer) -> Self {
            self.common.observers.observe(observer);
            self
        }

        /// The stage logs nothing by itself. By default, with the feature `tracing`, it logs failures and restarts to target
        /// `broadway`.
        pub fn without_logs(mut self) -> Self {
            self.common.observers.without_logs();
            self
        }
    };
}

macro_rules! sending_options {
    ($builder:ident<$stage:ident>, $event:ty, { $($field:ident),* }) => {
        /// Who gets which event. By default any consumer any event, as they demand:
        /// [`Demand`](crate::stage::dispatch::Demand).
        pub fn dispatcher<N: Dispatch<$event>>(self, dispatcher: N) -> $builder<$stage, N> {
            $builder {
                sending: SendingOptions {
                    dispatcher,
                    buffer: self.sending.buffer,
                    forward: self.sending.forward,
                },
                $($field: self.$field),*
            }
        }

        /// Where events wait that nobody has asked for.
        pub fn buffer(mut self, buffer: Buffer) -> Self {
            self.sending.buffer = buffer;
            self
        }

        /// Keeps demand, and what is emitted, until [`forward_demand`](ProducerHandle::forward_demand) is called: for consumers
        /// that should all have subscribed before the first event.
        pub fn accumulate(mut self) -> Self {
            self.sending.forward = false;
            self
        }
    };
}

macro_rules! receiving_options {
    ($event:ty) => {
        /// Subscribes to an output at start. May be called more than once.
        pub fn subscribe_to(mut self, output: Output<$event>) -> Self {
            self.outputs.push(output);
            self
        }
    };
}

impl<P: Producer, D> ProducerBuilder<P, D> {
    common_options!(P);
    sending_options!(ProducerBuilder<P>, P::Event, { stage, common });

    /// Starts the stage, and waits for its `init`.
    ///
    /// # Errors
    ///
    /// Options that cannot work, all of them; `init` failed; or there is no tokio runtime with timers.
    pub async fn start(self) -> Result<ProducerHandle<P, D>, StartError>
    where
        D: Dispatch<P::Event, Options: Send> + Send + 'static,
    {
        let body = Producing::new(self.stage);
        let (common, sending) = start_sending(body, self.common, self.sending, Vec::new()).await?;
        Ok(ProducerHandle { common, sending })
    }
}

impl<S: ProducerConsumer, D> ProducerConsumerBuilder<S, D> {
    common_options!(S);
    sending_options!(ProducerConsumerBuilder<S>, S::Out, { stage, common, outputs });
    receiving_options!(S::In);

    /// Starts the stage, and waits for its `init`.
    ///
    /// # Errors
    ///
    /// Options that cannot work, those of subscriptions too, all of them; `init` failed; or there is no tokio runtime with timers.
    pub async fn start(self) -> Result<ProducerConsumerHandle<S, D>, StartError>
    where
        D: Dispatch<S::Out, Options: Send> + Send + 'static,
    {
        let body = Both::new(self.stage);
        let (common, sending) =
            start_sending(body, self.common, self.sending, self.outputs).await?;
        Ok(ProducerConsumerHandle { common, sending })
    }
}

impl<C: Consumer> ConsumerBuilder<C> {
    common_options!(C);

    /// By those of others.
    pub(super) fn observed_by(mut self, observers: Observers) -> Self {
        self.common.observers = observers;
        self
    }

    /// Counts with others what it does.
    pub(super) fn counting(mut self, counters: &Arc<Counters>) -> Self {
        self.common.counters = Arc::clone(counters);
        self
    }
    receiving_options!(C::Event);

    /// Starts the stage, and waits for its `init`.
    ///
    /// # Errors
    ///
    /// Options that cannot work, those of subscriptions too, all of them; `init` failed; or there is no tokio runtime with timers.
    pub async fn start(self) -> Result<ConsumerHandle<C>, StartError> {
        let problems = self.common.problems();
        let notices = mpsc::unbounded_channel();
        let body = Consuming::new(self.stage);
        let common = start(body, self.common, problems, self.outputs, notices, || {
            Silent
        })
        .await?;
        Ok(ConsumerHandle { common })
    }
}

type CommonOf<B> = Common<<B as Body>::Stage, <B as Body>::In, <B as Body>::Out>;
type Channel<T> = (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>);
type Started<B, D> = (CommonOf<B>, Sending<<B as Body>::Out, D>);

async fn start_sending<B, D>(
    body: B,
    common: Options<B::Stage>,
    options: SendingOptions<D>,
    outputs: Vec<Output<B::In>>,
) -> Result<Started<B, D>, StartError>
where
    B: Body,
    D: Dispatch<B::Out, Options: Send> + Send + 'static,
{
    let mut problems = common.problems();
    options.problems(&mut problems);
    let SendingOptions {
        dispatcher,
        buffer,
        forward,
    } = options;
    let link = Arc::new(Link::new(dispatcher));
    let outlet = link.outlet_to_order();
    let (notices, heard) = mpsc::unbounded_channel();
    let heard = (notices.clone(), heard);
    let emission = || Emission::new(outlet, buffer, forward);
    let common = start(body, common, problems, outputs, heard, emission).await?;
    Ok((common, Sending { link, notices }))
}

/// Checks, connects, initialises and spawns a stage.
pub(super) async fn start<B: Body, O: Emits<B::Out> + 'static>(
    body: B,
    options: Options<B::Stage>,
    mut problems: Vec<Problem>,
    outputs: Vec<Output<B::In>>,
    notices: Channel<Notice>,
    output: impl FnOnce() -> O,
) -> Result<CommonOf<B>, StartError> {
    runtime::current()?;
    let name: Arc<str> = Arc::from(options.name.as_str());
    let (control, orders) = mpsc::unbounded_channel();
    let mut inputs = Inputs::new();
    for output in &outputs {
        match handle::connect(&control, output) {
            Ok(input) => inputs.add(input),
            Err(error) => problems.push(Problem::new("subscribe_to", error.to_string())),
        }
    }
    if !problems.is_empty() {
        return Err(StartError::Invalid(problems));
    }
    let (mail, letters) = mpsc::channel(options.mailbox);
    let counters = options.counters;
    let mut runner = Runner {
        body,
        again: options.restart.map(|(policy, make)| Again {
            restart: Restart::new(policy),
            make,
            restarts: 0,
        }),
        cx: Context::new(Arc::clone(&name)),
        inputs,
        output: output(),
        desk: Desk {
            control: orders,
            notices: notices.1,
            mail: letters,
            mail_closed: false,
            _open: (control.clone(), notices.0),
        },
        emitter: options.observers.into_emitter(&name),
        counters: Arc::clone(&counters),
        chunk: Vec::new(),
        discarded: Vec::new(),
        behind: VecDeque::new(),
        resting: false,
        mail_first: false,
        demand_last: false,
        end: None,
    };
    runner.begin().await.map_err(|reason| StartError::Init {
        stage: Arc::clone(&name),
        reason,
    })?;
    runner.tell(StageEvent::Started);
    // Made here: a task that is aborted before it is polled says how it ended, too.
    let (farewell, ended) = farewell(runner.emitter.clone());
    let abort = spawn::spawn(live(runner, Arc::clone(&name), farewell));
    Ok(Common {
        name,
        control,
        mail,
        counters,
        ended,
        abort,
    })
}

/// The life of a stage, which ends in a word about how.
async fn live<B: Body, O: Emits<B::Out>>(
    mut runner: Runner<B, O>,
    name: Arc<str>,
    farewell: Farewell,
) {
    let life = async move {
        if runner.open().await.is_continue() {
            runner = actor::run(runner).await;
        }
        runner.end.take()
    };
    let lived = AssertUnwindSafe(life).catch_unwind().await;
    farewell.say(match lived {
        Ok(Some(end)) => end,
        Ok(None) => End::Normal,
        // User code is caught where it is called, but for what its destructors do.
        Err(payload) => {
            let reason = Reason::panic(Callback::Terminate, payload);
            End::Failed(Failure::new(&name, reason))
        }
    });
}
