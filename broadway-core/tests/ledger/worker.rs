//! The handler, which does what the fates say, and writes what it does.

use std::{sync::Arc, time::Duration};

use broadway_core::{
    Batch, BoxError, Chunk, ClassifiedError, FailureAction, Handler, Message, Next, OneBatcher,
    permanent, poison, postpone, transient,
};

use crate::{
    ledger::{Ledger, Stage, What},
    plan::{Plan, PlannedBatchFault, PlannedFault},
    tap::Order,
};

/// How long the handler lets a call hang.
const PATIENCE: Duration = Duration::from_millis(60);

pub(crate) struct Worker {
    pub(crate) plan: Arc<Plan>,
    pub(crate) ledger: Arc<Ledger>,
}

/// How a whole batch fails.
#[derive(PartialEq, Eq)]
enum Whole {
    Error,
    Hang,
    Permanent,
    Panic,
}

/// A call that hangs, and the timeout of its caller.
async fn hang() -> BoxError {
    let hanging = std::future::pending::<()>();
    let timed_out = tokio::time::timeout(PATIENCE, hanging).await;
    timed_out.expect_err("it hangs").into()
}

/// Without the hook that prints.
fn panic() -> ! {
    std::panic::resume_unwind(Box::new("asked to panic"))
}

impl Worker {
    fn failures(&self, order: &Order, stage: Stage) -> u32 {
        self.ledger.failures(order.number, stage)
    }

    fn write(&self, order: &Order, what: What) {
        self.ledger.write(order.number, what);
    }

    /// Returns the error that ends this attempt, if one does.
    async fn inject_fault(&self, order: &Order) -> Result<(), BoxError> {
        let failures = self.failures(order, Stage::Message);
        let failed = |error: BoxError| {
            self.write(order, What::Failed(Stage::Message));
            Err(error)
        };
        match self.plan.fate(order.id).fault {
            PlannedFault::Errors(times) if failures < times => failed(match failures % 2 {
                0 => "busy".into(),
                _ => transient("busy"),
            }),
            PlannedFault::Hangs(times) if failures < times => failed(hang().await),
            PlannedFault::Postponed(times) if self.ledger.postponed(order.number) < times => {
                let delay = Duration::from_millis(40);
                self.write(order, What::Postponed(delay));
                Err(postpone(delay))
            }
            PlannedFault::Rejected if order.delivery == 1 => {
                self.write(order, What::Rejected);
                let error = ClassifiedError::permanent("not here");
                failed(error.then(FailureAction::Reject).into())
            }
            PlannedFault::HangsUntilKilled
                if self.plan.kills > 0 && self.ledger.topology() == 0 =>
            {
                std::future::pending().await
            }
            PlannedFault::Permanent => failed(permanent("never")),
            PlannedFault::Poison => failed(poison("not an order")),
            PlannedFault::Panics => {
                self.write(order, What::Failed(Stage::Message));
                panic()
            }
            _ => Ok(()),
        }
    }

    fn batch_fault(&self, order: &Order) -> PlannedBatchFault {
        self.plan.fate(order.id).batch.expect("it is in a batch")
    }

    /// Returns how the batch fails as a whole, if it does.
    fn whole(&self, orders: &[Order]) -> Option<Whole> {
        let causes = orders.iter().filter_map(|order| {
            let failures = self.failures(order, Stage::Batch);
            match self.batch_fault(order) {
                PlannedBatchFault::Whole(times) if failures < times => Some(Whole::Error),
                PlannedBatchFault::WholeHangs(times) if failures < times => Some(Whole::Hang),
                PlannedBatchFault::WholePermanent => Some(Whole::Permanent),
                PlannedBatchFault::WholePanics => Some(Whole::Panic),
                _ => None,
            }
        });
        causes.max_by_key(|whole| match whole {
            Whole::Error => 0,
            Whole::Hang => 1,
            Whole::Permanent => 2,
            Whole::Panic => 3,
        })
    }

    /// Returns the reason for which one row fails, if it does.
    fn row(&self, order: &Order) -> Option<BoxError> {
        match self.batch_fault(order) {
            PlannedBatchFault::Row(times) if self.failures(order, Stage::Batch) < times => {
                Some("busy".into())
            }
            PlannedBatchFault::RowPermanent => Some(permanent("never")),
            _ => None,
        }
    }
}

impl Handler for Worker {
    type In = Order;
    type Out = Order;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Order>,
    ) -> Result<Next<Order, OneBatcher>, BoxError> {
        let attempt = message.attempt();
        let order = message.data().clone();
        self.write(&order, What::Begun { attempt });
        let _busy = self
            .ledger
            .begin(std::slice::from_ref(&order), Stage::Message);
        let fate = self.plan.fate(order.id);
        tokio::time::sleep(fate.work).await;
        self.inject_fault(&order).await?;
        if fate.batch.is_none() {
            self.write(&order, What::Written(Stage::Message));
            return Ok(Next::Ack);
        }
        Ok(Next::batch(OneBatcher, order))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<Order>) -> Result<(), BoxError> {
        let orders = batch.data().to_vec();
        for order in &orders {
            self.write(order, What::Batched);
        }
        let _busy = self.ledger.begin(&orders, Stage::Batch);
        tokio::time::sleep(self.plan.fate(orders[0].id).work).await;
        let whole = self.whole(&orders);
        let hung = match whole {
            Some(Whole::Hang) => Some(hang().await),
            _ => None,
        };
        // Nothing waits from here on: what is written is what happens.
        let rows: Vec<_> = batch.rows().map(|row| row.id()).collect();
        for (row, order) in rows.into_iter().zip(&orders) {
            if let Some(error) = self.row(order) {
                self.write(order, What::Failed(Stage::Batch));
                batch.fail(row, error);
                continue;
            }
            match whole {
                None => self.write(order, What::Written(Stage::Batch)),
                Some(Whole::Permanent | Whole::Panic) => {
                    self.write(order, What::Failed(Stage::Batch));
                    self.write(order, What::Condemned);
                }
                Some(_) => self.write(order, What::Failed(Stage::Batch)),
            }
        }
        match whole {
            None => Ok(()),
            Some(Whole::Error) => Err("busy".into()),
            Some(Whole::Hang) => Err(hung.expect("it hung")),
            Some(Whole::Permanent) => Err(permanent("never")),
            Some(Whole::Panic) => panic(),
        }
    }

    async fn handle_done(&self, done: &mut Chunk<'_, Order>) {
        for message in done.iter_mut() {
            self.write(message.data(), What::DoneSeen);
        }
    }
}
