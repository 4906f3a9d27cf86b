//! [`Headcount`]: how many workers of one kind there should be, and which of them are there.
//!
//! Workers have numbers from 0. When fewer are wanted, those with the highest numbers leave: each looks at the target
//! before it waits for work, which costs one load, and again after it has parked. **No wake is lost** in between: the caller that lowers the
//! target stores it first and then wakes the parked workers under the lock of their link, under which they have parked. So a worker
//! either parked before that, and is woken, or parks afterwards, and then sees the new target.
//!
//! Whether a worker leaves is decided under the lock that also changes the target. So a worker that was asked to leave, and is wanted
//! again before it has left, stays, and no second one is hired for its number.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// The number of workers that are wanted, and the workers that are there.
#[derive(Debug, Default)]
pub(crate) struct Headcount {
    /// Changed under the lock of `present`.
    target: AtomicUsize,
    /// By number.
    present: Mutex<Vec<bool>>,
}

impl Headcount {
    /// Sets how many workers are wanted. Returns how many were before, and the numbers of those that must be hired.
    pub(crate) fn set(&self, target: usize) -> (usize, Vec<usize>) {
        let mut present = self.lock();
        let before = self.target.swap(target, Ordering::Relaxed);
        if present.len() < target {
            present.resize(target, false);
        }
        let hired: Vec<_> = (0..target).filter(|worker| !present[*worker]).collect();
        present[..target].fill(true);
        (before, hired)
    }

    fn leave(&self, worker: usize) -> bool {
        let mut present = self.lock();
        let leaves = worker >= self.target.load(Ordering::Relaxed);
        if leaves {
            present[worker] = false;
        }
        leaves
    }

    fn lock(&self) -> MutexGuard<'_, Vec<bool>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The post of one worker.
#[derive(Debug)]
pub(crate) struct Post {
    headcount: Arc<Headcount>,
    worker: usize,
}

impl Post {
    pub(crate) fn new(headcount: &Arc<Headcount>, worker: usize) -> Self {
        Self {
            headcount: Arc::clone(headcount),
            worker,
        }
    }

    /// Whether its worker must leave. Once this has returned true, the worker counts as gone, and must take no more work.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        let is_surplus = self.worker >= self.headcount.target.load(Ordering::Relaxed);
        is_surplus && self.headcount.leave(self.worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_wanted_again_before_it_left_stays() {
        let headcount = Arc::new(Headcount::default());
        assert_eq!(headcount.set(3), (0, vec![0, 1, 2]));
        let posts: Vec<_> = (0..3).map(|worker| Post::new(&headcount, worker)).collect();
        assert_eq!(headcount.set(1), (3, vec![]));
        assert!(posts[2].is_over());
        assert_eq!(headcount.set(3), (1, vec![2]), "1 is there still");
        assert!(!posts[1].is_over());
        assert_eq!(headcount.set(3), (3, vec![]));
    }

    #[test]
    fn those_with_the_highest_numbers_leave() {
        let headcount = Arc::new(Headcount::default());
        let _hired = headcount.set(4);
        let _hired = headcount.set(2);
        let over: Vec<_> = (0..4)
            .map(|worker| Post::new(&headcount, worker).is_over())
            .collect();
        assert_eq!(over, [false, false, true, true]);
    }
}
