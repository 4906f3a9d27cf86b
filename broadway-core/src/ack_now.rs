//! How `ack_now` inside a callback reaches the engine, which holds the token.
//!
//! The callback's future and the engine's loop run on the same thread, one inside a poll of the other. So a request is left in a
//! thread-local and the future returns pending. The engine looks there after each poll of a callback that was pending; it settles
//! with the token that it holds, leaves the answer, and polls the callback again. A callback that never asks, or never
//! waits, pays nothing. A request is served right after the poll that left it, and withdrawn when its future is dropped, so
//! none is left behind for a stranger.

use std::{
    cell::RefCell,
    future::poll_fn,
    ops::Range,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use crate::error::BoxError;

/// What to acknowledge: the message at hand, or a range of the batch at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Message,
    Range(Range<usize>),
}

enum Slot {
    Empty,
    Asked(Request),
    Answered(Result<(), BoxError>),
}

thread_local! {
    static SLOT: RefCell<Slot> = const { RefCell::new(Slot::Empty) };
}

/// The user's side: leaves a request, then waits for the answer.
#[derive(Debug)]
pub(crate) struct AckNow {
    state: State,
}

#[derive(Debug)]
enum State {
    New(Request),
    Asked,
    Finished,
}

impl AckNow {
    pub(crate) fn message() -> Self {
        Self {
            state: State::New(Request::Message),
        }
    }

    pub(crate) fn range(range: Range<usize>) -> Self {
        Self {
            state: State::New(Request::Range(range)),
        }
    }
}

impl Future for AckNow {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        SLOT.with_borrow_mut(|slot| match (&self.state, &slot) {
            (State::New(_), Slot::Empty) => {
                if let State::New(request) = std::mem::replace(&mut self.state, State::Asked) {
                    *slot = Slot::Asked(request);
                }
                Poll::Pending
            }
            // Another request of the same callback is being served: ours is next.
            (State::New(_), _) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (State::Asked, Slot::Answered(_)) => {
                self.state = State::Finished;
                match std::mem::replace(slot, Slot::Empty) {
                    Slot::Answered(answer) => Poll::Ready(answer),
                    Slot::Empty | Slot::Asked(_) => Poll::Pending,
                }
            }
            (State::Asked | State::Finished, _) => Poll::Pending,
        })
    }
}

impl Drop for AckNow {
    fn drop(&mut self) {
        if matches!(self.state, State::Asked) {
            // On the thread and in the poll in which it asked, or after it was served and the slot is empty.
            SLOT.with_borrow_mut(|slot| {
                if matches!(slot, Slot::Asked(_)) {
                    *slot = Slot::Empty;
                }
            });
        }
    }
}

/// The engine's side: runs `callback` to its end, which has been polled once or not at all, and lets `settle` answer each
/// request that it leaves.
pub(crate) async fn serve<F: Future>(callback: F, mut settle: impl Settle) -> F::Output {
    let mut callback = pin!(callback);
    let mut left = take_request();
    loop {
        let mut answer = match left.take() {
            Some(request) => Some(settle.settle(request).await),
            None => None,
        };
        match poll_fn(|cx| poll_once(callback.as_mut(), cx, &mut answer)).await {
            Step::Finished(output) => return output,
            Step::Asked(request) => left = Some(request),
        }
    }
}

/// Runs a callback that holds no token, and answers each request with an error.
pub(crate) async fn refuse<F: Future>(callback: F) -> F::Output {
    serve(callback, Refusal).await
}

/// Who holds the tokens of a callback's messages.
pub(crate) trait Settle: Send {
    fn settle(&mut self, request: Request) -> impl Future<Output = Result<(), BoxError>> + Send;
}

struct Refusal;

impl Settle for Refusal {
    async fn settle(&mut self, _request: Request) -> Result<(), BoxError> {
        Err("ack_now works in handle_message and in handle_batch only".into())
    }
}

enum Step<T> {
    Finished(T),
    Asked(Request),
}

fn poll_once<F: Future>(
    callback: Pin<&mut F>,
    cx: &mut Context<'_>,
    answer: &mut Option<Result<(), BoxError>>,
) -> Poll<Step<F::Output>> {
    if let Some(answer) = answer.take() {
        SLOT.set(Slot::Answered(answer));
    }
    // The slot is empty for the next callback on this thread, also when this one panics.
    let cleared = ClearOnDrop;
    let polled = callback.poll(cx);
    let left = take_request();
    drop(cleared);
    match (polled, left) {
        (Poll::Ready(output), _) => Poll::Ready(Step::Finished(output)),
        (Poll::Pending, Some(request)) => Poll::Ready(Step::Asked(request)),
        (Poll::Pending, None) => Poll::Pending,
    }
}

fn take_request() -> Option<Request> {
    SLOT.with_borrow_mut(|slot| match std::mem::replace(slot, Slot::Empty) {
        Slot::Asked(request) => Some(request),
        other => {
            *slot = other;
            None
        }
    })
}

struct ClearOnDrop;

impl Drop for ClearOnDrop {
    fn drop(&mut self) {
        SLOT.set(Slot::Empty);
    }
}
