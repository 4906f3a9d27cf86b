//! [`Shape`]: what the results of an aggregation look like.

use crate::{Windowed, machine::windows::Fired};

/// What the results of an aggregation look like: with or without a key, with or without a window.
#[doc(hidden)]
pub trait Shape<K, O>: 'static {
    type Out: Send + 'static;

    fn shape(key: K, windowed: Windowed<O>) -> Self::Out;
}

/// `(key, value)`.
#[doc(hidden)]
#[derive(Debug)]
pub struct OfKeys;

/// [`Windowed`]`<(key, value)>`.
#[doc(hidden)]
#[derive(Debug)]
pub struct OfKeysInWindows;

/// `value`.
#[doc(hidden)]
#[derive(Debug)]
pub struct OfWorkers;

/// [`Windowed`]`<value>`.
#[doc(hidden)]
#[derive(Debug)]
pub struct OfWorkersInWindows;

impl<K: Send + 'static, O: Send + 'static> Shape<K, O> for OfKeys {
    type Out = (K, O);

    fn shape(key: K, windowed: Windowed<O>) -> (K, O) {
        (key, windowed.value)
    }
}

impl<K: Send + 'static, O: Send + 'static> Shape<K, O> for OfKeysInWindows {
    type Out = Windowed<(K, O)>;

    fn shape(key: K, windowed: Windowed<O>) -> Windowed<(K, O)> {
        Windowed {
            window: windowed.window,
            firing: windowed.firing,
            value: (key, windowed.value),
        }
    }
}

impl<K, O: Send + 'static> Shape<K, O> for OfWorkers {
    type Out = O;

    fn shape(_key: K, windowed: Windowed<O>) -> O {
        windowed.value
    }
}

impl<K, O: Send + 'static> Shape<K, O> for OfWorkersInWindows {
    type Out = Windowed<O>;

    fn shape(_key: K, windowed: Windowed<O>) -> Windowed<O> {
        windowed
    }
}

/// The shape with the window.
#[doc(hidden)]
pub trait InWindows {
    type Windowed;
}

impl InWindows for OfKeys {
    type Windowed = OfKeysInWindows;
}

impl InWindows for OfWorkers {
    type Windowed = OfWorkersInWindows;
}

/// Turns a result of the machine into an event.
pub(super) fn shaped<K, O, S: Shape<K, O>>(fired: Fired<K, O>) -> S::Out {
    let windowed = Windowed {
        window: fired.window,
        firing: fired.firing,
        value: fired.value,
    };
    S::shape(fired.key, windowed)
}
