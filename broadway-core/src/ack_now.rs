//! How `ack_now` inside a callback reaches the engine, which holds the token.
//!
//! The callback's future and the engine's loop run on the same thread, one inside a poll of the other. So a request is left in a
//! thread-local list, with a cell for its answer, and the future returns pending. After each poll of a callback that was pending the
//! engine takes the list, settles with the tokens that it holds, fills the cells and wakes their wakers, and polls the callback
//! again. So any number of requests may wait at once, in any combinator. A callback that never asks pays nothing. A request is
//! withdrawn when its future is dropped, so none is left behind for the next callback on this thread.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::error::BoxError;

/// What to acknowledge: the message at hand, or some of the batch at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Message,
    Rows(Vec<u32>),
}

/// A request, and where its answer goes.
struct Asked {
    request: Request,
    answer: Arc<Answer>,
}

thread_local! {
    static ASKED: RefCell<Vec<Asked>> = const { RefCell::new(Vec::new()) };
    /// Whether the list has anything: looked at after every poll, and cheaper than the list, which has to be destroyed.
    static HAS_ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Filled by the engine, read by the future.
#[derive(Debug, Default)]
struct Answer(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    waker: Option<Waker>,
    result: Option<Result<(), BoxError>>,
}

impl Answer {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, result: Result<(), BoxError>) {
        let waker = {
            let mut waiting = self.lock();
            waiting.result = Some(result);
            waiting.waker.take()
        };
        // Not under the lock: a waker is code of the user's combinator.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The user's side: leaves a request, then waits for the answer.
#[derive(Debug)]
pub(crate) struct AckNow {
    state: State,
}

#[derive(Debug)]
enum State {
    New(Request),
    Asked(Arc<Answer>),
    Finished,
}

impl AckNow {
    pub(crate) fn message() -> Self {
        Self {
            state: State::New(Request::Message),
        }
    }

    pub(crate) fn rows(rows: Vec<u32>) -> Self {
        Self {
            state: State::New(Request::Rows(rows)),
        }
    }
}

impl Future for AckNow {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.state, State::Finished) {
            State::New(request) => {
                let answer = Arc::new(Answer::default());
                answer.lock().waker = Some(cx.waker().clone());
                self.state = State::Asked(Arc::clone(&answer));
                ASKED.with_borrow_mut(|asked| asked.push(Asked { request, answer }));
                HAS_ASKED.set(true);
                Poll::Pending
            }
            State::Asked(answer) => {
                let result = {
                    let mut waiting = answer.lock();
                    let result = waiting.result.take();
                    if result.is_none() {
                        waiting.waker = Some(cx.waker().clone());
                    }
                    result
                };
                match result {
                    Some(result) => Poll::Ready(result),
                    None => {
                        self.state = State::Asked(answer);
                        Poll::Pending
                    }
                }
            }
            State::Finished => Poll::Pending,
        }
    }
}

impl Drop for AckNow {
    fn drop(&mut self) {
        if let State::Asked(answer) = &self.state {
            // In the list only if it is dropped in the poll in which it asked. On another thread's list it is not.
            ASKED.with_borrow_mut(|asked| {
                asked.retain(|asked| !Arc::ptr_eq(&asked.answer, answer));
            });
        }
    }
}

/// The engine's side: runs `callback` to its end, which has been polled once or not at all, and lets `settle` answer each
/// request that it leaves. The callback does not panic: its panics are values by now.
pub(crate) async fn serve<F: Future>(callback: F, mut settle: impl Settle) -> F::Output {
    let mut callback = pin!(callback);
    let mut asked = take_asked();
    loop {
        for Asked { request, answer } in asked {
            let result = settle.settle(request).await;
            answer.give(result);
        }
        match poll_fn(|cx| poll_once(callback.as_mut(), cx)).await {
            Step::Finished(output) => return output,
            Step::Asked(more) => asked = more,
        }
    }
}

/// Who holds the tokens of a callback's messages.
pub(crate) trait Settle: Send {
    fn settle(&mut self, request: Request) -> impl Future<Output = Result<(), BoxError>> + Send;
}

enum Step<T> {
    Finished(T),
    Asked(Vec<Asked>),
}

fn poll_once<F: Future>(callback: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Step<F::Output>> {
    let polled = callback.poll(cx);
    // Also when it is ready: the list is empty for the next callback on this thread.
    let asked = take_asked();
    match polled {
        Poll::Ready(output) => Poll::Ready(Step::Finished(output)),
        Poll::Pending if asked.is_empty() => Poll::Pending,
        Poll::Pending => Poll::Ready(Step::Asked(asked)),
    }
}

#[inline]
fn take_asked() -> Vec<Asked> {
    match HAS_ASKED.replace(false) {
        true => ASKED.take(),
        // Has no memory: nothing is allocated unless something was asked.
        false => Vec::new(),
    }
}
