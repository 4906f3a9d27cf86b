//! Inline tasks: no wake is lost, whichever thread runs the task, and its values are dropped once.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use loom::{future::block_on, sync::Mutex, thread};

use super::{inline_guard, inline_task::InlineTask};
use crate::{PREEMPTIONS, check};

/// Counts posts, and wakes the task that waits for them.
#[derive(Clone)]
struct Posts(loom::sync::Arc<Mutex<(usize, Option<Waker>)>>);

impl Posts {
    fn new() -> Self {
        Self(loom::sync::Arc::new(Mutex::new((0, None))))
    }

    fn post(&self) -> Option<Waker> {
        let mut posts = self.0.lock().expect("no panic");
        posts.0 += 1;
        posts.1.take()
    }

    fn post_and_wake(&self) {
        if let Some(waker) = self.post() {
            waker.wake();
        }
    }

    /// Wakes as a link does when an inlet takes.
    fn post_and_run(&self) {
        if let Some(waker) = self.post() {
            inline_guard::allow(|| waker.wake());
        }
    }

    async fn wait_for(&self, n: usize) {
        poll_fn(|cx| self.poll_for(n, cx)).await;
    }

    fn poll_for(&self, n: usize, cx: &mut Context<'_>) -> Poll<()> {
        let mut posts = self.0.lock().expect("no panic");
        if posts.0 == n {
            return Poll::Ready(());
        }
        posts.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[test]
fn a_task_misses_no_wake_whichever_thread_runs_it() {
    check(PREEMPTIONS - 2, || {
        let posts = Posts::new();
        let (running, waking) = (posts.clone(), posts.clone());
        let driver = thread::spawn(move || running.post_and_run());
        let waker = thread::spawn(move || waking.post_and_wake());
        block_on(InlineTask::new(async move { posts.wait_for(2).await }));
        driver.join().expect("no panic");
        waker.join().expect("no panic");
    });
}

#[test]
fn two_threads_that_run_it_do_not_miss_each_other() {
    check(PREEMPTIONS - 3, || {
        let posts = Posts::new();
        let (one, other) = (posts.clone(), posts.clone());
        let one = thread::spawn(move || one.post_and_run());
        let other = thread::spawn(move || other.post_and_run());
        block_on(InlineTask::new(async move { posts.wait_for(2).await }));
        one.join().expect("no panic");
        other.join().expect("no panic");
    });
}

#[test]
fn a_task_that_is_woken_in_its_last_run_learns_that_it_was_the_last() {
    check(PREEMPTIONS - 2, || {
        let (one, other) = (Posts::new(), Posts::new());
        let (waking, running) = (one.clone(), other.clone());
        let waker = thread::spawn(move || waking.post_and_wake());
        let driver = thread::spawn(move || running.post_and_run());
        // Both have its waker while it runs, and either ends it: one may do so while the other wakes it.
        let either = poll_fn(move |cx| {
            let polled = [one.poll_for(1, cx), other.poll_for(1, cx)];
            match polled.iter().any(Poll::is_ready) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        block_on(InlineTask::new(either));
        driver.join().expect("no panic");
        waker.join().expect("no panic");
    });
}

/// Counts how often it is dropped.
struct Owned(Arc<AtomicUsize>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn the_body_of_a_task_that_is_dropped_is_dropped_once_also_while_another_runs_it() {
    check(PREEMPTIONS, || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let owned = Owned(Arc::clone(&dropped));
        let posts = Posts::new();
        let running = posts.clone();
        let mut task = Box::pin(InlineTask::new(async move {
            posts.wait_for(3).await;
            drop(owned);
        }));
        // Polled once, so that it waits.
        block_on(poll_fn(|cx| {
            let polled = task.as_mut().poll(cx);
            assert!(polled.is_pending());
            Poll::Ready(())
        }));
        let driver = thread::spawn(move || {
            running.post_and_run();
            running.post_and_run();
        });
        drop(task);
        driver.join().expect("no panic");
        assert_eq!(dropped.load(SeqCst), 1, "gone, and once");
    });
}
