//! Reports how far the group is behind, every `lag_interval`, from the state in memory.

use std::{sync::Arc, time::Duration};

use broadway_core::{Deadline, telemetry::Event};

use crate::group::{Group, Member};

/// When the first report is made, unless the interval is shorter.
const FIRST_REPORT: Duration = Duration::from_secs(1);

/// Reports the partitions of this member until it is aborted. Their lag is reported as unknown then.
pub(crate) async fn report(groups: Vec<Arc<Group>>, member: Arc<Member>, interval: Duration) {
    if interval == Duration::MAX {
        return;
    }
    let mut pause = FIRST_REPORT.min(interval);
    let mut reported = Reported {
        member,
        names: Vec::new(),
    };
    loop {
        Deadline::after(pause).reached().await;
        pause = interval;
        let own = |partition: &Arc<_>| reported.is_owner(partition);
        let partitions: Vec<_> = groups
            .iter()
            .flat_map(|group| group.partitions())
            .filter(own)
            .collect();
        reported.forget_others(
            partitions
                .iter()
                .map(|partition| partition.log.name())
                .collect(),
        );
        for partition in partitions {
            reported.emit(&partition.log.name(), Some(partition.unsettled()));
        }
    }
}

/// The partitions whose lag an observer knows.
struct Reported {
    member: Arc<Member>,
    names: Vec<String>,
}

impl Reported {
    fn is_owner(&self, partition: &Arc<crate::group::Partition>) -> bool {
        partition
            .owner()
            .is_some_and(|owner| owner.id == self.member.id)
    }

    /// A figure of a partition that others read would look current.
    fn forget_others(&mut self, names: Vec<String>) {
        for gone in self.names.iter().filter(|name| !names.contains(name)) {
            self.emit(gone, None);
        }
        self.names = names;
    }

    fn emit(&self, name: &str, messages: Option<u64>) {
        let event = Event::lag(self.member.producer, name, messages, None);
        self.member.emitter.emit(&event);
    }
}

impl Drop for Reported {
    fn drop(&mut self) {
        for name in &self.names {
            self.emit(name, None);
        }
    }
}
