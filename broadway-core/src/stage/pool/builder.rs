//! [`pool`] and its options, checked at start.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{PoolHandle, manager::PoolManager, member::MemberSpec};
use crate::{
    engine::{actor, runtime, spawn},
    error::{Problem, StartError},
    machine::{
        pool::{InvalidPool, Pool, PoolOptions},
        restart::RestartPolicy,
    },
    stage::{Consumer, ConsumerHandle, End, Output, exit_notifier::exit_channel},
    telemetry::{Emitter, Observer, Observers},
};

/// Builds a pool of consumers that share the events of outputs. `make` makes each member.
///
/// The pool grows after events have waited for [`grow_after`](PoolBuilder::grow_after) while no member was idle: by one member, then by
/// twice as many each time for as long as that lasts, and never by more members than events wait. It shrinks after some members have
/// been idle for all of [`shrink_after`](PoolBuilder::shrink_after): half of those are stopped, at least one.
///
/// A member that is stopped finishes its current chunk. Waiting events stay for the other members, so none is lost and none is handled
/// twice. The order of events holds within each member, not among members.
///
/// ```
/// use broadway_core::{BoxError, stage::{self, Consumer, Context, Subscription}};
/// use std::convert::Infallible;
///
/// struct Printer;
///
/// impl Consumer for Printer {
///     type Event = u64;
///
///     async fn handle_events(
///         &mut self,
///         events: &mut Vec<u64>,
///         _from: &Subscription,
///         _cx: &mut Context<Infallible>,
///     ) -> Result<(), BoxError> {
///         println!("{events:?}");
///         Ok(())
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers = stage::from_iter(0..100).start().await?;
/// let printers = stage::pool(|| Printer)
///     .min(2)
///     .max(8)
///     .name("printers")
///     .subscribe_to(numbers.output().max_demand(10))
///     .start()
///     .await?;
/// assert_eq!(printers.len(), 2);
/// assert!(!printers.join().await.is_failed()); // the numbers end, so the printers do
/// assert_eq!(printers.stats().received, 100);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
///
/// # When it grows
///
/// Events wait if members have demanded them and none has taken them. With a [`min_demand`](Output::min_demand) of 0, or a
/// [`max_demand`](Output::max_demand) of 1, a member may hold all events that it has demanded, and none can be seen to wait.
/// There a pool without idle members grows by one member at a time.
///
/// # Ends
///
/// A pool ends like one stage: with its producer, as the [`Cancel`](crate::stage::Cancel) mode decides; when a member fails that is
/// not restarted, or too often, after the others have finished their current chunks; when it is [stopped](PoolHandle::stop). A member
/// that stops itself is replaced if the pool has too few members without it.
pub fn pool<C: Consumer>(make: impl Fn() -> C + Send + Sync + 'static) -> PoolBuilder<C> {
    PoolBuilder {
        spec: MemberSpec {
            name: "pool".to_owned(),
            make: Arc::new(make),
            restart: None,
            observers: Observers::default(),
            counters: Arc::default(),
        },
        options: PoolOptions::new(1, 8),
        outputs: Vec::new(),
    }
}

/// The options of a pool. Made by [`pool`].
#[must_use = "a pool does nothing until it is started"]
pub struct PoolBuilder<C: Consumer> {
    spec: MemberSpec<C>,
    options: PoolOptions,
    outputs: Vec<Output<C::Event>>,
}

impl<C: Consumer> PoolBuilder<C> {
    /// Sets the least number of members. Must be at least 1; defaults to 1.
    pub const fn min(mut self, min: usize) -> Self {
        self.options.min = min;
        self
    }

    /// Sets the largest number of members. Defaults to 8. The number has no upper limit, but each member is a task and needs the memory of a
    /// consumer.
    pub const fn max(mut self, max: usize) -> Self {
        self.options.max = max;
        self
    }

    /// Sets how long events must wait, while no member is idle, before the pool grows. Defaults to 100 ms.
    pub const fn grow_after(mut self, grow_after: Duration) -> Self {
        self.options.grow_after = grow_after;
        self
    }

    /// Sets how long members must be idle before half of those are stopped. Defaults to 10 s.
    ///
    /// The pool checks its size twice within the shorter of `grow_after` and `shrink_after`, but at most every millisecond and at least
    /// every second.
    pub const fn shrink_after(mut self, shrink_after: Duration) -> Self {
        self.options.shrink_after = shrink_after;
        self
    }

    /// Sets the name of the pool. Defaults to `pool`. Members are named by it and a number, such as `pool-0`. The numbers of members that
    /// ended are reused.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.spec.name = name.into();
        self
    }

    /// Restarts members that fail, as [`ConsumerBuilder::restart`](crate::stage::ConsumerBuilder::restart) does. The policy applies to
    /// each member separately.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.spec.restart = Some(policy);
        self
    }

    /// Adds an observer of the [events](crate::telemetry::StageEvent) of all members and, under the pool's name, of its resizing and of
    /// members that could not be started. Observers are called in the order they were added. None by default.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.spec.observers.observe(observer);
        self
    }

    /// Turns off the log lines of the pool and its members. By default, with the feature `tracing`, they log failures and restarts to the
    /// target `broadway`.
    pub fn without_logs(mut self) -> Self {
        self.spec.observers.without_logs();
        self
    }

    /// Subscribes all members to an output, each with its options. May be called more than once. The stage must dispatch by demand,
    /// which is the default.
    pub fn subscribe_to(mut self, output: Output<C::Event>) -> Self {
        self.outputs.push(output);
        self
    }

    /// Starts the pool with its least number of members, and waits for their `init`.
    ///
    /// # Errors
    ///
    /// Fails with all invalid options at once, if there are any; if a stage does not dispatch by demand; if `init` of a member failed; or
    /// without a tokio runtime with timers.
    pub async fn start(self) -> Result<PoolHandle<C::Event>, StartError> {
        let machine = self.check()?;
        let Self { spec, outputs, .. } = self;
        let members = start_all(&spec, machine.options().min).await?;
        let name: Arc<str> = Arc::from(spec.name.as_str());
        let counters = Arc::clone(&spec.counters);
        let emitter = spec.observers.clone().into_emitter(&name);
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let (size, size_watcher) = watch::channel(members.len());
        let channels = (command_receiver, size);
        let manager = PoolManager::new(spec, machine, outputs, members, channels, emitter);
        // Silent: the members report their ends themselves.
        let (notifier, exit) = exit_channel(Emitter::silent(&name));
        let _abort = spawn::spawn(Box::pin(async move {
            let manager = actor::run(manager).await;
            let end = manager.end.clone();
            // Before the notification: when `join` returns, the pool holds no outputs any more.
            drop(manager);
            notifier.notify(end.unwrap_or(End::Shutdown));
        }));
        Ok(PoolHandle::new(
            name,
            commands,
            size_watcher,
            counters,
            exit,
        ))
    }

    fn check(&self) -> Result<Pool, StartError> {
        runtime::current()?;
        let mut problems = self.spec.problems();
        for output in &self.outputs {
            if let Err(error) = output.check_for_pool() {
                problems.push(Problem::new("subscribe_to", error.to_string()));
            }
        }
        let machine = Pool::new(self.options).map_err(|invalid| {
            let option = match invalid {
                InvalidPool::ZeroMin => "min",
                InvalidPool::MinAboveMax { .. } => "max",
            };
            problems.push(Problem::new(option, invalid.to_string()));
        });
        match machine {
            Ok(machine) if problems.is_empty() => Ok(machine),
            _ => Err(StartError::Invalid(problems)),
        }
    }
}

/// Starts `n` members. If one fails to start, stops the others.
async fn start_all<C: Consumer>(
    spec: &MemberSpec<C>,
    n: usize,
) -> Result<Vec<ConsumerHandle<C>>, StartError> {
    let mut members = Vec::new();
    for number in 0..n {
        match spec.start(number).await {
            Ok(member) => members.push(member),
            Err(error) => {
                for member in members {
                    member.stop().await;
                }
                return Err(error);
            }
        }
    }
    Ok(members)
}
