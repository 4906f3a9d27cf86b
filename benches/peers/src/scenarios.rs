//! The scenarios: topics, and the programs that read them.

use crate::BoxError;
use crate::keys;
use crate::programs::{Program, Work, bare_client, mq_bridge, ours, ruststream, shove};
use crate::topic::Topic;

/// A topic, and the programs that read it.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) partitions: i32,
    /// Messages of a round.
    pub(crate) messages: u64,
    pub(crate) work: Work,
    pub(crate) programs: &'static [Program],
}

/// All scenarios.
pub(crate) const SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "one_partition",
        about: "100-byte messages of 1 partition, an empty handler, commits",
        partitions: 1,
        messages: 1_000_000,
        work: Work::Touch,
        programs: &READERS,
    },
    Scenario {
        name: "four_partitions",
        about: "the same with 4 partitions",
        partitions: 4,
        messages: 1_000_000,
        work: Work::Touch,
        programs: &READERS,
    },
    Scenario {
        name: "keys",
        about: "1,000 keys in 1 partition, handlers that wait 0 to 5 ms, 100 in flight, commits",
        partitions: 1,
        messages: 10_000,
        work: Work::Wait,
        programs: &KEYED,
    },
];

/// The first is the one that the others are compared with.
const READERS: [Program; 11] = [
    ours::MAX_DEMAND_100,
    ours::MAX_DEMAND_1000,
    ours::EIGHT_PROCESSORS,
    ruststream::ONE_WORKER,
    ruststream::BATCHES,
    ruststream::EIGHT_WORKERS,
    shove::CONCURRENT,
    shove::BATCHES,
    mq_bridge::BATCHES,
    bare_client::STREAM_CONSUMER,
    bare_client::BATCH_LOOP,
];

const KEYED: [Program; 3] = [
    ours::BY_KEY,
    ruststream::BY_KEY,
    bare_client::FOR_EACH_CONCURRENT,
];

impl Scenario {
    /// Creates and fills the topic.
    ///
    /// # Errors
    ///
    /// Fails if the broker does not answer.
    pub(crate) async fn load(&self, messages: u64) -> Result<Topic, BoxError> {
        match self.work {
            Work::Touch => Topic::load(self.partitions, messages).await,
            Work::Wait => keys::load(self.partitions, messages).await,
        }
    }

    /// The program with this name.
    pub(crate) fn program(&self, name: &str) -> Option<&'static Program> {
        self.programs.iter().find(|program| program.name == name)
    }
}
