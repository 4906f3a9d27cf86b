//! [`Group`]: a consumer group of one topic, while sources of this process read with it.
//!
//! The [`Coordinator`] decides which member reads which partition. A member that is to give up a partition stops reading it at once, and keeps it
//! until the records that it holds are settled, or until the revoke timeout is over: the remaining records are then given back, and their
//! results come too late.

pub(crate) mod delivery;
mod member;
mod partition;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic::Ordering},
    time::Duration,
};

pub(crate) use self::{
    delivery::{Ended, Lease, Limits, Millis, Offered, Snapshot},
    member::Member,
    partition::Partition,
};
use crate::{
    coordinator::{Action, Coordinator, Epoch, MemberId},
    log::PartitionLog,
    options::{OnCorrupt, StartOffset},
    store::StoreInner,
};

/// What all members of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupSettings {
    pub(crate) is_ordered: bool,
    pub(crate) span_max: u64,
    pub(crate) waiting_max: usize,
    pub(crate) lease_max: Duration,
    pub(crate) deliveries_max: Option<u32>,
    /// The topic of records that failed that often.
    pub(crate) dead_letter_topic: Option<String>,
    pub(crate) prefetch_bytes: usize,
    pub(crate) revoke_timeout: Duration,
    pub(crate) on_corrupt: OnCorrupt,
}

impl GroupSettings {
    fn limits(&self) -> Limits {
        Limits {
            span_max: self.span_max,
            waiting_max: self.waiting_max,
            lease_max: crate::clock::millis(self.lease_max),
            deliveries_max: self.deliveries_max,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) settings: Arc<GroupSettings>,
    start: StartOffset,
    partitions: RwLock<Vec<Arc<Partition>>>,
    members: Mutex<Members>,
}

#[derive(Debug)]
struct Members {
    coordinator: Coordinator,
    all: BTreeMap<MemberId, Arc<Member>>,
    /// Partitions that members are to give up, and until when.
    revoked: Vec<Revoked>,
}

#[derive(Debug, Clone, Copy)]
struct Revoked {
    member: MemberId,
    partition: u32,
    epoch: Epoch,
    until: Millis,
}

impl Group {
    /// The group as it was stored. Partitions that it has not read begin at `start`.
    pub(crate) fn new(
        name: &str,
        settings: GroupSettings,
        start: StartOffset,
        stored: &BTreeMap<u32, Snapshot>,
        logs: &[Arc<PartitionLog>],
    ) -> Self {
        let group = Self {
            name: name.to_owned(),
            settings: Arc::new(settings),
            // A partition that is added to a known group is read from its beginning: nothing in it was missed.
            start: if stored.is_empty() {
                start
            } else {
                StartOffset::Earliest
            },
            partitions: RwLock::default(),
            members: Mutex::new(Members {
                coordinator: Coordinator::new(0),
                all: BTreeMap::new(),
                revoked: Vec::new(),
            }),
        };
        group.open_partitions(logs, stored, group.start);
        let partitions = group.partitions().len() as u32;
        drop(group.lock().coordinator.set_partitions(partitions));
        group
    }

    fn open_partitions(
        &self,
        logs: &[Arc<PartitionLog>],
        stored: &BTreeMap<u32, Snapshot>,
        start: StartOffset,
    ) {
        let mut partitions = self
            .partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for log in &logs[partitions.len().min(logs.len())..] {
            let snapshot = stored.get(&log.partition).cloned().unwrap_or_else(|| {
                Snapshot::at(match start {
                    StartOffset::Earliest => log.start(),
                    StartOffset::Latest => log.end(),
                })
            });
            let partition = Partition::new(
                Arc::clone(log),
                &self.name,
                Arc::clone(&self.settings),
                &snapshot,
            );
            partitions.push(Arc::new(partition));
        }
    }

    /// The topic has more partitions.
    pub(crate) fn add_partitions(&self, logs: &[Arc<PartitionLog>]) {
        self.open_partitions(logs, &BTreeMap::new(), StartOffset::Earliest);
        let mut members = self.lock();
        let partitions = self.partitions().len() as u32;
        let actions = members.coordinator.set_partitions(partitions);
        self.apply(&mut members, actions, 0);
    }

    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn partition(&self, number: u32) -> Option<Arc<Partition>> {
        let partitions = self
            .partitions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        partitions.get(number as usize).cloned()
    }

    /// Whether acknowledgements are not written.
    pub(crate) fn has_dirty_partitions(&self) -> bool {
        let dirty = |partition: &Arc<Partition>| partition.is_dirty.load(Ordering::Acquire);
        self.partitions().iter().any(dirty)
    }

    /// Adds a member, and starts to rebalance. All its partitions are marked, so that the group is known on disk from its first commit on.
    pub(crate) fn join(&self, member: Arc<Member>, store: &StoreInner) {
        let mut members = self.lock();
        let id = member.id;
        members.all.insert(id, member);
        let actions = members.coordinator.join(id);
        self.apply(&mut members, actions, store.clock.now());
        for partition in self.partitions() {
            store.mark_dirty(&partition);
            partition.request_fill(store);
        }
    }

    /// Removes a member. What it holds is given back.
    pub(crate) fn leave(&self, member: MemberId, store: &StoreInner) {
        let now = store.clock.now();
        let mut members = self.lock();
        let owned: Vec<_> = members.coordinator.partitions_of(member).collect();
        for (number, _) in owned {
            if let Some(partition) = self.partition(number) {
                let (owner, _) = partition.take_from_owner(now);
                if let Some(owner) = owner {
                    owner.lost_some();
                }
                store.mark_dirty(&partition);
            }
        }
        members.revoked.retain(|revoked| revoked.member != member);
        members.all.remove(&member);
        let actions = members.coordinator.leave(member);
        self.apply(&mut members, actions, now);
        drop(members);
        for partition in self.partitions() {
            partition.request_fill(store);
        }
    }

    fn apply(&self, members: &mut Members, actions: Vec<Action>, now: Millis) {
        for action in actions {
            match action {
                Action::Assign {
                    member,
                    partition,
                    epoch,
                } => {
                    let (Some(partition), Some(member)) =
                        (self.partition(partition), members.all.get(&member))
                    else {
                        continue;
                    };
                    let position = partition.give_to(Arc::clone(member), epoch);
                    member.assigned(&partition, position);
                }
                Action::Revoke {
                    member,
                    partition,
                    epoch,
                } => {
                    let timeout = crate::clock::millis(self.settings.revoke_timeout);
                    let until = now.saturating_add(timeout);
                    members.revoked.push(Revoked {
                        member,
                        partition,
                        epoch,
                        until,
                    });
                    if let Some(partition) = self.partition(partition) {
                        partition.revoke(now);
                    }
                }
            }
        }
    }

    /// Passes on partitions that are drained, or whose timeout is over.
    pub(crate) fn finish_revocations(&self, store: &StoreInner) {
        let now = store.clock.now();
        let mut members = self.lock();
        let revoked = std::mem::take(&mut members.revoked);
        let mut changed = Vec::new();
        for revoked in revoked {
            let Some(partition) = self.partition(revoked.partition) else {
                continue;
            };
            if !partition.is_drained() && now < revoked.until {
                members.revoked.push(revoked);
                continue;
            }
            let (owner, repeats) = partition.take_from_owner(now);
            if let Some(owner) = owner {
                owner.revoked(&partition, repeats);
            }
            store.mark_dirty(&partition);
            let Revoked {
                member,
                partition: number,
                epoch,
                ..
            } = revoked;
            let actions = members.coordinator.released(member, number, epoch);
            self.apply(&mut members, actions, now);
            changed.push(partition);
        }
        drop(members);
        for partition in changed {
            partition.request_fill(store);
        }
    }

    pub(crate) fn has_revocations(&self) -> bool {
        !self.lock().revoked.is_empty()
    }

    /// Records were appended to a partition.
    pub(crate) fn appended(&self, partition: u32, store: &StoreInner) {
        if let Some(partition) = self.partition(partition) {
            partition.request_fill(store);
        }
    }

    /// Wakes all members, so that they look for changes.
    pub(crate) fn wake_members(&self) {
        for member in self.lock().all.values() {
            member.wakeup.notify_one();
        }
    }

    /// Takes records from holders whose leases ended.
    pub(crate) fn expire_leases(&self, store: &StoreInner) {
        for partition in self.partitions() {
            if partition.expire(store.clock.now()) > 0 {
                store.mark_dirty(&partition);
                partition.request_fill(store);
            }
        }
    }

    /// The partitions of each member.
    pub(crate) fn members(&self) -> Vec<Vec<u32>> {
        let members = self.lock();
        let all = members.all.keys();
        all.map(|id| {
            let owned = members.coordinator.partitions_of(*id);
            owned.map(|(partition, _)| partition).collect()
        })
        .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
