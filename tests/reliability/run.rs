//! One run: its fixtures, plan, book, dead letters, and end.

use std::{
    env,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use broadway::Topology;
use tokio::task::JoinHandle;

use crate::{
    book::Reading,
    broker::{Broker, ItemOf, Places},
    checker::Ledger,
    dead::DeadBox,
    feeder::{Fed, feed},
    nemesis::Fault,
    plan::{Failures, Plan},
    report::Figures,
    worker,
};

/// How long no progress is tolerated before messages count as lost: longer than the lease of every broker here.
const PATIENCE: Duration = Duration::from_secs(100);
/// How often to check on another process or the broker, which send no event.
const PAUSE: Duration = Duration::from_millis(20);
/// After this many checks without a new dead letter, no more are expected.
const QUIET: usize = 50;
/// Sent at the end to a new worker, which gets the remaining messages and must get these.
const PROBES: u64 = 20;

pub(crate) struct Run<B: Broker> {
    pub(crate) broker: B,
    pub(crate) plan: Plan,
    pub(crate) places: Places,
    pub(crate) book: PathBuf,
    phase: String,
    ledger: Ledger,
    reading: Reading,
    dead: DeadBox<B>,
    feeding: JoinHandle<Fed>,
    begun: Instant,
    /// How many workers were seen busy while there was work.
    pub(crate) members: u64,
}

/// The seed of all runs of this process.
pub(crate) fn seed() -> u64 {
    let given = env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    given.unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        u64::from(now.subsec_nanos())
    })
}

/// Returns the number of ids of a broker.
pub(crate) fn ids(default: u64) -> u64 {
    let given = env::var("BROADWAY_LEDGER_IDS").ok();
    given.map_or(default, |ids| ids.parse().unwrap())
}

/// Returns how many seeds have a run with handlers that fail for a while.
pub(crate) fn failing_seeds() -> u64 {
    let given = env::var("BROADWAY_LEDGER_SEEDS").ok();
    given.map_or(1, |seeds| seeds.parse().unwrap())
}

impl<B: Broker> Run<B> {
    /// Makes empty fixtures, and starts a feeder.
    pub(crate) async fn begin(broker: &B, phase: String, seed: u64, ids: u64) -> Self {
        let plan = Plan {
            seed,
            ids,
            probes: PROBES,
            is_keyed: B::IS_KEYED,
            failures: Failures::No,
        };
        Self::of(broker, phase, plan).await
    }

    /// The same, with handlers that fail good messages for a while, on every other seed in order per key.
    pub(crate) async fn begin_failing(broker: &B, phase: String, seed: u64, ids: u64) -> Self {
        let by_key = seed.is_multiple_of(2);
        let plan = Plan {
            seed,
            ids,
            probes: PROBES,
            is_keyed: B::IS_KEYED && by_key,
            failures: if by_key {
                Failures::ByKey
            } else {
                Failures::Yes
            },
        };
        Self::of(broker, phase, plan).await
    }

    async fn of(broker: &B, phase: String, plan: Plan) -> Self {
        println!("{} {phase}: SEED={}, {} ids", B::NAME, plan.seed, plan.ids);
        let begun = Instant::now();
        let places = Places::new(broker).await;
        // Some brokers make a fixture when a publisher connects, others when a reader does.
        drop(broker.publisher(&places.work, None).await.unwrap());
        drop(broker.publisher(&places.dead, None).await.unwrap());
        let book = env::temp_dir().join(format!("{}.book", places.work.replace('/', "-")));
        std::fs::write(&book, "").unwrap();
        let feeding = tokio::spawn({
            let (broker, place) = (broker.clone(), places.work.clone());
            async move { feed(&broker, &place, plan, 0..plan.ids).await }
        });
        Self {
            dead: DeadBox::open(broker, &places.dead, plan).await,
            broker: broker.clone(),
            ledger: Ledger::new(plan),
            reading: Reading::open(&book),
            plan,
            places,
            book,
            phase,
            feeding,
            begun,
            members: 1,
        }
    }

    /// Starts another worker in this process.
    pub(crate) async fn join(&self, variant: usize) -> Topology<ItemOf<B>> {
        let book = (self.plan, &*self.book);
        let started = worker::start(&self.broker, &self.places, None, variant, book);
        started.await.unwrap()
    }

    /// Returns how many good ids there are below `share` thousandths of all.
    pub(crate) fn good(&self, share: u64) -> u64 {
        let good = (0..self.plan.ids).filter(|id| self.plan.is_good(*id));
        good.count() as u64 * share / 1_000
    }

    pub(crate) fn handled(&mut self) -> u64 {
        self.ledger.add(&self.reading.news());
        self.ledger.distinct()
    }

    pub(crate) fn repeated(&self) -> u64 {
        self.ledger.repeated()
    }

    /// Waits until this many ids were handled, with progress at least every `PATIENCE`, and calls `also` meanwhile.
    /// Returns whether they were.
    pub(crate) async fn until(&mut self, enough: u64, mut also: impl FnMut()) -> bool {
        let mut last = (self.handled(), Instant::now());
        loop {
            let handled = self.handled();
            if handled >= enough {
                return true;
            }
            if handled > last.0 {
                last = (handled, Instant::now());
            }
            if last.1.elapsed() > PATIENCE {
                println!(
                    "{} {}: {handled} of {enough}, and no more come",
                    B::NAME,
                    self.phase
                );
                return false;
            }
            also();
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until this worker has handled this many ids, or no ids are left for it. Returns whether it has.
    pub(crate) async fn until_at_work(
        &mut self,
        worker: &Topology<ItemOf<B>>,
        enough: u64,
    ) -> bool {
        let all = self.good(1_000);
        while self.handled() < all {
            if worker.totals().done >= enough {
                return true;
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }

    /// Ends the run: a new worker, the dead letters, and the figures.
    pub(crate) async fn end(mut self, faults: Vec<Fault>, repeats_max: Option<u64>) -> Figures {
        let fed = (&mut self.feeding).await.unwrap();
        let probes = self.plan.ids..self.plan.all();
        let probes = feed(&self.broker, &self.places.work, self.plan, probes).await;
        let last = self.join(0).await;
        let all = self.good(1_000) + PROBES;
        self.until(all, || ()).await;
        let hostile = (0..self.plan.ids).filter(|id| !self.plan.is_good(*id));
        let letters = hostile.count() - fed.refused.len();
        self.until_dead(letters as u64).await;
        last.drain().await.unwrap();
        self.handled();
        let letters = self.dead.close().await;
        drop(std::fs::remove_file(&self.book));
        Figures {
            broker: B::NAME,
            phase: self.phase,
            plan: self.plan,
            members: self.members,
            findings: self.ledger.check(&letters, &fed.refused, B::HAS_ORIGINS),
            faults,
            repeats_max,
            damaged: letters
                .iter()
                .filter(|letter| !letter.is_intact)
                .map(|letter| letter.id)
                .collect(),
            refused: fed.refused,
            fed_again: fed.again + probes.again,
            unreadable: fed.unreadable + probes.unreadable,
            elapsed: self.begun.elapsed(),
        }
    }

    /// Waits until there are dead letters of this many messages, and then until no more come.
    async fn until_dead(&self, enough: u64) {
        let mut last = (self.dead.len(), Instant::now());
        let mut quiet = 0;
        while quiet < QUIET && last.1.elapsed() < PATIENCE {
            tokio::time::sleep(PAUSE).await;
            let len = self.dead.len();
            if len > last.0 {
                last = (len, Instant::now());
                quiet = 0;
            } else if self.dead.distinct() >= enough {
                quiet += 1;
            }
        }
    }
}
