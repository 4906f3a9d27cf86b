//! How does a handler add messages to its own pipeline without deadlock, and when is the pipeline done?
//!
//! Run: `cargo run --example crawler`
//!
//! The site is fictional: 3,280 pages, each with links to three others, and fetching a page takes a
//! millisecond. The handler pushes the links of its page with `try_push`, which does not wait. Links
//! that exceed `pushed_max` (small here, to show it) stay in the frontier and are pushed after a later
//! page. When no message is in flight, all pages have been found. Prints `crawled 3280 pages`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway::{BoxError, Handler, Message, Next, NoBatcher, Pipeline, Processors, Pusher, source};

struct Page {
    depth: u32,
    path: String,
}

#[derive(Clone)]
struct Crawler {
    pusher: Pusher<Page>,
    frontier: Arc<Mutex<Vec<Page>>>,
}

impl Crawler {
    /// Simulates fetching the page and extracting its links.
    async fn links(page: &Page) -> Vec<Page> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let depth = page.depth + 1;
        let path = |n| format!("{}/{n}", page.path);
        let links = if depth <= 7 { 3 } else { 0 };
        (0..links)
            .map(|n| Page {
                depth,
                path: path(n),
            })
            .collect()
    }

    fn found(&self, pages: Vec<Page>) -> Result<(), BoxError> {
        // Hold the lock over both steps: the remaining links must be in the frontier before another handler looks.
        let mut frontier = self.frontier.lock().map_err(|_| "a handler panicked")?;
        frontier.extend(pages);
        let all = std::mem::take(&mut *frontier);
        *frontier = self.pusher.try_push(all)?.rest;
        Ok(())
    }
}

impl Handler for Crawler {
    type In = Page;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Page>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        let links = Self::links(message.data()).await;
        self.found(links)?;
        Ok(Next::Ack)
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let pusher = Pusher::new();
    let crawler = Crawler {
        pusher: pusher.clone(),
        frontier: Arc::default(),
    };
    let topology = Pipeline::new(source::idle(), crawler)
        .name("crawler")
        .processors(Processors::new(20))
        .pusher(&pusher)
        .pushed_max(100)
        .start()
        .await?;
    let start = Page {
        depth: 0,
        path: String::new(),
    };
    topology.push([start]).await?;
    topology.wait_idle().await;
    let totals = topology.drain().await?;
    println!("crawled {} pages", totals.done);
    Ok(())
}
