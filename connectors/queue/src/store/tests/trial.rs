//! [`Trial`]: one history, and what must be true of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{Arc, Mutex},
};

use broadway_core::{
    Delivery,
    telemetry::{Emitter, Event, Observer},
};
use tokio::sync::oneshot;

use super::Step;
use crate::{
    ack::Token,
    block::{EncodedRecords, NewRecord},
    folder::{Durability, QueueFolder},
    group::{Ended, Group, GroupSettings, Member, Partition, Snapshot},
    options::{OnCorrupt, StartOffset},
    record::QueueRecord,
    storage::{
        Storage, StorageError,
        memory::{Device, MemoryStorage},
    },
    store::{
        Opener, StoreInner,
        commit::{Append, Appended, Done, Request, commit_now},
        worker::work_now,
    },
    topic::TopicOptions,
};

const TOPIC: &str = "t";
const GROUP: &str = "g";
const PARTITIONS: u32 = 2;

/// A message as the model knows it.
#[derive(Debug, Default, Clone)]
struct Fate {
    is_confirmed: bool,
    is_done: bool,
    /// Its settlement is on the device.
    is_acked: bool,
    place: Option<(u32, u64)>,
}

/// Positions that were reported as lost.
#[derive(Clone, Default)]
struct Losses(Arc<Mutex<Vec<Loss>>>);

/// A partition, and offsets.
type Loss = (String, Range<u64>);

impl Observer for Losses {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        if let Event::Lost { part, from, to, .. } = event {
            let range = u64::try_from(*from).unwrap()..u64::try_from(*to).unwrap();
            self.0.lock().unwrap().push(((*part).to_owned(), range));
        }
    }
}

struct Running {
    store: StoreInner,
    member: Arc<Member>,
    group: Arc<Group>,
    held: Vec<(Arc<Partition>, Token, u64)>,
    /// Settled since the last acknowledgement was written.
    settled: BTreeSet<u64>,
}

pub(super) struct Trial {
    device: Device,
    is_ordered: bool,
    durability: Durability,
    fates: BTreeMap<u64, Fate>,
    running: Option<Running>,
    losses: Losses,
    is_flipped: bool,
    /// Where each message was sent.
    partitions: BTreeMap<u64, u32>,
}

impl Trial {
    pub(super) fn new(is_ordered: bool, is_synced: bool) -> Self {
        let mut trial = Self {
            device: Device::default(),
            is_ordered,
            durability: match is_synced {
                true => Durability::Synced,
                false => Durability::Unsynced,
            },
            fates: BTreeMap::new(),
            running: None,
            losses: Losses::default(),
            is_flipped: false,
            partitions: BTreeMap::new(),
        };
        trial.open();
        trial
    }

    fn settings(&self) -> GroupSettings {
        GroupSettings {
            is_ordered: self.is_ordered,
            span_max: 1_000_000,
            waiting_max: 100_000,
            lease_max: std::time::Duration::from_secs(3_600),
            deliveries_max: None,
            dead_letter_topic: None,
            prefetch_bytes: 4_096,
            revoke_timeout: std::time::Duration::from_secs(30),
            on_corrupt: OnCorrupt::Skip,
        }
    }

    fn new_store(&self) -> Result<StoreInner, StorageError> {
        let device = self.device.clone();
        let opener = Opener(Box::new(move || {
            Ok(Box::new(MemoryStorage::open(&device)?) as Box<dyn Storage>)
        }));
        let folder = QueueFolder::new("memory")
            .durability(self.durability)
            .free_space_min(0)
            .segment_bytes(600);
        StoreInner::new(folder, opener, None)
    }

    /// Opens the store, unless it cannot be read.
    fn open(&mut self) {
        let opened = self.new_store().or_else(|_| {
            // A fault was injected.
            self.device.heal();
            self.device.kill();
            self.new_store()
        });
        let store = match opened {
            Ok(store) => store,
            // Damage of what is not a record: the store reports it, and does not open.
            Err(error) => {
                assert!(self.is_flipped, "{error}");
                return;
            }
        };
        let options = TopicOptions::new().partitions(PARTITIONS);
        let Ok(topic) = store.topic(TOPIC, Some(&options)) else {
            return;
        };
        let settings = self.settings();
        let group = topic.begin_use(GROUP, |stored| {
            Group::new(
                GROUP,
                settings,
                StartOffset::Earliest,
                stored,
                &topic.logs(),
            )
        });
        let emitter = Emitter::new("test", self.losses.clone());
        let member = Arc::new(Member::new(0, emitter));
        group.join(Arc::clone(&member), &store);
        self.running = Some(Running {
            store,
            member,
            group,
            held: Vec::new(),
            settled: BTreeSet::new(),
        });
    }

    /// The process ends and begins again, in whatever way the device remembers it.
    fn restart(&mut self) {
        self.running = None;
        self.open();
    }

    /// Ends in order: everything is written.
    pub(super) fn reopen(&mut self) {
        self.acks();
        self.restart();
    }

    pub(super) fn step(&mut self, step: &Step) {
        if self.running.is_none() {
            // A fault while it opened.
            self.device.heal();
            self.open();
        }
        match *step {
            Step::Publish(calls, n) => self.publish(calls, n),
            Step::Take(n) => self.take(n),
            Step::Done(index) => self.settle(index, Ended::Done),
            Step::Failed(index) => self.settle(index, Ended::Failed { after: 0 }),
            Step::Acks => self.acks(),
            Step::FailCommit(after, fault, stays) => self.device.fail_commit(after, fault, stays),
            Step::FailReads(n) => self.device.fail_reads(n),
            Step::Fill(bytes) => {
                let used = self
                    .running
                    .as_ref()
                    .map_or(0, |running| running.store.storage().storage.disk_bytes());
                self.device.set_capacity(Some(used + bytes));
            }
            Step::Empty => {
                self.device.set_capacity(None);
                self.device.heal();
            }
            Step::Crash(keep) => {
                self.device.crash(keep);
                if self.durability != Durability::Synced {
                    // What was confirmed was not on the device.
                    self.forget_unsynced();
                }
                self.restart();
            }
            Step::Kill => {
                self.device.kill();
                self.restart();
            }
            Step::Reopen => self.reopen(),
            Step::FlipBit(space, index, bit, is_noticed) => {
                self.is_flipped |= match is_noticed {
                    true => self.device.flip_bit(space, index, bit),
                    false => self.device.flip_bit_unnoticed(space, index, bit),
                };
            }
        }
    }

    /// After the loss of power, without syncing, nothing is promised but that nothing else comes.
    fn forget_unsynced(&mut self) {
        for fate in self.fates.values_mut() {
            fate.is_confirmed = false;
            fate.is_acked = false;
        }
    }

    fn publish(&mut self, calls: usize, n: usize) {
        let Some(running) = &self.running else { return };
        let Some(topic) = running.store.find_topic(TOPIC) else {
            return;
        };
        let mut sent: Vec<(Vec<u64>, u32, oneshot::Receiver<Appended>)> = Vec::new();
        for call in 0..calls {
            let partition = (call as u32 + self.fates.len() as u32) % PARTITIONS;
            let (mut records, mut ids) = (EncodedRecords::default(), Vec::new());
            for _ in 0..n {
                let id = self.fates.len() as u64;
                self.fates.insert(id, Fate::default());
                self.partitions.insert(id, partition);
                records.push(NewRecord {
                    payload: Some(&payload(id)),
                    key: Some(&[(id % 3) as u8]),
                    headers: &[],
                    time: 0,
                });
                ids.push(id);
            }
            let (done, result) = oneshot::channel();
            if let Some(log) = topic.log(partition) {
                running
                    .store
                    .inbox
                    .push(Request::Append(Append { log, records, done }));
            }
            sent.push((ids, partition, result));
        }
        commit_now(&running.store, false);
        for (ids, partition, mut result) in sent {
            let Ok(Ok(first)) = result.try_recv() else {
                continue;
            };
            for (offset, id) in (first..).zip(ids) {
                let fate = self.fates.get_mut(&id).unwrap();
                fate.is_confirmed = true;
                fate.place = Some((partition, offset));
            }
        }
    }

    fn take(&mut self, n: usize) {
        let Some(running) = &mut self.running else {
            return;
        };
        for partition in running.group.partitions() {
            partition.request_fill(&running.store);
        }
        work_now(&running.store);
        let mut out: Vec<Delivery<QueueRecord, Token>> = Vec::new();
        for (part, partition) in running.group.partitions().into_iter().enumerate() {
            let before = out.len();
            partition.take(
                (running.member.id, part as u32),
                n,
                &running.store,
                &mut out,
            );
            for delivery in &out[before..] {
                let id = id_of(&delivery.item);
                let fate = self.fates.get_mut(&id).expect("it was published");
                assert!(
                    !fate.is_acked,
                    "{id} was acknowledged, and is delivered again"
                );
                running
                    .held
                    .push((Arc::clone(&partition), delivery.token, id));
            }
        }
    }

    fn settle(&mut self, index: usize, ended: Ended) {
        let Some(running) = &mut self.running else {
            return;
        };
        if running.held.is_empty() {
            return;
        }
        let (partition, token, id) = running.held.swap_remove(index % running.held.len());
        let late = partition.settle(
            token.epoch,
            [(token.lease, ended, None)].into_iter(),
            &running.store,
        );
        if late > 0 {
            return;
        }
        if ended == Ended::Done {
            self.fates.get_mut(&id).unwrap().is_done = true;
            running.settled.insert(id);
        } else if self.is_ordered {
            // The later ones of its key that were delivered are handled again behind it, also if that was acknowledged.
            for later in id + 1..self.fates.len() as u64 {
                let is_behind =
                    later % 3 == id % 3 && self.partitions.get(&later) == self.partitions.get(&id);
                if let (true, Some(fate)) = (is_behind, self.fates.get_mut(&later)) {
                    fate.is_acked = false;
                    running.settled.remove(&later);
                }
            }
        }
    }

    /// Writes acknowledgements. They count as written if that succeeds and the device has them.
    fn acks(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        for partition in running.group.partitions() {
            running.store.mark_dirty(&partition);
        }
        let (done, mut flushed) = Done::channel();
        running.store.inbox.push(Request::Flush(done));
        commit_now(&running.store, true);
        if matches!(flushed.try_recv(), Ok(Ok(()))) {
            for id in std::mem::take(&mut running.settled) {
                self.fates.get_mut(&id).unwrap().is_acked = true;
            }
        }
    }

    pub(super) fn share_a_group(mut self) {
        let Some(running) = &self.running else { return };
        let topic = running.store.find_topic(TOPIC).unwrap();
        let made_again = |_: &BTreeMap<u32, Snapshot>| -> Group { panic!("it is made again") };
        // Another producer has it, and has not joined.
        let second = topic.begin_use(GROUP, made_again);
        running.group.leave(running.member.id, &running.store);
        topic.end_use(GROUP);
        self.acks();
        let third = topic.begin_use(GROUP, made_again);
        assert!(Arc::ptr_eq(&second, &third));
    }

    /// All faults end. Everything that was confirmed and is not done must come, or must have been reported as lost.
    pub(super) fn finish(mut self) {
        self.device.heal();
        self.device.set_capacity(None);
        self.restart();
        let mut idle = 0;
        while idle < 3 && self.running.is_some() {
            // Records that could not be read are read again after a second.
            if let Some(running) = &mut self.running {
                running.store.clock = running.store.clock.later(10_000);
            }
            self.take(50);
            let held = self
                .running
                .as_ref()
                .map_or(0, |running| running.held.len());
            idle = if held == 0 { idle + 1 } else { 0 };
            for _ in 0..held {
                self.settle(0, Ended::Done);
            }
        }
        if self.running.is_none() {
            assert!(self.is_flipped, "it does not open");
            return;
        }
        let losses = self.losses.0.lock().unwrap().clone();
        for (id, fate) in &self.fates {
            if !fate.is_confirmed || fate.is_done {
                continue;
            }
            let (partition, offset) = fate.place.expect("it was confirmed");
            let name = format!("{TOPIC}[{partition}]");
            let is_reported = losses
                .iter()
                .any(|(part, range)| *part == name && range.contains(&offset));
            assert!(
                self.is_flipped && is_reported,
                "{id} at {name}@{offset} was confirmed, and is lost in silence"
            );
        }
    }
}

/// A payload that no flipped bit turns into another one.
fn payload(id: u64) -> Vec<u8> {
    let id = id.to_le_bytes();
    let mut payload = Vec::new();
    for _ in 0..3 {
        payload.extend(id);
    }
    payload
}

fn id_of(record: &QueueRecord) -> u64 {
    let bytes = broadway_core::Record::payload(record);
    let id = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, payload(id), "a changed record was delivered");
    id
}
