//! [`Cost`]: the time of a run, and of the middle one of several.

use std::time::{Duration, Instant};

use crate::support::{BoxError, measure::cpu_time};

/// The time of one run. CPU time is the user and system time of all threads.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// One way to do the work of a scenario. It checks its result, outside of the time.
pub(crate) type Program<'a> = &'a dyn Fn() -> Result<Cost, BoxError>;

/// Runs something, and takes the time.
///
/// # Errors
///
/// Fails if it fails.
pub(crate) fn timed<R>(run: impl FnOnce() -> Result<R, BoxError>) -> Result<(R, Cost), BoxError> {
    let cpu_before = cpu_time()?;
    let began = Instant::now();
    let result = run()?;
    let wall = began.elapsed();
    let cpu = cpu_time()?.saturating_sub(cpu_before);
    Ok((result, Cost { wall, cpu }))
}

/// Runs two programs in turn, round after round, so that other load on the machine slows both. Each runs once before, to warm up.
///
/// # Errors
///
/// Fails if a program fails, or has another result than expected.
pub(crate) fn in_turn(
    rounds: usize,
    one: Program<'_>,
    other: Option<Program<'_>>,
) -> Result<Rounds, BoxError> {
    let mut costs = Vec::with_capacity(rounds);
    for round in 0..=rounds {
        let pair = (one()?, other.map(|other| other()).transpose()?);
        if round > 0 {
            costs.push(pair);
        }
    }
    Ok(Rounds(costs))
}

/// The costs of two programs in each round.
pub(crate) struct Rounds(Vec<(Cost, Option<Cost>)>);

impl Rounds {
    /// The number of rounds.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The median of a figure of the first program.
    pub(crate) fn ours(&self, figure: impl Fn(&Cost) -> f64) -> f64 {
        median(self.0.iter().map(|(ours, _)| figure(ours)))
    }

    /// The median of a figure of the second program, if there is one.
    pub(crate) fn theirs(&self, figure: impl Fn(&Cost) -> f64) -> Option<f64> {
        let theirs: Option<Vec<f64>> = self
            .0
            .iter()
            .map(|(_, theirs)| theirs.as_ref().map(&figure))
            .collect();
        theirs.map(|figures| median(figures.into_iter()))
    }

    /// The least, the median and the most of all rounds of the second program's time over the first one's.
    pub(crate) fn ratio(&self, time: impl Fn(&Cost) -> Duration) -> Option<[f64; 3]> {
        let seconds = |cost: &Cost| time(cost).as_secs_f64();
        let ratios = self.0.iter().map(|(ours, theirs)| {
            theirs
                .as_ref()
                .map(|theirs| seconds(theirs) / seconds(ours))
        });
        let ratios: Vec<f64> = ratios.collect::<Option<_>>()?;
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        Some([least, median(ratios.into_iter()), most])
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[values.len() / 2], values[(values.len() - 1) / 2])
}
