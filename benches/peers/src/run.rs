//! One run of one program: its topic, and the reports of its handlers.

use std::hint::black_box;

use tokio::sync::watch;

use crate::brokers::clock::{Clock, Cost};
use crate::keys::KeyOrder;
use crate::topic::Topic;

/// Shared by the handlers of a program. It lives as long as the process, so that handlers hold a plain reference.
pub(crate) struct Run {
    pub(crate) topic: Topic,
    pub(crate) group: String,
    /// From the first message to the last.
    handled: Clock,
    /// From the first message to the last commit.
    committed: Clock,
    order: KeyOrder,
    end: watch::Sender<bool>,
}

impl Run {
    pub(crate) fn new(topic: Topic, group: String) -> Self {
        Self {
            handled: Clock::new(topic.messages),
            committed: Clock::new(1),
            order: KeyOrder::new(),
            end: watch::Sender::new(false),
            topic,
            group,
        }
    }

    /// The empty handler: reads the first byte of a message and counts it. Returns whether it was the last.
    pub(crate) fn touch(&self, payload: &[u8]) -> bool {
        self.begin();
        black_box(payload.first());
        self.count(1)
    }

    /// The empty handler of a batch: reads the first byte of each message and counts them together.
    pub(crate) fn touch_batch<'a>(&self, payloads: impl Iterator<Item = &'a [u8]>) {
        self.begin();
        let mut n = 0;
        for payload in payloads {
            black_box(payload.first());
            n += 1;
        }
        self.count(n);
    }

    /// The handler with keys: waits for the time in the message and counts it.
    pub(crate) async fn wait(&self, payload: &[u8]) {
        self.begin();
        self.order.handle(payload).await;
        self.count(1);
    }

    fn begin(&self) {
        self.handled.begin();
        self.committed.begin();
    }

    fn count(&self, n: u64) -> bool {
        let is_last = self.handled.handled(n);
        if is_last {
            self.end.send_replace(true);
        }
        is_last
    }

    /// Waits for the last message.
    pub(crate) async fn all_handled(&self) {
        let mut end = self.end.subscribe();
        end.wait_for(|ended| *ended)
            .await
            .expect("the sender is a field of `self`");
    }

    /// Records that the last commit was confirmed.
    pub(crate) fn all_committed(&self) {
        self.committed.handled(1);
    }

    /// The cost up to the last message, once there was one.
    pub(crate) fn handled_cost(&self) -> Option<Cost> {
        self.handled.cost()
    }

    /// The cost up to the last commit, once it was confirmed.
    pub(crate) fn committed_cost(&self) -> Option<Cost> {
        self.committed.cost()
    }

    /// Whether the messages of each key were handled in order, one at a time.
    pub(crate) fn order_held(&self) -> bool {
        self.order.held()
    }
}
