//! What happens in a run, from its seed alone: the fate of every id, and the options of the pipeline.

use std::time::Duration;

use broadway_core::Retry;

/// How many ids a run has.
pub(crate) const IDS: u64 = 520;
const KEYS: u64 = 24;

/// SplitMix64 (Steele, Lea, Flood): small, and the same everywhere.
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn size(&mut self, max: usize) -> usize {
        1 + self.below(max as u64) as usize
    }

    pub(crate) fn ms(&mut self, max: u64) -> Duration {
        Duration::from_millis(1 + self.below(max))
    }
}

/// What `handle_message` does with an id, until it has failed so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlannedFault {
    None,
    Errors(u32),
    Hangs(u32),
    Postponed(u32),
    /// Rejected at its first delivery.
    Rejected,
    /// Never returns in the first topology, which is killed.
    HangsUntilKilled,
    Permanent,
    Poison,
    Panics,
}

/// What `handle_batch` does because of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlannedBatchFault {
    None,
    Row(u32),
    Whole(u32),
    WholeHangs(u32),
    RowPermanent,
    WholePermanent,
    WholePanics,
}

/// So often that no policy has as many attempts.
pub(crate) const FOREVER: u32 = u32::MAX;

/// What happens to one id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fate {
    pub(crate) fault: PlannedFault,
    /// `None`: it is done after `handle_message`.
    pub(crate) batch: Option<PlannedBatchFault>,
    pub(crate) work: Duration,
    /// At how many deliveries its dead letter is refused.
    pub(crate) refused: u32,
    pub(crate) key: u64,
}

impl Fate {
    /// Whether it never gets into the sink.
    pub(crate) fn is_doomed(&self) -> bool {
        let by_itself = match self.fault {
            PlannedFault::Errors(times) | PlannedFault::Hangs(times) => times == FOREVER,
            _ => false,
        };
        let in_batch = self.batch == Some(PlannedBatchFault::Row(FOREVER));
        self.fails_at_once() || by_itself || in_batch
    }

    /// Whether it can fail for good before its attempts are used up.
    pub(crate) fn fails_at_once(&self) -> bool {
        matches!(
            self.fault,
            PlannedFault::Permanent | PlannedFault::Poison | PlannedFault::Panics
        ) || matches!(
            self.batch,
            Some(
                PlannedBatchFault::RowPermanent
                    | PlannedBatchFault::WholePermanent
                    | PlannedBatchFault::WholePanics
            )
        )
    }

    fn random(dice: &mut Dice, attempts: [u32; 2]) -> Self {
        // A good id fails less often than the policy allows.
        let mut times = |attempts: u32| dice.below(u64::from(attempts)) as u32;
        let (of_message, of_batch) = (times(attempts[0]), times(attempts[1]));
        let fault = match dice.below(40) {
            0..7 => PlannedFault::Errors(of_message),
            7 => PlannedFault::Errors(FOREVER),
            8..10 => PlannedFault::Hangs(of_message),
            10 if dice.one_in(2) => PlannedFault::Hangs(FOREVER),
            11 => PlannedFault::Postponed(dice.below(4) as u32),
            12 => PlannedFault::Rejected,
            13 if dice.one_in(3) => PlannedFault::HangsUntilKilled,
            14 => PlannedFault::Permanent,
            15 => PlannedFault::Poison,
            16 => PlannedFault::Panics,
            _ => PlannedFault::None,
        };
        let in_batch = match dice.below(100) {
            0..9 => PlannedBatchFault::Row(of_batch),
            9..12 => PlannedBatchFault::Row(FOREVER),
            12..15 => PlannedBatchFault::Whole(of_batch),
            15 => PlannedBatchFault::WholeHangs(of_batch),
            16..19 => PlannedBatchFault::RowPermanent,
            19 => PlannedBatchFault::WholePermanent,
            20 => PlannedBatchFault::WholePanics,
            _ => PlannedBatchFault::None,
        };
        Self {
            fault,
            batch: (!dice.one_in(3)).then_some(in_batch),
            work: match dice.one_in(3) {
                true => dice.ms(30),
                false => Duration::ZERO,
            },
            refused: if dice.one_in(8) {
                dice.size(2) as u32
            } else {
                0
            },
            key: dice.below(KEYS),
        }
    }
}

/// When a failed message is handled again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) attempts: u32,
    pub(crate) pause: Duration,
    pub(crate) doubles: bool,
}

impl Policy {
    fn random(dice: &mut Dice) -> Self {
        Self {
            attempts: dice.size(5) as u32,
            pause: dice.ms(200),
            doubles: dice.one_in(2),
        }
    }

    pub(crate) fn retry(&self) -> Retry {
        let retry = match self.doubles {
            true => Retry::exponential(self.pause, 4 * self.pause),
            false => Retry::fixed(self.pause),
        };
        retry.attempts(self.attempts)
    }

    /// Returns the shortest pause after this many failures.
    pub(crate) fn pause_min(&self, failures: u32) -> Duration {
        match self.doubles {
            // Half of each pause is random.
            true => self.pause * (1 << (failures - 1).min(2)) / 2,
            false => self.pause,
        }
    }
}

/// One run.
pub(crate) struct Plan {
    pub(crate) fates: Vec<Fate>,
    /// For `handle_message` and `handle_batch`.
    pub(crate) policies: [Policy; 2],
    pub(crate) by_key: bool,
    pub(crate) producers: usize,
    /// How many topologies end early.
    pub(crate) kills: usize,
    pub(crate) settles_slowly: bool,
}

impl Plan {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let policies = [Policy::random(dice), Policy::random(dice)];
        let attempts = policies.map(|policy| policy.attempts);
        Self {
            fates: (0..IDS).map(|_| Fate::random(dice, attempts)).collect(),
            policies,
            by_key: dice.one_in(2),
            producers: 1 + usize::from(dice.one_in(3)),
            kills: dice.below(4) as usize,
            settles_slowly: dice.one_in(2),
        }
    }

    pub(crate) fn fate(&self, id: u64) -> &Fate {
        &self.fates[id as usize]
    }

    /// Order is kept per producer.
    pub(crate) fn is_ordered(&self) -> bool {
        self.by_key && self.producers == 1
    }
}
