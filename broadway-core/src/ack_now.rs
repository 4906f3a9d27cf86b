//! How `ack_now` inside a callback reaches the pipeline, which holds the token.
//!
//! The callback's future runs inside a poll of the pipeline's loop, on the same thread. So `ack_now` adds a request to a thread-local
//! list, with a cell for the result, and returns pending. After each pending poll of a callback, the pipeline takes the list, settles
//! with the tokens that it holds, fills the cells, wakes their wakers, and polls the callback again. Any number of requests may wait at
//! once, in any combinator. A callback without requests costs nothing. Dropping the future withdraws its request, so none is left for
//! the next callback on this thread.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::error::BoxError;

/// What to acknowledge: the message of the callback, or rows of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Message,
    Rows(Vec<u32>),
}

/// A request in the list, and the cell for its result.
struct PendingRequest {
    request: Request,
    cell: Arc<AckCell>,
}

thread_local! {
    static REQUESTS: RefCell<Vec<PendingRequest>> = const { RefCell::new(Vec::new()) };
    /// Whether the list has requests. Read after every poll: cheaper than the list itself, which has a destructor.
    static HAS_REQUESTS: Cell<bool> = const { Cell::new(false) };
}

/// The cell for a result: filled by the pipeline, read by the future.
#[derive(Debug, Default)]
struct AckCell(Mutex<AckResult>);

#[derive(Debug, Default)]
struct AckResult {
    waker: Option<Waker>,
    result: Option<Result<(), BoxError>>,
}

impl AckCell {
    fn lock(&self) -> MutexGuard<'_, AckResult> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, result: Result<(), BoxError>) {
        let waker = {
            let mut result_cell = self.lock();
            result_cell.result = Some(result);
            result_cell.waker.take()
        };
        // Without the lock: the waker is code of the user's combinator, which may poll the future.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The future of `ack_now`: adds a request, then waits for its result.
#[derive(Debug)]
pub(crate) struct AckNow {
    state: AckNowState,
}

#[derive(Debug)]
enum AckNowState {
    New(Request),
    Asked(Arc<AckCell>),
    Finished,
}

impl AckNow {
    pub(crate) fn message() -> Self {
        Self {
            state: AckNowState::New(Request::Message),
        }
    }

    pub(crate) fn rows(rows: Vec<u32>) -> Self {
        Self {
            state: AckNowState::New(Request::Rows(rows)),
        }
    }
}

impl Future for AckNow {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.state, AckNowState::Finished) {
            AckNowState::New(request) => {
                let cell = Arc::new(AckCell::default());
                cell.lock().waker = Some(cx.waker().clone());
                self.state = AckNowState::Asked(Arc::clone(&cell));
                REQUESTS
                    .with_borrow_mut(|requests| requests.push(PendingRequest { request, cell }));
                HAS_REQUESTS.set(true);
                Poll::Pending
            }
            AckNowState::Asked(cell) => {
                let result = {
                    let mut result_cell = cell.lock();
                    let result = result_cell.result.take();
                    if result.is_none() {
                        result_cell.waker = Some(cx.waker().clone());
                    }
                    result
                };
                match result {
                    Some(result) => Poll::Ready(result),
                    None => {
                        self.state = AckNowState::Asked(cell);
                        Poll::Pending
                    }
                }
            }
            AckNowState::Finished => Poll::Pending,
        }
    }
}

impl Drop for AckNow {
    fn drop(&mut self) {
        if let AckNowState::Asked(cell) = &self.state {
            // It is in the list only if it is dropped in the poll that added it, and then on the same thread.
            REQUESTS.with_borrow_mut(|requests| {
                requests.retain(|request| !Arc::ptr_eq(&request.cell, cell));
            });
        }
    }
}

/// Runs `callback`, which was polled at most once before, to its end, and passes each of its requests to `settle`. The callback does
/// not panic: its panics are values already.
pub(crate) async fn serve<F: Future>(callback: F, mut settle: impl Settle) -> F::Output {
    let mut callback = pin!(callback);
    let mut requests = take_requests();
    loop {
        for PendingRequest { request, cell } in requests {
            let result = settle.settle(request).await;
            cell.fill(result);
        }
        match poll_fn(|cx| poll_once(callback.as_mut(), cx)).await {
            CallbackPoll::Finished(output) => return output,
            CallbackPoll::Requests(more) => requests = more,
        }
    }
}

/// Settles requests; holds the tokens of the callback's messages.
pub(crate) trait Settle: Send {
    fn settle(&mut self, request: Request) -> impl Future<Output = Result<(), BoxError>> + Send;
}

enum CallbackPoll<T> {
    Finished(T),
    Requests(Vec<PendingRequest>),
}

fn poll_once<F: Future>(
    callback: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<CallbackPoll<F::Output>> {
    let polled = callback.poll(cx);
    // Also if it is ready: the list must be empty for the next callback on this thread.
    let requests = take_requests();
    match polled {
        Poll::Ready(output) => Poll::Ready(CallbackPoll::Finished(output)),
        Poll::Pending if requests.is_empty() => Poll::Pending,
        Poll::Pending => Poll::Ready(CallbackPoll::Requests(requests)),
    }
}

#[inline]
fn take_requests() -> Vec<PendingRequest> {
    match HAS_REQUESTS.replace(false) {
        true => REQUESTS.take(),
        // An empty `Vec` does not allocate.
        false => Vec::new(),
    }
}
