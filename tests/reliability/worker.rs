//! A worker: a pipeline with dead letters that writes each handled message to the book. It runs in this process, or in
//! a process of its own that can be killed: the test program again, with its task in the environment.

use std::{
    env,
    ffi::OsString,
    fs::File,
    future::pending,
    io::Read,
    marker::PhantomData,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    time::Duration,
};

use broadway::{
    Batch, Batching, BoxError, DeadLetters, Handler, Message, Next, OneBatcher, Pipeline,
    Processors, RateLimit, Record, RestartPolicy, Topology,
    failure::{Retry, poison},
};

use crate::{
    book::{Book, Entry},
    broker::{Broker, ItemOf, Places},
    connectors::{TestKafka, TestPubSub, TestRabbitMq, TestSqs},
    hostile::{HOSTILE, Harm},
    plan::{Failure, Failures, Kind, Plan, id_of},
};

/// How long a handler lets a call hang.
const HANG_MAX: Duration = Duration::from_millis(50);

struct Worker<R> {
    plan: Plan,
    book: Book,
    record: PhantomData<fn(R)>,
}

impl<R: Record> Handler for Worker<R> {
    type In = R;
    type Out = Entry;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<R>,
    ) -> Result<Next<Entry, OneBatcher>, BoxError> {
        let record = message.data();
        let id = id_of(record)?;
        if let Kind::Hostile(index) = self.plan.kind(id) {
            let Harm::Error = HOSTILE[index].harm else {
                panic!("{}", HOSTILE[index].name);
            };
            // Others of them use up their attempts, where there are several.
            let error = HOSTILE[index].name;
            return Err(match id % 2 {
                0 => poison(error),
                _ => error.into(),
            });
        }
        match self.plan.failure(id, message.attempt()) {
            Some(Failure::Error) => return Err("not yet".into()),
            Some(Failure::Hang) => tokio::time::timeout(HANG_MAX, pending::<()>()).await?,
            None => {}
        }
        let record = message.data();
        let is_intact = record.payload() == self.plan.payload(id).as_bytes();
        if let Some(pause) = self.plan.pause(id) {
            tokio::time::sleep(pause).await;
        }
        Ok(Next::batch(OneBatcher, Entry { id, is_intact }))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<Entry>) -> Result<(), BoxError> {
        if self.plan.batch_fails(batch.data()[0].id, batch.attempt()) {
            return Err("not yet".into());
        }
        self.book.write(batch.iter())
    }
}

/// Starts a worker in this process.
pub(crate) async fn start<B: Broker>(
    broker: &B,
    places: &Places,
    via: Option<SocketAddr>,
    variant: usize,
    (plan, book): (Plan, &Path),
) -> Result<Topology<ItemOf<B>>, BoxError> {
    let worker = Worker {
        plan,
        book: Book::open(book),
        record: PhantomData::<fn(ItemOf<B>)>,
    };
    let dead = broker.publisher(&places.dead, via).await?;
    let policy = RestartPolicy::default().max(Duration::from_millis(500));
    let source = broker.member(&places.work, via, variant);
    let attempts = if plan.failures == Failures::No { 1 } else { 4 };
    let retry = Retry::exponential(Duration::from_millis(20), Duration::from_millis(100))
        .attempts(attempts);
    let topology = Pipeline::new(source, DeadLetters::of(worker, dead))
        .name("ledger")
        .producers(B::PRODUCERS)
        .restart(policy)
        .processors(processors::<B>(plan))
        .on_failure(retry)
        .rate_limit(RateLimit::per(
            usize::try_from(plan.per_second().div_ceil(10))?,
            Duration::from_millis(100),
        ))
        .batchers(|_| Batching::new(50, Duration::from_millis(20)).concurrency(2))
        .on_drain(B::ON_DRAIN)
        .start()
        .await?;
    Ok(topology)
}

fn processors<B: Broker>(plan: Plan) -> Processors<ItemOf<B>> {
    match plan.failures {
        Failures::No => Processors::new(8).by_record_key(),
        Failures::Yes => Processors::new(4).in_flight(64),
        // Hostile messages have no key of the plan, and some have no id that can be read.
        Failures::ByKey => Processors::new(4)
            .in_flight(64)
            .partition_by(move |message| id_of(message.data()).ok().map(|id| plan.key(id))),
    }
}

/// The task of a worker in a process of its own.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) plan: Plan,
    pub(crate) places: Places,
    pub(crate) via: SocketAddr,
    pub(crate) book: PathBuf,
}

const BROKER: &str = "BROADWAY_LEDGER_BROKER";
const WORK: &str = "BROADWAY_LEDGER_WORK";
const DEAD: &str = "BROADWAY_LEDGER_DEAD";
const VIA: &str = "BROADWAY_LEDGER_VIA";
const BOOK: &str = "BROADWAY_LEDGER_BOOK";
const PLAN: &str = "BROADWAY_LEDGER_PLAN";

impl Task {
    fn of_this_process() -> Option<(String, Self)> {
        let broker = env::var(BROKER).ok()?;
        let text = |name| env::var(name).unwrap();
        let plan = text(PLAN);
        let numbers: Vec<u64> = plan.split(' ').map(|n| n.parse().unwrap()).collect();
        let [seed, ids, probes, is_keyed, failures] = numbers[..] else {
            panic!("{PLAN} is {plan:?}");
        };
        let task = Self {
            plan: Plan {
                seed,
                ids,
                probes,
                is_keyed: is_keyed == 1,
                failures: Failures::from_number(failures),
            },
            places: Places {
                work: text(WORK),
                dead: text(DEAD),
            },
            via: text(VIA).parse().unwrap(),
            book: env::var_os(BOOK).unwrap().into(),
        };
        Some((broker, task))
    }

    fn variables(&self, broker: &str) -> [(&'static str, OsString); 6] {
        let Plan {
            seed,
            ids,
            probes,
            is_keyed,
            failures,
        } = self.plan;
        let (is_keyed, failures) = (u8::from(is_keyed), failures.number());
        [
            (BROKER, broker.into()),
            (WORK, self.places.work.clone().into()),
            (DEAD, self.places.dead.clone().into()),
            (VIA, self.via.to_string().into()),
            (BOOK, self.book.clone().into()),
            (
                PLAN,
                format!("{seed} {ids} {probes} {is_keyed} {failures}").into(),
            ),
        ]
    }
}

/// A worker in a process of its own, which is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    pub(crate) fn start<B: Broker>(task: &Task) -> Self {
        let said = task.book.with_extension("said");
        let stderr = File::options().append(true).create(true).open(&said);
        let child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "worker::the_worker_that_is_killed",
                "--nocapture",
            ])
            .envs(task.variables(B::NAME))
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(stderr.unwrap())
            .spawn()
            .unwrap();
        Self { child, said }
    }

    /// Kills it with SIGKILL, without a drain.
    pub(crate) fn kill(mut self) {
        self.end_now();
    }

    /// Returns its output, if it has ended.
    pub(crate) fn has_ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().unwrap()?;
        let said = std::fs::read_to_string(&self.said).unwrap_or_default();
        Some(format!("{status}: {said}"))
    }

    /// Ends its standard input, and waits for it to drain.
    pub(crate) fn ask_to_end(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn has_drained(&mut self) -> bool {
        let status = self.child.try_wait().unwrap();
        status.is_some_and(|status| {
            let said = std::fs::read_to_string(&self.said).unwrap_or_default();
            assert!(
                status.success(),
                "a worker could not drain: {status}: {said}"
            );
            true
        })
    }

    fn end_now(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_now();
        let _ = std::fs::remove_file(&self.said);
    }
}

/// Not a test but the process of a worker: without its environment it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worker_that_is_killed() {
    let Some((broker, task)) = Task::of_this_process() else {
        return;
    };
    match broker.as_str() {
        TestKafka::NAME => work::<TestKafka>(&task).await,
        TestRabbitMq::NAME => work::<TestRabbitMq>(&task).await,
        TestSqs::NAME => work::<TestSqs>(&task).await,
        TestPubSub::NAME => work::<TestPubSub>(&task).await,
        other => panic!("no broker {other}"),
    }
}

async fn work<B: Broker>(task: &Task) {
    let broker = B::find().unwrap();
    let topology = loop {
        // It may start while its network is cut.
        let book = (task.plan, &*task.book);
        match start(&broker, &task.places, Some(task.via), 0, book).await {
            Ok(topology) => break topology,
            Err(error) => eprintln!("cannot start yet: {error}"),
        }
    };
    tokio::task::block_in_place(|| std::io::stdin().read_to_end(&mut Vec::new())).unwrap();
    if let Err(error) = topology.drain().await {
        // Its connection may have been cut a moment ago: then unacknowledged messages are delivered again, as the error
        // states.
        eprintln!("it could not end as it should: {error}");
    }
    // Nothing of the other tests may run here.
    process::exit(0);
}
