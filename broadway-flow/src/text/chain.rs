//! [`TextChain`]: operators on borrowed text, before they run. As [`Chain`](crate::Chain), for text.

use super::sink::{LineSink, TextSink};
use crate::{
    sink::{Seat, Sink},
    source::Block,
};

/// Operators on borrowed text, one behind the other. Implemented by this crate's operators.
pub trait TextChain: Clone + Send + 'static {
    #[doc(hidden)]
    type Run<S: TextSink>: Sink<Block>;

    #[doc(hidden)]
    fn run<S: TextSink>(self, seat: &Seat, next: S) -> Self::Run<S>;
}

/// An operator on borrowed text.
#[doc(hidden)]
pub trait TextOperation: Clone + Send + 'static {
    type Run<S: TextSink>: TextSink;

    fn run<S: TextSink>(self, seat: &Seat, next: S) -> Self::Run<S>;
}

/// The lines of blocks.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct EachLine;

impl TextChain for EachLine {
    type Run<S: TextSink> = LineSink<S>;

    fn run<S: TextSink>(self, _seat: &Seat, next: S) -> LineSink<S> {
        LineSink::new(next)
    }
}

/// A chain, and one more operator.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct TextThen<C, O> {
    chain: C,
    operation: O,
}

impl<C, O> TextThen<C, O> {
    pub(super) const fn new(chain: C, operation: O) -> Self {
        Self { chain, operation }
    }
}

impl<C: TextChain, O: TextOperation> TextChain for TextThen<C, O> {
    type Run<S: TextSink> = C::Run<O::Run<S>>;

    fn run<S: TextSink>(self, seat: &Seat, next: S) -> Self::Run<S> {
        let next = self.operation.run(seat, next);
        self.chain.run(seat, next)
    }
}
