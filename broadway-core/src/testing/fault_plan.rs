//! [`FaultPlan`]: when user code fails, and how.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::error::{BoxError, Callback};

/// One way to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Returns an error with this text. A callback that cannot return an error panics with it.
    Error(String),
    /// Panics with this text.
    Panic(String),
    /// Waits until [`FaultPlan::release`], and then continues normally.
    Hang,
}

impl Fault {
    /// [`Fault::Error`]
    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    /// [`Fault::Panic`]
    #[must_use]
    pub fn panic(text: impl Into<String>) -> Self {
        Self::Panic(text.into())
    }
}

/// Plans at which call of which callback a [`Fault`] happens, and counts calls. Clones share one plan.
///
/// Calls are counted from 0, per callback, over all processors and producers together.
#[derive(Clone)]
pub struct FaultPlan {
    shared: Arc<FaultPlanShared>,
}

struct FaultPlanShared {
    state: Mutex<FaultPlanState>,
    /// Changes with each call and each release.
    moved: watch::Sender<u64>,
}

#[derive(Default)]
struct FaultPlanState {
    calls: HashMap<Callback, usize>,
    faults: HashMap<(Callback, usize), Fault>,
    /// How often hanging calls were released.
    releases: u64,
    hanging: usize,
}

impl FaultPlan {
    /// Creates a plan without faults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(FaultPlanShared {
                state: Mutex::new(FaultPlanState::default()),
                moved: watch::Sender::new(0),
            }),
        }
    }

    /// Plans `fault` for the `n`th call of `callback`, from 0.
    ///
    /// # Panics
    ///
    /// Panics if that call was made already or has a fault already: the test would not test what it states.
    #[track_caller]
    pub fn at(&self, callback: Callback, n: usize, fault: Fault) {
        let mut state = self.lock();
        let made = state.calls.get(&callback).copied().unwrap_or(0);
        assert!(
            n >= made,
            "call {n} of {callback} cannot meet a fault: {made} call(s) were made already"
        );
        let before = state.faults.insert((callback, n), fault);
        assert!(
            before.is_none(),
            "call {n} of {callback} has a fault already"
        );
    }

    /// Plans `fault` for the next call of `callback` without a fault.
    pub fn next(&self, callback: Callback, fault: Fault) {
        let mut state = self.lock();
        let mut n = state.calls.get(&callback).copied().unwrap_or(0);
        while state.faults.contains_key(&(callback, n)) {
            n += 1;
        }
        state.faults.insert((callback, n), fault);
    }

    /// Lets every hanging call continue.
    pub fn release(&self) {
        self.lock().releases += 1;
        self.moved();
    }

    /// Returns how many calls of `callback` were made.
    #[must_use]
    pub fn calls(&self, callback: Callback) -> usize {
        self.lock().calls.get(&callback).copied().unwrap_or(0)
    }

    /// Waits until at least `n` calls of `callback` were made.
    pub async fn wait_calls(&self, callback: Callback, n: usize) {
        self.wait(|state| state.calls.get(&callback).is_some_and(|calls| *calls >= n))
            .await;
    }

    /// Waits until at least `n` calls hang at once.
    pub async fn wait_hanging(&self, n: usize) {
        self.wait(|state| state.hanging >= n).await;
    }

    /// Counts a call and applies the fault that was planned for it.
    pub(super) async fn apply(&self, callback: Callback) -> Result<(), BoxError> {
        let (fault, releases) = {
            let mut state = self.lock();
            let calls = state.calls.entry(callback).or_default();
            let n = *calls;
            *calls += 1;
            (state.faults.remove(&(callback, n)), state.releases)
        };
        self.moved();
        match fault {
            None => Ok(()),
            Some(Fault::Error(text)) => Err(text.into()),
            Some(Fault::Panic(text)) => panic!("{text}"),
            Some(Fault::Hang) => {
                let _hanging = HangingCall::new(self);
                self.wait(|state| state.releases > releases).await;
                Ok(())
            }
        }
    }

    async fn wait(&self, reached: impl Fn(&FaultPlanState) -> bool) {
        let mut moved = self.shared.moved.subscribe();
        loop {
            moved.borrow_and_update();
            if reached(&self.lock()) {
                return;
            }
            moved.changed().await.expect("the sender is ours");
        }
    }

    fn moved(&self) {
        self.shared.moved.send_modify(|moved| *moved += 1);
    }

    fn lock(&self) -> MutexGuard<'_, FaultPlanState> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a hanging call, also if it is dropped before it is released.
struct HangingCall<'a>(&'a FaultPlan);

impl<'a> HangingCall<'a> {
    fn new(plan: &'a FaultPlan) -> Self {
        plan.lock().hanging += 1;
        plan.moved();
        Self(plan)
    }
}

impl Drop for HangingCall<'_> {
    fn drop(&mut self) {
        self.0.lock().hanging -= 1;
        self.0.moved();
    }
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("FaultPlan")
            .field("calls", &state.calls)
            .field("faults", &state.faults)
            .field("hanging", &state.hanging)
            .finish()
    }
}
