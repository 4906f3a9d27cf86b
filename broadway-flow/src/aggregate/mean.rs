//! [`Mean`]: the average of a number in each event.

use super::Aggregate;

/// The average of a number in each event.
#[derive(Debug, Clone, Copy)]
pub struct Mean<F>(F);

impl<F> Mean<F> {
    /// Averages what `f` returns for each event.
    pub const fn new(f: F) -> Self {
        Self(f)
    }
}

impl<T, F> Aggregate<T> for Mean<F>
where
    F: Fn(&T) -> f64 + Clone + Send + 'static,
{
    /// The sum and the number of events.
    type State = (f64, u64);
    type Output = f64;

    const MERGES: bool = true;

    fn create(&self) -> (f64, u64) {
        (0.0, 0)
    }

    fn add(&self, (sum, n): &mut (f64, u64), event: T) {
        *sum += (self.0)(&event);
        *n += 1;
    }

    fn merge(&self, (sum, n): &mut (f64, u64), other: (f64, u64)) {
        *sum += other.0;
        *n += other.1;
    }

    /// Not a number in a window without events.
    #[allow(clippy::cast_precision_loss, reason = "a mean is not exact either")]
    fn result(&self, (sum, n): &(f64, u64)) -> f64 {
        sum / *n as f64
    }
}
