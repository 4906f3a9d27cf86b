//! How do I write a connector of my own, with a source and a publisher?
//!
//! Run: `cargo run --features portable --example own_connector`
//!
//! The connector is in `spool/`; the guide `docs/writing-a-connector.md` explains it step by step. This program uses it: it publishes ten
//! invoices to a spool folder that also holds one invoice left over from a process that died, and one file that is not a message.
//! Expect invoice 3 to fail once and to be delivered again after its pause, invoice 7 to be put aside, the left-over invoice to be
//! handled like any other, and only two files, in `failed/`, to remain at the end.

pub mod spool;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use broadway::{BoxError, Message, Outgoing, Pipeline, Publisher, Record, handler_fn};
use spool::{AckOptions, Folders, OnFailure, Spool, SpoolPublisher, SpoolRecord};
use tokio::sync::Semaphore;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // The pipeline logs failures and the connector's reports; this subscriber prints them.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let root = std::env::temp_dir().join(format!("broadway-spool-{}", std::process::id()));
    fs::create_dir_all(&root)?;
    publish(&root).await?;
    // A process took this message, with a lease that ended a second after 1970, and died.
    fs::write(root.join("taken/1000~left-over"), "spool 1\n\ninvoice 11")?;
    fs::write(root.join("new/nonsense"), "not a message")?;

    let ended = Arc::new(Semaphore::new(0));
    let handled = Arc::clone(&ended);
    let tries = AtomicU32::new(0);
    let handler = handler_fn(move |message: &mut Message<SpoolRecord>| {
        let invoice = String::from_utf8(message.data().payload().to_vec())?;
        let outcome = match invoice.as_str() {
            "invoice 3" if tries.fetch_add(1, Ordering::Relaxed) == 0 => Err("not yet".into()),
            "invoice 7" => {
                message.configure_ack(AckOptions::new().on_failure(OnFailure::PutAside));
                Err("never".into())
            }
            _ => Ok(()),
        };
        println!("{invoice}: {outcome:?}");
        handled.add_permits(1);
        outcome
    });
    let source = Spool::folder(&root).pause(Duration::from_millis(200));
    let topology = Pipeline::new(source, handler).start().await?;
    // Eleven invoices, and one of them twice.
    ended.acquire_many(12).await?.forget();
    topology.drain().await?;

    let folders = Folders::new(&root);
    let (waiting, taken) = (folders.waiting()?.len(), folders.taken()?.len());
    let failed = fs::read_dir(root.join("failed"))?.count();
    println!("spool: {waiting} waiting, {taken} taken, {failed} put aside");
    fs::remove_dir_all(&root)?;
    Ok(())
}

async fn publish(root: &Path) -> Result<(), BoxError> {
    let publisher = SpoolPublisher::folder(root).open().await?;
    let invoices = (1..=10).map(|n| {
        Outgoing::new(format!("invoice {n}"))
            .key(format!("customer-{}", n % 3))
            .header("content-type", "text/plain")
    });
    for result in publisher.publish(invoices.collect()).await {
        result?;
    }
    publisher.close().await
}
