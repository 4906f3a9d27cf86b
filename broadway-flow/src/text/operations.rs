//! Operators that pass borrowed text on: [`TextFilter`], [`TextInspect`] and [`TextSplit`].

use std::sync::Arc;

use super::{chain::TextOperation, sink::TextSink};
use crate::{
    At,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal},
};

macro_rules! operation {
    ($name:ident, $sink:ident, $doc:literal, [$($bound:tt)*], |$f:ident, $meter:ident, $next:ident, $text:ident, $at:ident| $push:expr) => {
        #[doc = $doc]
        #[doc(hidden)]
        #[derive(Clone)]
        pub struct $name<F> {
            f: F,
            info: Arc<OperatorInfo>,
        }

        impl<F> $name<F> {
            pub(super) const fn new(f: F, info: Arc<OperatorInfo>) -> Self {
                Self { f, info }
            }
        }

        #[doc(hidden)]
        pub struct $sink<F, S> {
            f: F,
            meter: Meter,
            next: S,
        }

        impl<F: $($bound)* + Clone + Send + 'static> TextOperation for $name<F> {
            type Run<S: TextSink> = $sink<F, S>;

            fn run<S: TextSink>(self, _seat: &Seat, next: S) -> $sink<F, S> {
                $sink {
                    f: self.f,
                    meter: Meter::new(self.info),
                    next,
                }
            }
        }

        impl<F: $($bound)* + Clone + Send + 'static, S: TextSink> TextSink for $sink<F, S> {
            #[inline]
            fn push(&mut self, $text: &str, $at: At) -> Pushed {
                let Self { f: $f, meter: $meter, next: $next } = self;
                $push
            }

            fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
                self.meter.signal(signal);
                self.next.signal(signal)
            }
        }
    };
}

operation!(
    TextFilter,
    TextFilterSink,
    "`filter`.",
    [FnMut(&str) -> bool],
    |f, meter, next, text, at| {
        match meter.call(|| f(text)) {
            true => next.push(text, at),
            false => Ok(()),
        }
    }
);

operation!(
    TextInspect,
    TextInspectSink,
    "`inspect`.",
    [FnMut(&str)],
    |f, meter, next, text, at| {
        meter.call(|| f(text));
        next.push(text, at)
    }
);

operation!(
    TextSplit,
    TextSplitSink,
    "`split`.",
    [for<'a> Split<'a>],
    |f, meter, next, text, at| {
        let mut parts = meter.call(|| f(text));
        while let Some(part) = meter.again(|| parts.next()) {
            next.push(part, at)?;
        }
        Ok(())
    }
);

/// A function from text to an iterator of parts of it, such as `str::split_whitespace`.
pub trait Split<'a>: FnMut(&'a str) -> Self::Parts {
    /// The iterator.
    type Parts: Iterator<Item = &'a str>;
}

impl<'a, F, I> Split<'a> for F
where
    F: FnMut(&'a str) -> I,
    I: Iterator<Item = &'a str>,
{
    type Parts = I;
}
