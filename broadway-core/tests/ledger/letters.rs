//! The dead-letter broker: slow, cut off for a while, and it refuses letters and loses responses.

use std::{
    str,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{BoxError, Outgoing, PublishError, Publisher};
use tokio::time::Instant;

use crate::{
    ledger::{Ledger, What},
    plan::{Dice, Plan},
    tap::{DELIVERY, NUMBER},
};

/// Clones are the same broker.
#[derive(Clone)]
pub(crate) struct Letters(Arc<Shared>);

struct Shared {
    plan: Arc<Plan>,
    ledger: Arc<Ledger>,
    dice: Mutex<Dice>,
    cut_until: Mutex<Instant>,
}

impl Letters {
    pub(crate) fn new(plan: &Arc<Plan>, ledger: &Arc<Ledger>, dice: Dice) -> Self {
        Self(Arc::new(Shared {
            plan: Arc::clone(plan),
            ledger: Arc::clone(ledger),
            dice: Mutex::new(dice),
            cut_until: Mutex::new(Instant::now()),
        }))
    }

    /// Confirms nothing for this time.
    pub(crate) fn cut(&self, time: Duration) {
        *self.0.cut_until.lock().expect("no panic") = Instant::now() + time;
    }

    fn is_cut(&self) -> bool {
        Instant::now() < *self.0.cut_until.lock().expect("no panic")
    }

    async fn travel(&self, max_ms: u64) {
        let time = self.0.dice.lock().expect("no panic").ms(max_ms);
        tokio::time::sleep(time).await;
    }

    /// Receives one letter. An error is written at once, a confirmation when it gets to the publisher.
    fn receive(&self, letter: &Outgoing) -> Result<usize, PublishError> {
        let (id, number, delivery) = parts(letter);
        let (ledger, fate) = (&self.0.ledger, self.0.plan.fate(id));
        if u64::from(fate.refused) >= delivery {
            ledger.write(number, What::LetterRefused);
            return Err(PublishError::refused("no permission"));
        }
        ledger.write(number, What::LetterArrived);
        if self.0.dice.lock().expect("no panic").one_in(12) {
            ledger.write(number, What::LetterUnconfirmed);
            return Err(PublishError::unconfirmed("the response was lost"));
        }
        Ok(number)
    }
}

/// Returns the id, the number of the delivery, and how often the id was delivered.
fn parts(letter: &Outgoing) -> (u64, usize, u64) {
    let number = |bytes: &[u8]| {
        let text = str::from_utf8(bytes).expect("text");
        text.parse::<u64>().expect("a number")
    };
    let header = |name: &str| {
        let mut headers = letter.headers().iter();
        let header = headers.find(|header| header.name == name);
        let value = header.and_then(|header| header.value.as_bytes());
        number(value.expect("a dead letter has the headers of its message"))
    };
    let id = number(letter.payload().expect("the payload of its message"));
    (id, header(NUMBER) as usize, header(DELIVERY))
}

impl Publisher for Letters {
    async fn publish(&self, letters: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        self.travel(10).await;
        if self.is_cut() {
            self.travel(2_000).await;
            let lost = |letter: &Outgoing| {
                self.0
                    .ledger
                    .write(parts(letter).1, What::LetterUnconfirmed);
                Err(PublishError::unconfirmed("no route"))
            };
            return letters.iter().map(lost).collect();
        }
        let received: Vec<_> = letters.iter().map(|letter| self.receive(letter)).collect();
        // A kill while the confirmations travel makes letters twice.
        self.travel(10).await;
        let confirm = |received: Result<usize, PublishError>| {
            received.map(|number| self.0.ledger.write(number, What::LetterConfirmed))
        };
        received.into_iter().map(confirm).collect()
    }

    async fn flush(&self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), BoxError> {
        Ok(())
    }
}
