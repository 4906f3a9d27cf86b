//! Reads the ledger from its beginning, and panics at the first line that must not be there.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use crate::{
    figures::Figures,
    ledger::{Line, Settlement, Stage, What},
    plan::{IDS, Plan},
};

/// What is known of one delivery.
#[derive(Default)]
struct Delivery {
    id: u64,
    failures: [u32; 2],
    /// It must not be handled before.
    not_before: Option<Instant>,
    written: bool,
    condemned: bool,
    rejected: bool,
    done_seen: bool,
    arrived: bool,
    confirmed: bool,
    refused: bool,
    settled: bool,
}

pub(crate) struct Audit<'a> {
    plan: &'a Plan,
    deliveries: HashMap<usize, Delivery>,
    /// The last write of each delivery, by the number of the line.
    last_writes: HashMap<(usize, usize, Stage), usize>,
    in_sink: HashSet<u64>,
    in_letters: HashSet<u64>,
    figures: Figures,
}

impl<'a> Audit<'a> {
    /// Reads all lines.
    pub(crate) fn of(plan: &'a Plan, lines: &[Line]) -> Self {
        let mut audit = Self {
            plan,
            deliveries: HashMap::new(),
            last_writes: HashMap::new(),
            in_sink: HashSet::new(),
            in_letters: HashSet::new(),
            figures: Figures::default(),
        };
        for (index, line) in lines.iter().enumerate() {
            if let Err(wrong) = audit.read(index, line) {
                let of_this = lines[..=index].iter();
                let history: Vec<_> = of_this
                    .filter(|other| other.number == line.number)
                    .map(|line| (line.topology, line.at, &line.what))
                    .collect();
                let id = audit.deliveries[&line.number].id;
                let fate = audit.plan.fate(id);
                panic!("{wrong}: id {id}, {fate:?}, {history:#?}");
            }
        }
        audit
    }

    fn read(&mut self, index: usize, line: &Line) -> Result<(), String> {
        if let What::Delivered { id } = line.what {
            let delivery = Delivery {
                id,
                ..Delivery::default()
            };
            self.figures.deliveries += 1;
            let before = self.deliveries.insert(line.number, delivery);
            return check(before.is_none(), "a number was delivered twice");
        }
        let delivery = self.deliveries.get_mut(&line.number);
        let delivery = delivery.ok_or("it was never delivered")?;
        check(!delivery.settled, "after its settlement")?;
        let attempts = self.plan.policies.map(|policy| policy.attempts);
        match &line.what {
            What::Begun { attempt } => {
                let expected = delivery.failures[0] + 1;
                check(*attempt == expected, "an attempt was counted wrong")?;
                check(*attempt <= attempts[0], "too many attempts")?;
                check(
                    delivery.not_before <= Some(line.at),
                    "before its pause was over",
                )
            }
            What::Batched => {
                check(
                    delivery.failures[1] < attempts[1],
                    "too many attempts in batches",
                )?;
                check(
                    delivery.not_before <= Some(line.at),
                    "before its pause was over",
                )
            }
            What::Failed(stage) => {
                let index = usize::from(*stage == Stage::Batch);
                delivery.failures[index] += 1;
                let pause = self.plan.policies[index].pause_min(delivery.failures[index]);
                delivery.not_before = Some(line.at + pause);
                self.figures.failures[index] += 1;
                Ok(())
            }
            What::Postponed(delay) => {
                delivery.not_before = Some(line.at + *delay);
                self.figures.postponed += 1;
                Ok(())
            }
            What::Rejected => set(&mut delivery.rejected),
            What::Condemned => {
                self.figures.condemned += 1;
                set(&mut delivery.condemned)
            }
            What::DoneSeen => {
                check(delivery.written, "`handle_done` saw what was not written")?;
                check(!delivery.done_seen, "`handle_done` saw it twice")?;
                set(&mut delivery.done_seen)
            }
            What::Written(stage) => {
                let key = (line.topology, line.number, *stage);
                self.last_writes.insert(key, index);
                self.in_sink.insert(delivery.id);
                self.figures.written += 1;
                let is_doomed = self.plan.fate(delivery.id).is_doomed();
                check(!is_doomed, "in the sink, where it must never be")?;
                set(&mut delivery.written)
            }
            What::Overlaps => check(!self.plan.by_key, "together with another of its key"),
            _ => self.read_end(line),
        }
    }

    /// Reads a line about a dead letter or a settlement.
    fn read_end(&mut self, line: &Line) -> Result<(), String> {
        let delivery = self.deliveries.get_mut(&line.number);
        let delivery = delivery.ok_or("it was never delivered")?;
        let figures = &mut self.figures;
        match &line.what {
            What::LetterArrived => {
                figures.letters += 1;
                self.in_letters.insert(delivery.id);
                check_letter(self.plan, delivery)?;
                set(&mut delivery.arrived)
            }
            What::LetterConfirmed => {
                check(delivery.arrived, "confirmed before it arrived")?;
                check(!delivery.confirmed, "sent again though it was confirmed")?;
                set(&mut delivery.confirmed)
            }
            What::LetterUnconfirmed => {
                figures.unconfirmed += 1;
                check_letter(self.plan, delivery)
            }
            What::LetterRefused => {
                figures.refused += 1;
                check_letter(self.plan, delivery)?;
                set(&mut delivery.refused)
            }
            What::Settled(settlement) => {
                delivery.settled = true;
                check_settlement(self.plan, delivery, *settlement)?;
                figures.released += u64::from(*settlement == Settlement::Released);
                figures.failed += u64::from(*settlement == Settlement::Failed);
                Ok(())
            }
            other => Err(format!("unexpected: {other:?}")),
        }
    }

    /// Checks what only the end shows, and returns how often things happened.
    pub(crate) fn figures(mut self) -> Figures {
        for id in 0..IDS {
            let (written, letter) = (self.in_sink.contains(&id), self.in_letters.contains(&id));
            let fate = self.plan.fate(id);
            assert!(written || letter, "id {id} is missing: {fate:?}");
        }
        if self.plan.is_ordered() {
            self.assert_order();
        }
        self.figures.ids = IDS;
        self.figures
    }

    /// Within a topology, the last writes of a key are in the order of their delivery. Not the first ones: what succeeded in a batch
    /// behind a failure of its key is written once more, behind it.
    fn assert_order(&self) {
        let mut writes: Vec<_> = self.last_writes.iter().collect();
        writes.sort_unstable_by_key(|(_, index)| **index);
        let mut last = HashMap::new();
        for ((topology, number, stage), _) in writes {
            let key = self.plan.fate(self.deliveries[number].id).key;
            let before = last.insert((topology, key, stage), number);
            assert!(
                before < Some(number),
                "key {key}: delivery {number} was written after {before:?}, at {stage:?}"
            );
        }
    }
}

fn check(is_right: bool, wrong: &str) -> Result<(), String> {
    is_right.then_some(()).ok_or_else(|| wrong.to_owned())
}

fn set(flag: &mut bool) -> Result<(), String> {
    *flag = true;
    Ok(())
}

/// A dead letter was sent: was it time?
fn check_letter(plan: &Plan, delivery: &Delivery) -> Result<(), String> {
    let fate = plan.fate(delivery.id);
    check(!delivery.rejected, "a dead letter of a rejected message")?;
    check(
        fate.is_doomed() || delivery.condemned,
        "a dead letter of a message that would have succeeded",
    )?;
    let is_final = delivery.condemned || fate.fails_at_once();
    let used_up = delivery.failures.iter().zip(&plan.policies);
    let is_used_up = used_up
        .into_iter()
        .any(|(failures, policy)| *failures == policy.attempts);
    check(
        is_final || is_used_up,
        "a dead letter before its attempts were used up",
    )
}

fn check_settlement(
    plan: &Plan,
    delivery: &Delivery,
    settlement: Settlement,
) -> Result<(), String> {
    match settlement {
        Settlement::Done if delivery.confirmed => {
            check(!delivery.done_seen, "`handle_done` saw what failed")?;
            // Written, and then handled once more behind a failure of its key, in a batch that failed.
            let is_once = !delivery.written || (plan.by_key && delivery.condemned);
            check(is_once, "in the sink, and among the dead letters")
        }
        Settlement::Done => {
            check(
                delivery.written,
                "done, but neither written nor confirmed as a dead letter",
            )?;
            check(
                !delivery.arrived,
                "done while its dead letter was not confirmed",
            )?;
            check(delivery.done_seen, "done, and `handle_done` did not see it")
        }
        Settlement::Failed => {
            check(
                !delivery.confirmed,
                "failed, though its dead letter was confirmed",
            )?;
            check(
                delivery.rejected || delivery.refused,
                "failed, though no dead letter was refused",
            )
        }
        Settlement::Released => {
            check(
                !delivery.confirmed,
                "released after its dead letter was confirmed",
            )?;
            // Written, and then it waits behind a failure of its key.
            check(
                !delivery.written || plan.by_key,
                "released after it was written",
            )
        }
    }
}
