//! [`TextSink`]: the running form of operators on borrowed text.

use crate::{
    At,
    sink::{Pushed, Signal, Sink},
    source::Block,
};

/// Takes text that it may not keep.
pub trait TextSink: Send + 'static {
    fn push(&mut self, text: &str, at: At) -> Pushed;

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed;
}

/// Cuts blocks into lines.
#[doc(hidden)]
pub struct LineSink<S> {
    next: S,
}

impl<S> LineSink<S> {
    pub(super) const fn new(next: S) -> Self {
        Self { next }
    }
}

impl<S: TextSink> Sink<Block> for LineSink<S> {
    fn push(&mut self, block: Block, at: At) -> Pushed {
        for line in block.text.lines() {
            self.next.push(line, at)?;
        }
        Ok(())
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.next.signal(signal)
    }
}
