//! How do members share the work, within one process? (And later, with the same code, across machines: `kafka.rs`.)
//!
//! Run: `cargo run --features queue --example scaling_out_queue`
//!
//! Places 300 orders in six seconds. The pipeline `one` reads all four partitions. After two seconds `two` joins the group: `one`
//! finishes its messages of two partitions, and gives them up. After two more seconds `one` leaves, and `two` reads them all.
//! Each order is counted once, and each customer stays in one partition:
//!
//! ```text
//! one: reads scaling-out[0]            … and [1], [2], [3]
//! one: barbara is in scaling-out[3]    … and each other customer in its partition
//! -- two joins
//! one: gives up scaling-out[3]         … and [2]
//! two: reads scaling-out[3]            … and [2]
//! two: barbara is in scaling-out[3]
//! -- one leaves
//! one: gives up scaling-out[0]         … and [1]
//! two: reads scaling-out[0]            … and [1]
//! ada: 50 orders                       … and 50 of each other customer
//! ```

mod orders;

use std::{env, fs, process, time::Duration};

use broadway::{
    BoxError, Publisher,
    queue::{Queue, QueuePublisher, TopicOptions},
};
use tokio::time::sleep;

use crate::orders::{Counts, GROUP, PARTITIONS, TOPIC};

const ORDERS: usize = 300;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let folder = env::temp_dir().join(format!("broadway-scaling-out-{}", process::id()));
    let topic = TopicOptions::new().partitions(PARTITIONS.into());
    let publisher = QueuePublisher::topic(&folder, TOPIC)
        .create_with(topic)
        .open()
        .await?;
    let source = Queue::topic(&folder, TOPIC).group(GROUP);

    let counts = Counts::default();
    let one = orders::start(source.clone(), "one", Counts::clone(&counts)).await?;
    let customers = tokio::spawn(async move {
        orders::place(&publisher, ORDERS).await?;
        publisher.close().await
    });

    sleep(Duration::from_secs(2)).await;
    println!("-- two joins");
    let two = orders::start(source, "two", Counts::clone(&counts)).await?;

    sleep(Duration::from_secs(2)).await;
    println!("-- one leaves");
    let by_one = one.drain().await?.done;

    customers.await??;
    // A queue has no end: stop after the last order.
    while by_one + two.totals().done < ORDERS as u64 {
        sleep(Duration::from_millis(20)).await;
    }
    two.drain().await?;
    orders::print(&counts);
    fs::remove_dir_all(folder)?;
    Ok(())
}
