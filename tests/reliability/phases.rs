//! The runs of a broker.

use std::{net::SocketAddr, time::Duration};

use tokio::task::JoinSet;

use crate::{
    broker::Broker,
    nemesis::{Fault, Strike, strikes},
    report::{Figures, HEAD},
    run::{Run, failing_seeds, ids, seed},
    worker::{Process, Task},
};

/// How long the network is silent.
const SILENCE: Duration = Duration::from_secs(2);

/// Runs all of them, one after the other, then prints the figures and checks them.
pub(crate) async fn all<B: Broker>() {
    let Some(broker) = B::find() else { return };
    let (seed, ids) = (seed(), ids(B::IDS));
    let mut all = vec![hostile(&broker, seed, ids / 5).await];
    for variant in 0..B::VARIANTS {
        let share = ids * 3 / 10 / B::VARIANTS as u64;
        all.push(graceful(&broker, seed, share, variant).await);
    }
    match broker.misbehaves() {
        Some(how) => println!("{} faults and failures: left out: {how}", B::NAME),
        None => {
            all.push(faults(&broker, seed, ids / 2).await);
            all.extend(failures(&broker, seed, (ids / 10).max(100)).await);
        }
    }
    println!("{HEAD}");
    let mut complaints = Vec::new();
    for figures in &all {
        println!("{}", figures.line());
        for (what, ids) in [
            ("does not take", &figures.refused),
            ("changed", &figures.damaged),
        ] {
            if !ids.is_empty() {
                println!("{} {what} {:?}", B::NAME, figures.names(ids));
            }
        }
        let of_this = figures.complaints().into_iter();
        complaints.extend(of_this.map(|complaint| format!("{}: {complaint}", figures.phase)));
    }
    assert!(
        complaints.is_empty(),
        "{} with SEED={seed}:\n{}",
        B::NAME,
        complaints.join("\n")
    );
}

/// One worker, and no faults besides the hostile messages.
async fn hostile<B: Broker>(broker: &B, seed: u64, ids: u64) -> Figures {
    let mut run = Run::begin(broker, "hostile".to_owned(), seed, ids).await;
    let worker = run.join(0).await;
    run.until(run.good(1_000), || ()).await;
    worker.drain().await.unwrap();
    run.end(Vec::new(), Some(0)).await
}

/// Workers join and leave while others run: one or two at any time, and three in all.
async fn graceful<B: Broker>(broker: &B, seed: u64, ids: u64, variant: usize) -> Figures {
    let mut run = Run::begin(broker, format!("graceful {variant}"), seed, ids).await;
    let mut worker = run.join(variant).await;
    for _ in 0..2 {
        run.until_at_work(&worker, run.good(150)).await;
        let next = run.join(variant).await;
        run.members += u64::from(run.until_at_work(&next, run.good(30)).await);
        worker.drain().await.unwrap();
        worker = next;
    }
    run.until(run.good(1_000), || ()).await;
    worker.drain().await.unwrap();
    run.end(Vec::new(), Some(0)).await
}

/// Workers are killed, and their network fails.
async fn faults<B: Broker>(broker: &B, seed: u64, ids: u64) -> Figures {
    let run = Run::begin(broker, "faults".to_owned(), seed, ids).await;
    under_faults(run).await
}

/// Handlers fail, hang and panic, and their messages and batches are retried, while workers are killed and the network is cut, that to the
/// dead letters, too. Several seeds at once, if each can have a proxy.
async fn failures<B: Broker>(broker: &B, seed: u64, ids: u64) -> Vec<Figures> {
    let seeds: Vec<_> = (0..failing_seeds()).map(|n| seed + n).collect();
    let mut all = Vec::new();
    for together in seeds.chunks(B::PROXIES) {
        let mut runs = JoinSet::new();
        for &seed in together {
            let broker = broker.clone();
            runs.spawn(async move { failing(&broker, seed, ids).await });
        }
        all.extend(runs.join_all().await);
    }
    all
}

async fn failing<B: Broker>(broker: &B, seed: u64, ids: u64) -> Figures {
    let phase = format!("failures {seed}");
    let run = Run::begin_failing(broker, phase, seed, ids).await;
    under_faults(run).await
}

async fn under_faults<B: Broker>(mut run: Run<B>) -> Figures {
    let broker = run.broker.clone();
    let proxy = broker.proxy().await.unwrap();
    let task = task(&run, proxy.address());
    let mut process = Process::start::<B>(&task);
    let mut struck = Vec::new();
    for Strike { at, fault } in strikes(run.plan) {
        let is_there = run.until(at, || must_live(&mut process)).await;
        if !is_there {
            break;
        }
        match fault {
            Fault::Kill => {
                process.kill();
                process = Process::start::<B>(&task);
            }
            Fault::Cut => proxy.cut(),
            Fault::Silence => {
                proxy.freeze();
                tokio::time::sleep(SILENCE).await;
                proxy.thaw();
            }
        }
        struck.push(fault);
        println!("{fault:?} at {at}, after {} repeats", run.repeated());
    }
    run.until(run.good(1_000), || must_live(&mut process)).await;
    process.ask_to_end();
    while !process.has_drained() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let bound = B::REPEATS_MAX.map(|max| max * struck.len() as u64);
    run.end(struck, bound).await
}

fn task<B: Broker>(run: &Run<B>, via: SocketAddr) -> Task {
    Task {
        plan: run.plan,
        places: run.places.clone(),
        via,
        book: run.book.clone(),
    }
}

fn must_live(process: &mut Process) {
    if let Some(said) = process.has_ended() {
        panic!("a worker ended by itself, with {said}");
    }
}
