//! [`Chain`]: the operators between two boundaries, before they run. Their types are nested, as the types of iterator adaptors are, so that the compiler sees
//! one function.

use crate::sink::{Seat, Sink};

/// Operators, one behind the other, without a boundary between them. Implemented by this crate's operators.
pub trait Chain: Clone + Send + 'static {
    /// The events that enter the first operator.
    type In: Send + 'static;
    /// The events that leave the last one.
    type Out: Send + 'static;
    /// The running form, in front of `S`.
    #[doc(hidden)]
    type Run<S: Sink<Self::Out>>: Sink<Self::In>;

    /// Puts the operators in front of a sink.
    #[doc(hidden)]
    fn run<S: Sink<Self::Out>>(self, seat: &Seat, next: S) -> Self::Run<S>;
}

/// An operator: makes events of type `Out` from events of type `T`.
#[doc(hidden)]
pub trait Operation<T>: Clone + Send + 'static {
    type Out: Send + 'static;
    type Run<S: Sink<Self::Out>>: Sink<T>;

    fn run<S: Sink<Self::Out>>(self, seat: &Seat, next: S) -> Self::Run<S>;
}

/// The empty chain.
#[derive(Debug)]
pub struct Start<T>(std::marker::PhantomData<fn(T)>);

impl<T> Start<T> {
    pub(crate) const fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T> Clone for Start<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> Chain for Start<T> {
    type In = T;
    type Out = T;
    type Run<S: Sink<T>> = S;

    fn run<S: Sink<T>>(self, _seat: &Seat, next: S) -> S {
        next
    }
}

/// A chain, and one more operator.
#[derive(Debug, Clone)]
pub struct Then<C, O> {
    chain: C,
    operation: O,
}

impl<C, O> Then<C, O> {
    pub(crate) const fn new(chain: C, operation: O) -> Self {
        Self { chain, operation }
    }
}

impl<C: Chain, O: Operation<C::Out>> Chain for Then<C, O> {
    type In = C::In;
    type Out = O::Out;
    type Run<S: Sink<O::Out>> = C::Run<O::Run<S>>;

    fn run<S: Sink<O::Out>>(self, seat: &Seat, next: S) -> Self::Run<S> {
        let next = self.operation.run(seat, next);
        self.chain.run(seat, next)
    }
}
