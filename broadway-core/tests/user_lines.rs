//! A panic of a method that was given something wrong names the line of the user, and not one of ours.
//!
//! A program of its own, since the panic hook is one for all.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test as tests do"
)]

use std::{
    panic,
    sync::{Arc, Mutex},
};

use broadway_core::{
    Batch, BoxError, Callback, Handler, Message, Next, OneBatcher, Pipeline, RowId, source,
    testing::{Fault, FaultPlan, Recorder, assert_order_per_key, manual_source},
};

/// Lines of this file at which something panicked.
type Lines = Arc<Mutex<Vec<u32>>>;

/// Keeps a row of its first batch, and uses it with the next.
struct KeepsARow {
    kept: Mutex<Option<RowId>>,
    acks: bool,
}

impl Handler for KeepsARow {
    type In = u64;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, *message.data()).flush())
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        let row = batch.rows().next().unwrap().id();
        let Some(kept) = self.kept.lock().unwrap().replace(row) else {
            return Ok(());
        };
        if self.acks {
            batch.ack_now([kept]).await?;
        }
        batch.fail(kept, "of another batch");
        Ok(())
    }
}

const ACK_LINE: u32 = 47;
const FAIL_LINE: u32 = 49;

async fn second_batch(acks: bool) {
    let kept = Mutex::new(None);
    let topology = Pipeline::new(source::idle(), KeepsARow { kept, acks })
        .start()
        .await
        .unwrap();
    for number in 0..2 {
        let receipts = topology.push([number]).await.unwrap();
        for receipt in receipts {
            let outcome = receipt.outcome().await.unwrap();
            assert_eq!(outcome.is_failed(), number == 1);
        }
    }
    topology.drain().await.unwrap();
}

fn hear_panics() -> Lines {
    let lines = Lines::default();
    let heard = Arc::clone(&lines);
    panic::set_hook(Box::new(move |info| {
        let location = info.location().unwrap();
        let ours = location.file().ends_with("tests/user_lines.rs");
        let line = if ours { location.line() } else { 0 };
        heard.lock().unwrap().push(line);
    }));
    lines
}

#[tokio::test]
async fn a_panic_on_wrong_input_names_the_line_of_the_user() {
    let lines = hear_panics();
    let took = || std::mem::take(&mut *lines.lock().unwrap());

    second_batch(false).await;
    assert_eq!(took(), [FAIL_LINE], "Batch::fail");
    second_batch(true).await;
    assert_eq!(took(), [ACK_LINE], "Batch::ack_now");

    let (source, feed) = manual_source::<u64>();
    drop(source);
    feed.end();
    let plan = FaultPlan::new();
    plan.at(Callback::Open, 0, Fault::Hang);
    let recorder = Recorder::new();
    let mut calls: Vec<(Box<dyn FnMut()>, u32)> = vec![
        (Box::new(|| drop(feed.push(1))), line!()),
        (Box::new(|| drop(feed.push_all([1]))), line!()),
        (
            Box::new(|| plan.at(Callback::Open, 0, Fault::Hang)),
            line!() - 1,
        ),
        (Box::new(|| assert_order_per_key([(1, 2), (1, 1)])), line!()),
    ];
    for (call, line) in &mut calls {
        panic::catch_unwind(panic::AssertUnwindSafe(call)).unwrap_err();
        assert_eq!(took(), [*line]);
    }
    assert_eq!(recorder.sum("produced", "count"), 0);
    drop(panic::take_hook());
}
