//! [`PoolManager`]: the loop that keeps a pool at the right size.

use std::{
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};

use super::{
    command::PoolCommand,
    member::{MemberSpec, PoolMember},
};
use crate::{
    end::Failure,
    engine::{actor::Actor, clock},
    error::{Callback, Reason, StartError},
    machine::pool::{Pool, PoolObservation, PoolOptions, Resize},
    stage::{Consumer, ConsumerHandle, End, Output},
    telemetry::{Emitter, Event, StageEvent},
};

/// The shortest and the longest time between two checks of the size.
const CHECK_INTERVAL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// Keeps a pool at the right size until it ends.
pub(super) struct PoolManager<C: Consumer> {
    name: Arc<str>,
    spec: Arc<MemberSpec<C>>,
    machine: Pool,
    outputs: Vec<Output<C::Event>>,
    commands: mpsc::UnboundedReceiver<PoolCommand<C::Event>>,
    /// Whether a handle is left.
    has_handles: bool,
    members: Vec<PoolMember<C>>,
    /// The numbers of members whose `init` runs.
    starting: Vec<usize>,
    /// Waits for members to be started, and for members to end.
    changes: FuturesUnordered<MemberFuture<C>>,
    next_check: Instant,
    /// How many events waited at the last check.
    last_waiting: usize,
    size: watch::Sender<usize>,
    emitter: Emitter,
    /// How the pool ends once its last member has ended.
    pub(super) end: Option<End>,
}

type MemberFuture<C> = Pin<Box<dyn Future<Output = MemberChange<C>> + Send>>;

/// A change of the member with this number.
pub(super) enum MemberChange<C: Consumer> {
    Started(usize, Result<ConsumerHandle<C>, StartError>),
    Ended(usize, End),
}

pub(super) enum PoolEvent<C: Consumer> {
    Command(PoolCommand<C::Event>),
    LastHandleDropped,
    Member(MemberChange<C>),
    CheckDue,
}

impl<C: Consumer> Actor for PoolManager<C> {
    type Event = PoolEvent<C>;

    async fn next(&mut self) -> Option<PoolEvent<C>> {
        // Biased: commands do not wait behind a busy pool, and a check sees all changes before it.
        Some(tokio::select! {
            biased;
            command = self.commands.recv(), if self.has_handles => match command {
                Some(command) => PoolEvent::Command(command),
                None => PoolEvent::LastHandleDropped,
            },
            Some(change) = self.changes.next() => PoolEvent::Member(change),
            () = clock::sleep_until(self.next_check), if self.end.is_none() => PoolEvent::CheckDue,
            else => return None,
        })
    }

    async fn handle(&mut self, event: PoolEvent<C>) -> ControlFlow<()> {
        match event {
            PoolEvent::Command(command) => self.handle_command(command),
            PoolEvent::LastHandleDropped => self.has_handles = false,
            PoolEvent::Member(MemberChange::Started(number, started)) => {
                self.member_started(number, started);
            }
            PoolEvent::Member(MemberChange::Ended(number, end)) => self.member_ended(number, end),
            PoolEvent::CheckDue => self.check_size(),
        }
        self.size.send_if_modified(|size| {
            let staying = self.members.iter().filter(|member| !member.stopping);
            let now = staying.count() + self.starting.len();
            std::mem::replace(size, now) != now
        });
        if self.end.is_some() && self.members.is_empty() && self.starting.is_empty() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl<C: Consumer> PoolManager<C> {
    /// Manages `members` that have started, in the order of their numbers.
    pub(super) fn new(
        spec: MemberSpec<C>,
        machine: Pool,
        outputs: Vec<Output<C::Event>>,
        members: Vec<ConsumerHandle<C>>,
        (commands, size): (
            mpsc::UnboundedReceiver<PoolCommand<C::Event>>,
            watch::Sender<usize>,
        ),
        emitter: Emitter,
    ) -> Self {
        let mut manager = Self {
            name: Arc::from(spec.name.as_str()),
            spec: Arc::new(spec),
            machine,
            outputs,
            commands,
            has_handles: true,
            members: Vec::new(),
            starting: Vec::new(),
            changes: FuturesUnordered::new(),
            next_check: clock::now(),
            last_waiting: 0,
            size,
            emitter,
            end: None,
        };
        for (number, member) in members.into_iter().enumerate() {
            manager.add(number, member);
        }
        manager
    }

    fn handle_command(&mut self, command: PoolCommand<C::Event>) {
        match command {
            PoolCommand::Subscribe(output) => {
                for member in self.members.iter_mut().filter(|member| !member.stopping) {
                    member.subscribe(&output);
                }
                self.outputs.push(output);
            }
            PoolCommand::SetBounds { min, max } => {
                let options = PoolOptions {
                    min,
                    max,
                    ..self.machine.options()
                };
                self.machine = Pool::new(options).expect("the handle has checked the bounds");
                self.next_check = clock::now();
            }
            PoolCommand::Stop => self.end_with(End::Shutdown),
        }
    }

    /// A member that was not stopped ends the pool only if it failed, or if the end of its producer ends all members.
    fn member_ended(&mut self, number: usize, end: End) {
        let index = self
            .members
            .iter()
            .position(|member| member.number == number);
        let member = self.members.remove(index.expect("a member ends once"));
        if end.is_failed() {
            self.end_with(end);
        } else if !member.stopping {
            self.drop_ended_outputs();
        }
    }

    fn member_started(&mut self, number: usize, started: Result<ConsumerHandle<C>, StartError>) {
        self.starting.retain(|&other| other != number);
        match started {
            Ok(member) => {
                self.add(number, member);
                // The pool has ended while the member started.
                if self.end.is_some() {
                    self.members.iter_mut().for_each(PoolMember::stop);
                }
            }
            Err(StartError::Init { stage, reason }) => self.start_failed(&stage, reason),
            Err(error) => {
                let reason = Reason::error(Callback::Init, error);
                self.start_failed(&Arc::clone(&self.name), reason);
            }
        }
    }

    /// Reports that a member could not be started. The other members go on; if events still wait at the next check, the pool tries to
    /// grow again.
    fn start_failed(&mut self, stage: &Arc<str>, reason: Reason) {
        let event = StageEvent::Failed {
            reason: &reason,
            lost: 0,
            restart_after: None,
        };
        self.emitter.emit(&Event::Stage(event));
        if self.members.is_empty() && self.starting.is_empty() {
            self.end_with(End::Failed(Failure::new(stage, reason)));
        }
    }

    /// Samples the pool, and grows or shrinks it as the machine decides.
    fn check_size(&mut self) {
        self.drop_ended_outputs();
        if self.end.is_some() {
            return;
        }
        let now = clock::now();
        self.next_check = now + self.check_interval();
        let staying = self.members.iter_mut().filter(|member| !member.stopping);
        let idle: Vec<bool> = staying.map(PoolMember::is_idle).collect();
        let observed = PoolObservation {
            now,
            waiting: self.waiting(),
            members: idle.len() + self.starting.len(),
            idle: idle.iter().filter(|&&idle| idle).count(),
        };
        let members = match self.machine.observe(observed) {
            Resize::Stay => return,
            Resize::Grow(n) => {
                (0..n).for_each(|_| self.grow());
                observed.members + n
            }
            Resize::Shrink(n) => {
                self.shrink(n);
                observed.members - n
            }
        };
        let before = observed.members;
        let event = StageEvent::Resized { before, members };
        self.emitter.emit(&Event::Stage(event));
    }

    /// Half of the shortest time that the machine must notice.
    fn check_interval(&self) -> Duration {
        let options = self.machine.options();
        let shortest = options.grow_after.min(options.shrink_after);
        (shortest / 2).clamp(CHECK_INTERVAL.0, CHECK_INTERVAL.1)
    }

    /// Returns how many events wait to be handled, now or at the last check: when a member has just taken events, its producer may not
    /// have sent more yet. Where members hold all that they have demanded, waiting events cannot be seen. One is assumed then, so that
    /// a pool without idle members grows in steps of one.
    fn waiting(&mut self) -> usize {
        let waiting: usize = self.outputs.iter().map(|output| output.waiting()).sum();
        let before = std::mem::replace(&mut self.last_waiting, waiting);
        let unseen = self.outputs.iter().any(Output::is_exhaustible);
        waiting.max(before).max(usize::from(unseen))
    }

    /// Drops outputs that have ended and have no events left, as new members need not subscribe to them. If the end of one ends the
    /// members, too, the pool ends like them.
    fn drop_ended_outputs(&mut self) {
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
        } else if self.outputs.is_empty() && !self.has_handles {
            self.end_with(End::Normal);
        }
    }

    /// Ends the pool: all members finish their current chunks. A failure takes precedence over an earlier end.
    fn end_with(&mut self, end: End) {
        let known = self.end.as_ref();
        if known.is_none_or(|known| end.is_failed() && !known.is_failed()) {
            self.end = Some(end);
        }
        self.members.iter_mut().for_each(PoolMember::stop);
    }

    fn grow(&mut self) {
        let taken = |&number: &usize| {
            let starting = self.starting.contains(&number);
            starting || self.members.iter().any(|member| member.number == number)
        };
        let mut numbers = 0..;
        // The lowest free number: reused names keep the number of series in logs and metrics small.
        let number = numbers
            .find(|number| !taken(number))
            .expect("the range has no end");
        self.starting.push(number);
        let spec = Arc::clone(&self.spec);
        self.changes.push(Box::pin(async move {
            MemberChange::Started(number, spec.start(number).await)
        }));
    }

    fn add(&mut self, number: usize, handle: ConsumerHandle<C>) {
        let running = handle.clone();
        self.changes.push(Box::pin(async move {
            MemberChange::Ended(number, running.join().await)
        }));
        self.members
            .push(PoolMember::new(number, handle, &self.outputs));
    }

    /// Stops `n` members: idle ones first, and of those the one with the highest number.
    fn shrink(&mut self, n: usize) {
        let staying = self.members.iter_mut().filter(|member| !member.stopping);
        let mut staying: Vec<(bool, &mut PoolMember<C>)> =
            staying.map(|member| (member.is_idle(), member)).collect();
        staying.sort_by_key(|(idle, member)| (!*idle, usize::MAX - member.number));
        for (_, member) in staying.into_iter().take(n) {
            member.stop();
        }
    }
}
