//! Pipelines that feed themselves: a handler pushes the work that it finds without waiting, until none is left.

use std::sync::{Arc, Mutex};

use broadway_core::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Outcome, Pipeline, Processors,
    Pusher, handler_fn_async, source, testing::drained,
};

use crate::common::{SECOND, Script, Wait, fed, outcomes, settle_down};

/// A site of 3,280 pages: each links to three, down to a depth of seven.
const PAGES: u64 = 3_280;

#[derive(Debug, Clone, Copy)]
struct Page {
    depth: u32,
}

impl Page {
    fn links(self) -> impl Iterator<Item = Self> {
        let depth = self.depth + 1;
        (0..if depth <= 7 { 3 } else { 0 }).map(move |_| Self { depth })
    }
}

/// Pushes the pages that it finds, and keeps those that do not fit until a later page has been handled.
#[derive(Clone)]
struct Crawler {
    pusher: Pusher<Page>,
    frontier: Arc<Mutex<Vec<Page>>>,
    batched: bool,
}

impl Crawler {
    fn new(pusher: &Pusher<Page>, batched: bool) -> Self {
        Self {
            pusher: pusher.clone(),
            frontier: Arc::default(),
            batched,
        }
    }

    fn found(&self, pages: impl Iterator<Item = Page>) -> Result<(), BoxError> {
        // The lock is held over the push: a later handler finds the pages that did not fit.
        let mut frontier = self.frontier.lock().unwrap();
        frontier.extend(pages);
        *frontier = self.pusher.try_push(frontier.drain(..))?.rest;
        Ok(())
    }
}

impl Handler for Crawler {
    type In = Page;
    type Out = Page;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Page>,
    ) -> Result<Next<Page, OneBatcher>, BoxError> {
        let page = *message.data();
        tokio::task::yield_now().await;
        if self.batched {
            return Ok(Next::batch(OneBatcher, page));
        }
        self.found(page.links())?;
        Ok(Next::Ack)
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<Page>) -> Result<(), BoxError> {
        self.found(batch.data().iter().flat_map(|page| page.links()))
    }
}

async fn crawl(processors: usize, pushed_max: usize, batched: bool) {
    let pusher = Pusher::new();
    let pipeline = Pipeline::new(source::idle(), Crawler::new(&pusher, batched))
        .processors(Processors::new(processors).max_demand(5))
        .batchers(|OneBatcher| Batching::new(50, SECOND))
        .pusher(&pusher)
        .pushed_max(pushed_max);
    let topology = pipeline.start().await.unwrap();
    topology.push([Page { depth: 0 }]).await.unwrap();
    let idle = tokio::time::timeout(SECOND * 3_600, topology.wait_idle()).await;
    idle.unwrap_or_else(|_| panic!("it stops at {:?}", topology.totals()));
    assert_eq!(
        topology.totals().done,
        PAGES,
        "idle when all is done, not before"
    );
    assert_eq!(drained(&topology).await.done, PAGES);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_pushes_new_work_reaches_the_end() {
    for processors in [1, 4] {
        for batched in [false, true] {
            crawl(processors, 10_000, batched).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_do_not_fit_can_be_kept_and_pushed_later() {
    for pushed_max in [3, 50] {
        for batched in [false, true] {
            crawl(2, pushed_max, batched).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wait_idle_does_not_return_while_a_message_is_in_flight() {
    for _ in 0..20 {
        crawl(6, 10_000, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn try_push_accepts_the_messages_that_fit_and_returns_the_rest() {
    let (pipeline, _feed) = fed(Script::<u64>::new().wait(|_| Wait::Ever));
    let pipeline = pipeline.processors(Processors::new(1).max_demand(1));
    let topology = pipeline.pushed_max(5).start().await.unwrap();
    let pushed = topology.try_push(0..20).unwrap();
    assert_eq!(pushed.receipts.len(), 5);
    assert_eq!(pushed.rest, (5..20).collect::<Vec<_>>());
    settle_down().await;
    // The only processor has taken one.
    assert_eq!(topology.try_push(5..20).unwrap().receipts.len(), 1);
    assert_eq!(topology.try_push([7]).unwrap().rest, [7]);
    assert_eq!(topology.totals().received, 6);
    topology.abort().await.unwrap_err();
    assert_eq!(topology.try_push([8]).unwrap_err().into_messages(), [8]);
}

#[tokio::test(start_paused = true)]
async fn receipts_of_try_push_report_how_each_message_ended() {
    let script = Script::<u64>::new().message(|message| match message.data() % 2 {
        0 => Ok(Next::Ack),
        _ => Err("odd".into()),
    });
    let (pipeline, _feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    let ended = outcomes(topology.try_push(0..4).unwrap().receipts).await;
    let done: Vec<_> = ended.iter().map(Outcome::is_done).collect();
    assert_eq!(done, [true, false, true, false]);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_pusher_accepts_messages_only_while_its_topology_does() {
    let pusher = Pusher::new();
    assert_eq!(pusher.try_push([1]).unwrap_err().into_messages(), [1]);
    let (pipeline, _feed) = fed(Script::<u64>::new().wait(|_| Wait::For(SECOND)));
    let topology = pipeline.pusher(&pusher).start().await.unwrap();
    let mut receipts = pusher.try_push([1]).unwrap().receipts;
    receipts.extend(pusher.clone().push([2]).await.unwrap());
    assert_eq!(outcomes(receipts).await.len(), 2);
    let drain = topology.drain();
    drain.await.unwrap();
    assert_eq!(pusher.try_push([3]).unwrap_err().into_messages(), [3]);
    assert_eq!(pusher.push([4]).await.unwrap_err().into_messages(), [4]);
    drop(topology);
    assert_eq!(pusher.push([5]).await.unwrap_err().into_messages(), [5]);
}

/// The handler is called with the first message of the source before `start` returns.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pusher_is_connected_before_its_handler_is_called() {
    for _ in 0..50 {
        let pusher = Pusher::new();
        let to = pusher.clone();
        let handler = handler_fn_async(async move |message: &mut Message<u64>| {
            let n = *message.data();
            let pushed = to.try_push((n > 0).then(|| n - 1))?;
            assert!(pushed.rest.is_empty());
            Ok(())
        });
        let (source, feed) = broadway_core::testing::manual_source();
        let receipts = feed.push_all([3, 3, 3]);
        let pipeline = Pipeline::new(source, handler).pusher(&pusher);
        let topology = pipeline.start().await.unwrap();
        for receipt in receipts {
            assert!(receipt.outcome().await.unwrap().is_done());
        }
        topology.wait_idle().await;
        assert_eq!(drained(&topology).await.done, 12);
    }
}

#[tokio::test(start_paused = true)]
async fn wait_idle_returns_at_once_without_messages_and_at_the_end_of_the_topology() {
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::Ever));
    let topology = pipeline.start().await.unwrap();
    topology.wait_idle().await;
    feed.push(1);
    feed.wait_delivered(1).await;
    settle_down().await;
    let idle = tokio::time::timeout(SECOND * 3_600, topology.wait_idle()).await;
    assert!(idle.is_err(), "a message is in flight");
    let (idle, _) = tokio::join!(
        tokio::time::timeout(SECOND * 3_600, topology.wait_idle()),
        topology.abort()
    );
    idle.expect("it has ended");
}
