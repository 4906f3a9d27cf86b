//! [`PoolCommand`]: what the handles of a pool ask of its manager.

use crate::stage::Output;

pub(super) enum PoolCommand<T> {
    Subscribe(Output<T>),
    SetBounds { min: usize, max: usize },
    Stop,
}
