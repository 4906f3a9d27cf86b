//! How `ack_now` inside a callback reaches the engine, which holds the token.
//!
//! The callback's future and the engine's loop run on the same thread, one inside a poll of the other. So a request is
//! left in a thread-local and the future returns pending; the engine, which polls the callback through [`serve`], finds
//! the request, settles with the token that it holds, leaves the answer, and polls the callback again. A callback that
//! never asks pays nothing: the thread-local is looked at only when a poll was pending.

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
    /// No callback is being polled on this thread.
    Outside,
    Empty,
    Asked(Request),
    Answered(Result<(), BoxError>),
}

thread_local! {
    static SLOT: RefCell<Slot> = const { RefCell::new(Slot::Outside) };
}

/// The user's side: leaves a request, then waits for the answer.
#[derive(Debug)]
pub(crate) struct AckNow {
    request: Option<Request>,
}

impl AckNow {
    pub(crate) fn message() -> Self {
        Self {
            request: Some(Request::Message),
        }
    }

    pub(crate) fn range(range: Range<usize>) -> Self {
        Self {
            request: Some(Request::Range(range)),
        }
    }
}

impl Future for AckNow {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        SLOT.with_borrow_mut(|slot| {
            if let Some(request) = self.request.take_if(|_| matches!(slot, Slot::Empty)) {
                *slot = Slot::Asked(request);
                return Poll::Pending;
            }
            if self.request.is_some() {
                assert!(
                    !matches!(slot, Slot::Outside),
                    "ack_now was awaited outside the callback it belongs to"
                );
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match std::mem::replace(slot, Slot::Empty) {
                Slot::Answered(answer) => Poll::Ready(answer),
                other => {
                    *slot = other;
                    Poll::Pending
                }
            }
        })
    }
}

/// The engine's side: polls `callback` to its end and lets `settle` answer each request that it leaves.
pub(crate) async fn serve<F: Future>(
    callback: F,
    mut settle: impl AsyncFnMut(Request) -> Result<(), BoxError>,
) -> F::Output {
    let mut callback = pin!(callback);
    let mut answer = None;
    loop {
        let step = poll_fn(|cx| poll_once(callback.as_mut(), cx, &mut answer)).await;
        match step {
            Step::Finished(output) => return output,
            Step::Asked(request) => answer = Some(settle(request).await),
        }
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
    SLOT.set(answer.take().map_or(Slot::Empty, Slot::Answered));
    // A guard, since a callback may panic out of this poll.
    let inside = Inside;
    let polled = callback.poll(cx);
    let left = inside.leave();
    match polled {
        Poll::Ready(output) => Poll::Ready(Step::Finished(output)),
        Poll::Pending => match left {
            Slot::Asked(request) => Poll::Ready(Step::Asked(request)),
            Slot::Answered(unread) => {
                *answer = Some(unread);
                Poll::Pending
            }
            Slot::Empty | Slot::Outside => Poll::Pending,
        },
    }
}

struct Inside;

impl Inside {
    fn leave(self) -> Slot {
        SLOT.replace(Slot::Outside)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        SLOT.set(Slot::Outside);
    }
}
