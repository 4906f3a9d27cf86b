//! [`Manager`]: the loop that keeps a pool at its size.

use std::{
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};

use super::member::{Member, Recipe};
use crate::{
    end::Failure,
    engine::{actor::Actor, clock},
    error::{Callback, Reason, StartError},
    machine::pool::{Pool, PoolObservation, PoolOptions, Resize},
    stage::{Consumer, ConsumerHandle, End, Output},
    telemetry::{Emitter, Event, StageEvent},
};

/// It looks at least, and at most, as often as this.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// Keeps a pool at its size until it ends.
pub(super) struct Manager<C: Consumer> {
    name: Arc<str>,
    recipe: Arc<Recipe<C>>,
    machine: Pool,
    outputs: Vec<Output<C::Event>>,
    orders: mpsc::UnboundedReceiver<Order<C::Event>>,
    /// Somebody has a handle.
    reachable: bool,
    members: Vec<Member<C>>,
    /// The numbers of members whose `init` runs.
    starting: Vec<usize>,
    /// Members that start, and members that will have ended.
    work: FuturesUnordered<Work<C>>,
    next_look: Instant,
    /// How many events waited at the look before.
    waited: usize,
    size: watch::Sender<usize>,
    emitter: Emitter,
    /// The pool ends like this, when its last member has.
    pub(super) end: Option<End>,
}

type Work<C> = Pin<Box<dyn Future<Output = Progress<C>> + Send>>;

/// What comes of [`Work`], of the member of this number.
pub(super) enum Progress<C: Consumer> {
    Started(usize, Result<ConsumerHandle<C>, StartError>),
    Ended(usize, End),
}

/// What the handle says.
pub(super) enum Order<T> {
    Subscribe(Output<T>),
    Bounds { min: usize, max: usize },
    Stop,
}

pub(super) enum ManagerEvent<C: Consumer> {
    Order(Order<C::Event>),
    /// The last handle is gone.
    Alone,
    Progress(Progress<C>),
    Look,
}

impl<C: Consumer> Actor for Manager<C> {
    type Event = ManagerEvent<C>;

    async fn next(&mut self) -> Option<ManagerEvent<C>> {
        // Biased: who orders something shall not wait behind a busy pool, and a look sees what has happened before.
        Some(tokio::select! {
            biased;
            order = self.orders.recv(), if self.reachable => match order {
                Some(order) => ManagerEvent::Order(order),
                None => ManagerEvent::Alone,
            },
            Some(progress) = self.work.next() => ManagerEvent::Progress(progress),
            () = clock::sleep_until(self.next_look), if self.end.is_none() => ManagerEvent::Look,
            else => return None,
        })
    }

    async fn handle(&mut self, event: ManagerEvent<C>) -> ControlFlow<()> {
        match event {
            ManagerEvent::Order(order) => self.obey(order),
            ManagerEvent::Alone => self.reachable = false,
            ManagerEvent::Progress(Progress::Started(number, started)) => {
                self.started(number, started);
            }
            ManagerEvent::Progress(Progress::Ended(number, end)) => self.ended(number, end),
            ManagerEvent::Look => self.look(),
        }
        self.size.send_if_modified(|size| {
            let now = self.members.iter().filter(|member| !member.leaving).count();
            let now = now + self.starting.len();
            std::mem::replace(size, now) != now
        });
        if self.end.is_some() && self.members.is_empty() && self.starting.is_empty() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl<C: Consumer> Manager<C> {
    /// Of members that have started, in the order of their numbers.
    pub(super) fn new(
        recipe: Recipe<C>,
        machine: Pool,
        outputs: Vec<Output<C::Event>>,
        members: Vec<ConsumerHandle<C>>,
        (orders, size): (
            mpsc::UnboundedReceiver<Order<C::Event>>,
            watch::Sender<usize>,
        ),
        emitter: Emitter,
    ) -> Self {
        let mut manager = Self {
            name: Arc::from(recipe.name.as_str()),
            recipe: Arc::new(recipe),
            machine,
            outputs,
            orders,
            reachable: true,
            members: Vec::new(),
            starting: Vec::new(),
            work: FuturesUnordered::new(),
            next_look: clock::now(),
            waited: 0,
            size,
            emitter,
            end: None,
        };
        for (number, member) in members.into_iter().enumerate() {
            manager.add(number, member);
        }
        manager
    }

    fn obey(&mut self, order: Order<C::Event>) {
        match order {
            Order::Subscribe(output) => {
                for member in self.members.iter_mut().filter(|member| !member.leaving) {
                    member.subscribe(&output);
                }
                self.outputs.push(output);
            }
            Order::Bounds { min, max } => {
                let options = PoolOptions {
                    min,
                    max,
                    ..self.machine.options()
                };
                self.machine = Pool::new(options).expect("the handle has checked them");
                self.next_look = clock::now();
            }
            Order::Stop => self.close(End::Shutdown),
        }
    }

    /// A member that stopped without being told to ends the pool only if it failed, or if all members will stop like it.
    fn ended(&mut self, number: usize, end: End) {
        let index = self
            .members
            .iter()
            .position(|member| member.number == number);
        let member = self.members.remove(index.expect("each ends once"));
        if end.is_failed() {
            self.close(end);
        } else if !member.leaving {
            self.see_outputs();
        }
    }

    fn started(&mut self, number: usize, started: Result<ConsumerHandle<C>, StartError>) {
        self.starting.retain(|&other| other != number);
        match started {
            Ok(member) => {
                self.add(number, member);
                if self.end.is_some() {
                    self.members.iter_mut().for_each(Member::let_go);
                }
            }
            Err(StartError::Init { stage, reason }) => self.not_started(&stage, reason),
            Err(error) => {
                let reason = Reason::error(Callback::Init, error);
                self.not_started(&Arc::clone(&self.name), reason);
            }
        }
    }

    /// The others go on, and when there is still too much to do, growing is tried again.
    fn not_started(&mut self, stage: &Arc<str>, reason: Reason) {
        let event = StageEvent::Failed {
            reason: &reason,
            lost: 0,
            restart_after: None,
        };
        self.emitter.emit(&Event::Stage(event));
        if self.members.is_empty() && self.starting.is_empty() {
            self.close(End::Failed(Failure::new(stage, reason)));
        }
    }

    fn look(&mut self) {
        self.see_outputs();
        if self.end.is_some() {
            return;
        }
        let now = clock::now();
        self.next_look = now + self.patience();
        let staying = self.members.iter_mut().filter(|member| !member.leaving);
        let idle: Vec<bool> = staying.map(Member::is_idle).collect();
        let look = PoolObservation {
            now,
            waiting: self.waiting(),
            members: idle.len() + self.starting.len(),
            idle: idle.iter().filter(|&&idle| idle).count(),
        };
        let members = match self.machine.observe(look) {
            Resize::Stay => return,
            Resize::Grow(n) => {
                (0..n).for_each(|_| self.grow());
                look.members + n
            }
            Resize::Shrink(n) => {
                self.shrink(n);
                look.members - n
            }
        };
        let before = look.members;
        let event = StageEvent::Resized { before, members };
        self.emitter.emit(&Event::Stage(event));
    }

    /// Half of what the machine is to notice, so that it does in time.
    fn patience(&self) -> Duration {
        let options = self.machine.options();
        let shortest = options.grow_after.min(options.shrink_after);
        (shortest / 2).clamp(LOOK_EVERY.0, LOOK_EVERY.1)
    }

    /// How many events nobody has begun to handle, now or at the look before: when a member has just taken, its producer may not
    /// have answered yet. Where members hold all that they have demanded nothing can be seen: there one is assumed, so that a
    /// pool of which nobody is idle grows in single steps.
    fn waiting(&mut self) -> usize {
        let waiting: usize = self.outputs.iter().map(|output| output.waiting()).sum();
        let before = std::mem::replace(&mut self.waited, waiting);
        let unseen = self.outputs.iter().any(Output::is_exhaustible);
        waiting.max(before).max(usize::from(unseen))
    }

    /// What has ended, and from which nothing is left to take, needs no new members. If it takes the members with it, the pool ends
    /// with them.
    fn see_outputs(&mut self) {
        let mut last = None;
        self.outputs.retain(|output| {
            let Some(end) = output.end().filter(|_| output.waiting() == 0) else {
                return true;
            };
            if output.cancel.ends_consumer(&end) {
                last = Some(end);
            }
            false
        });
        if let Some(end) = last {
            self.end.get_or_insert(end);
        } else if self.outputs.is_empty() && !self.reachable {
            self.close(End::Normal);
        }
    }

    /// All members finish their chunks and go. A failure is told in any case.
    fn close(&mut self, end: End) {
        let known = self.end.as_ref();
        if known.is_none_or(|known| end.is_failed() && !known.is_failed()) {
            self.end = Some(end);
        }
        self.members.iter_mut().for_each(Member::let_go);
    }

    fn grow(&mut self) {
        let taken = |&number: &usize| {
            let starting = self.starting.contains(&number);
            starting || self.members.iter().any(|member| member.number == number)
        };
        let mut numbers = 0..;
        // A name that somebody had before: so the names in logs and metrics are few.
        let number = numbers.find(|number| !taken(number)).expect("endless");
        self.starting.push(number);
        let recipe = Arc::clone(&self.recipe);
        self.work.push(Box::pin(async move {
            Progress::Started(number, recipe.start(number).await)
        }));
    }

    fn add(&mut self, number: usize, handle: ConsumerHandle<C>) {
        let running = handle.clone();
        self.work.push(Box::pin(async move {
            Progress::Ended(number, running.join().await)
        }));
        self.members
            .push(Member::new(number, handle, &self.outputs));
    }

    /// Idle members go first, and of equals the youngest.
    fn shrink(&mut self, n: usize) {
        let staying = self.members.iter_mut().filter(|member| !member.leaving);
        let mut staying: Vec<(bool, &mut Member<C>)> =
            staying.map(|member| (member.is_idle(), member)).collect();
        staying.sort_by_key(|(idle, member)| (!*idle, usize::MAX - member.number));
        for (_, member) in staying.into_iter().take(n) {
            member.let_go();
        }
    }
}
