//! Lendings: one thread has the value at a time, and the owner gets it back.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use loom::{future::block_on, sync::Arc, thread};

use super::{lending::Lending, parts::joined};
use crate::{PREEMPTIONS, check};

/// Notices outside of the model, so that noticing does not change the possible orders.
#[derive(Default)]
struct InUse {
    now: AtomicBool,
    uses: AtomicUsize,
}

impl InUse {
    fn touch(&self) {
        assert!(!self.now.swap(true, SeqCst), "two threads have the value");
        thread::yield_now();
        self.uses.fetch_add(1, SeqCst);
        self.now.store(false, SeqCst);
    }
}

type Lent = Arc<Lending<std::sync::Arc<InUse>>>;

/// Borrows once if it can, uses the value and leaves it as `leave` says.
fn borrower(lending: &Lent, lends_on: bool) -> thread::JoinHandle<()> {
    let lending = lending.clone();
    thread::spawn(move || {
        let Some(mut borrowed) = lending.borrow() else {
            return;
        };
        borrowed.value().touch();
        if lends_on {
            borrowed.lend_on();
        }
    })
}

fn returned(lending: &Lent) -> std::sync::Arc<InUse> {
    block_on(poll_fn(|cx| lending.poll_returned(cx)))
}

#[test]
fn a_recalled_value_comes_back_and_is_not_borrowed_any_more() {
    check(PREEMPTIONS - 1, || {
        let lending = Lent::new(Lending::new());
        lending.lend(std::sync::Arc::default());
        let borrowers = [borrower(&lending, true), borrower(&lending, true)];
        lending.recall();
        let value = returned(&lending);
        assert!(lending.borrow().is_none());
        value.touch();
        borrowers.into_iter().for_each(joined);
    });
}

#[test]
fn a_value_that_a_borrower_returns_wakes_its_owner() {
    check(PREEMPTIONS, || {
        let lending = Lent::new(Lending::new());
        lending.lend(std::sync::Arc::default());
        let borrowing = borrower(&lending, false);
        // Without a recall: only the borrower can end the loan.
        assert_eq!(returned(&lending).uses.load(SeqCst), 1);
        joined(borrowing);
    });
}

#[test]
fn a_value_that_is_recalled_and_returned_at_once_comes_back_once() {
    check(PREEMPTIONS, || {
        let lending = Lent::new(Lending::new());
        lending.lend(std::sync::Arc::default());
        let borrowing = borrower(&lending, false);
        lending.recall();
        let value = returned(&lending);
        lending.lend(value);
        joined(borrowing);
        lending.recall();
        assert!(returned(&lending).uses.load(SeqCst) <= 1);
    });
}
