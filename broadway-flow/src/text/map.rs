//! [`TextMap`] and its relatives: from borrowed text to events that last.

use std::sync::Arc;

use broadway_core::BoxError;

use super::{TextSink, chain::TextChain};
use crate::{
    At, FlowError, FlowErrorKind,
    chain::Chain,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
    source::Block,
};

macro_rules! map {
    ($name:ident, $sink:ident, $doc:literal, [$($generic:ident),*], $out:ty, [$($bound:tt)*], |$f:ident, $meter:ident, $next:ident, $text:ident, $at:ident| $push:expr) => {
        #[doc = $doc]
        #[doc(hidden)]
        #[derive(Clone)]
        pub struct $name<C, F> {
            chain: C,
            f: F,
            info: Arc<OperatorInfo>,
        }

        impl<C, F> $name<C, F> {
            pub(super) const fn new(chain: C, f: F, info: Arc<OperatorInfo>) -> Self {
                Self { chain, f, info }
            }
        }

        #[doc(hidden)]
        pub struct $sink<F, S> {
            f: F,
            meter: Meter,
            next: S,
        }

        impl<C: TextChain, F, $($generic),*> Chain for $name<C, F>
        where
            F: Clone + Send + 'static,
            $($bound)*
        {
            type In = Block;
            type Out = $out;
            type Run<S: Sink<$out>> = C::Run<$sink<F, S>>;

            fn run<S: Sink<$out>>(self, seat: &Seat, next: S) -> Self::Run<S> {
                let sink = $sink {
                    f: self.f,
                    meter: Meter::new(self.info),
                    next,
                };
                self.chain.run(seat, sink)
            }
        }

        impl<F, S, $($generic),*> TextSink for $sink<F, S>
        where
            F: Clone + Send + 'static,
            $($bound)*
            S: Sink<$out>,
        {
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

map!(TextMap, TextMapSink, "`map`.", [U], U, [U: Send + 'static, F: FnMut(&str) -> U,], |f, meter, next, text, at| {
    let event = meter.call(|| f(text));
    next.push(event, at)
});

map!(TextFilterMap, TextFilterMapSink, "`filter_map`.", [U], U, [U: Send + 'static, F: FnMut(&str) -> Option<U>,], |f, meter, next, text, at| {
    match meter.call(|| f(text)) {
        Some(event) => next.push(event, at),
        None => Ok(()),
    }
});

map!(TextFlatMap, TextFlatMapSink, "`flat_map`.", [I], I::Item, [I: IntoIterator<Item: Send + 'static>, F: FnMut(&str) -> I,], |f, meter, next, text, at| {
    let mut events = meter.call(|| f(text)).into_iter();
    while let Some(event) = meter.again(|| events.next()) {
        next.push(event, at)?;
    }
    Ok(())
});

map!(TextTryMap, TextTryMapSink, "`try_map`.", [U, E], U, [U: Send + 'static, E: Into<BoxError>, F: FnMut(&str) -> Result<U, E>,], |f, meter, next, text, at| {
    match meter.call(|| f(text)) {
        Ok(event) => next.push(event, at),
        Err(error) => {
            let operator = meter.info().to_string();
            Err(FlowError::new(operator, FlowErrorKind::Error, error))
        }
    }
});
