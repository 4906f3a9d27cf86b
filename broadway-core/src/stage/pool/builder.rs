//! [`pool`] and its options, checked at start.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{PoolHandle, manager::Manager, member::Recipe};
use crate::{
    engine::{actor, runtime, spawn},
    error::{Problem, StartError},
    machine::{
        pool::{InvalidPool, Pool, PoolOptions},
        restart::RestartPolicy,
    },
    stage::{Consumer, ConsumerHandle, Output, farewell::farewell},
    telemetry::{Emitter, Observer, Observers},
};

/// A pool of consumers that share the events of outputs, not started yet. `make` makes each of them.
///
/// The pool grows after events have waited for [`grow_after`](PoolBuilder::grow_after) while no member was idle: by one member, then by
/// twice as many each time for as long as that lasts, and never by more members than events wait. It shrinks after some members
/// have been idle for all of [`shrink_after`](PoolBuilder::shrink_after): half of those leave, at least one. A member that leaves finishes its chunk; what waits stays for
/// the others, so nothing is lost and nothing comes twice. The order of events holds for each member, not among them.
///
/// ```
/// use broadway_core::{BoxError, stage::{self, Consumer, Context, Nothing, Subscription}};
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
///         _cx: &mut Context<Nothing>,
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
/// # What it sees
///
/// What waits is what members have demanded and none has taken. A member of an output with a
/// [`min_demand`](Output::min_demand) of 0, as with a [`max_demand`](Output::max_demand) of 1, may hold all that it has
/// demanded, and then nothing waits that could be seen. So there a pool of which nobody is idle grows, by one member at a time,
/// and finds out.
///
/// # Ends
///
/// A pool ends like one stage: when its producer ends, as the [`Cancel`](crate::stage::Cancel) mode says; when a member fails that
/// is not restarted, or too often, after the others have finished their chunks; when it is [stopped](PoolHandle::stop). A member that
/// stops itself is replaced if there are too few without it.
pub fn pool<C: Consumer>(make: impl Fn() -> C + Send + Sync + 'static) -> PoolBuilder<C> {
    PoolBuilder {
        recipe: Recipe {
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

/// Options of a pool. Made by [`pool`].
#[must_use = "a pool does nothing until it is started"]
pub struct PoolBuilder<C: Consumer> {
    recipe: Recipe<C>,
    options: PoolOptions,
    outputs: Vec<Output<C::Event>>,
}

impl<C: Consumer> PoolBuilder<C> {
    /// Never fewer members than this: at least 1, which is the default.
    pub const fn min(mut self, min: usize) -> Self {
        self.options.min = min;
        self
    }

    /// Never more members than this, by default 8. Each is a task, and more or less memory, as the consumer has it: there is no
    /// other limit.
    pub const fn max(mut self, max: usize) -> Self {
        self.options.max = max;
        self
    }

    /// How long events must wait, while no member is idle, before it grows: by default 100 ms.
    pub const fn grow_after(mut self, grow_after: Duration) -> Self {
        self.options.grow_after = grow_after;
        self
    }

    /// How long members must be idle before half of those go: by default 10 s.
    ///
    /// The pool is looked at twice in the shorter of the two times, but at most every millisecond and at least every second.
    pub const fn shrink_after(mut self, shrink_after: Duration) -> Self {
        self.options.shrink_after = shrink_after;
        self
    }

    /// The name of the pool, by default `pool`. Its members are called by it and a number: `pool-0`. The numbers of members that left
    /// are used again.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.recipe.name = name.into();
        self
    }

    /// A member that fails begins anew, as in [`ConsumerBuilder::restart`](crate::stage::ConsumerBuilder::restart). The policy
    /// is each member's own.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.recipe.restart = Some(policy);
        self
    }

    /// Hears the [events](crate::telemetry::StageEvent) of all members, and, under the pool's name, when it is resized, and of members
    /// that could not be started. Called more than once, all hear.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.recipe.observers.observe(observer);
        self
    }

    /// Neither the pool nor its members log anything by themselves. By default, with the feature `tracing`, they log failures and
    /// restarts to target `broadway`.
    pub fn without_logs(mut self) -> Self {
        self.recipe.observers.without_logs();
        self
    }

    /// Subscribes all members to an output, with its options for each. May be called more than once. The output must be that of a
    /// stage that dispatches by demand, as all do if nothing else is said.
    pub fn subscribe_to(mut self, output: Output<C::Event>) -> Self {
        self.outputs.push(output);
        self
    }

    /// Starts the pool with its least number of members, and waits for their `init`.
    ///
    /// # Errors
    ///
    /// Options that cannot work, all of them; an output whose dispatcher is not by demand; `init` of a member failed; or there is
    /// no tokio runtime with timers.
    pub async fn start(self) -> Result<PoolHandle<C::Event>, StartError> {
        let machine = self.check()?;
        let Self {
            recipe, outputs, ..
        } = self;
        let members = start_all(&recipe, machine.options().min).await?;
        let name: Arc<str> = Arc::from(recipe.name.as_str());
        let counters = Arc::clone(&recipe.counters);
        let emitter = recipe.observers.clone().into_emitter(&name);
        let (order, orders) = mpsc::unbounded_channel();
        let (sized, size) = watch::channel(members.len());
        let manager = Manager::new(recipe, machine, outputs, members, (orders, sized), emitter);
        // Its members tell their ends themselves.
        let (farewell, ended) = farewell(Emitter::silent(&name));
        let _abort = spawn::spawn(async move {
            let manager = actor::run(manager).await;
            let end = manager.end.clone();
            // Before anybody hears of the end: who waits for it shall find the outputs let go.
            drop(manager);
            farewell.say(end.unwrap_or(crate::stage::End::Shutdown));
        });
        Ok(PoolHandle::new(name, order, size, counters, ended))
    }

    fn check(&self) -> Result<Pool, StartError> {
        runtime::current()?;
        let mut problems = self.recipe.problems();
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

/// All of them, or none.
async fn start_all<C: Consumer>(
    recipe: &Recipe<C>,
    n: usize,
) -> Result<Vec<ConsumerHandle<C>>, StartError> {
    let mut members = Vec::new();
    for number in 0..n {
        match recipe.start(number).await {
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
