//! [`Line`]: the figures of a scenario, as text and as JSON.

use std::fmt;

use serde::Serialize;

use crate::{
    cost::{Cost, Rounds},
    support::BoxError,
};

/// The figures of a scenario: medians of its rounds. Fields that were not measured are omitted.
#[derive(Serialize)]
pub(crate) struct Line {
    bench: &'static str,
    pub(crate) scenario: &'static str,
    /// The unit of the count: words or events.
    unit: &'static str,
    n: u64,
    rounds: usize,
    per_s: f64,
    wall_ns: f64,
    cpu_ns: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mb_per_s: Option<f64>,
    #[serde(flatten)]
    reference: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_rss_kib: Option<u64>,
    /// The load of the machine over the last minute, this program included.
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<f64>,
}

/// The other program. Ratios are its time over ours: above 1, ours is quicker.
#[derive(Serialize)]
struct Reference {
    reference: &'static str,
    reference_wall_ns: f64,
    reference_cpu_ns: f64,
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
    cpu_ratio: f64,
    /// The ratio to reach; for a slide that becomes shorter, not to exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<f64>,
}

impl Line {
    /// The figures of `n` units a round.
    pub(crate) fn new(
        scenario: &'static str,
        (n, unit): (u64, &'static str),
        rounds: &Rounds,
    ) -> Self {
        let wall_ns = rounds.ours(|cost| wall_ns(cost, n));
        Self {
            bench: "flow",
            scenario,
            unit,
            n,
            rounds: rounds.len(),
            per_s: 1e9 / wall_ns,
            wall_ns,
            cpu_ns: rounds.ours(|cost| cpu_ns(cost, n)),
            mb_per_s: None,
            reference: None,
            peak_rss_kib: None,
            load: load(),
        }
    }

    /// Adds the bytes of a round, for the throughput.
    pub(crate) fn bytes(mut self, bytes: u64) -> Self {
        self.mb_per_s = Some(bytes as f64 / self.n as f64 * self.per_s / 1e6);
        self
    }

    /// Adds the peak of resident memory of this process.
    pub(crate) fn peak_rss(mut self) -> Self {
        self.peak_rss_kib = crate::support::memory::peak_rss_kib();
        self
    }

    /// Adds the second program of the rounds, and the ratio to reach.
    pub(crate) fn reference(
        mut self,
        name: &'static str,
        rounds: &Rounds,
        goal: Option<f64>,
    ) -> Self {
        let n = self.n;
        let wall = rounds.theirs(|cost| wall_ns(cost, n));
        let cpu = rounds.theirs(|cost| cpu_ns(cost, n));
        let ratio = rounds.ratio(|cost| cost.wall);
        let cpu_ratio = rounds.ratio(|cost| cost.cpu);
        if let (Some(wall), Some(cpu), Some([least, median, most]), Some([_, cpu_ratio, _])) =
            (wall, cpu, ratio, cpu_ratio)
        {
            self.reference = Some(Reference {
                reference: name,
                reference_wall_ns: wall,
                reference_cpu_ns: cpu,
                ratio: median,
                ratio_min: least,
                ratio_max: most,
                cpu_ratio,
                goal,
            });
        }
        self
    }

    /// The object that is printed with `--json`.
    ///
    /// # Errors
    ///
    /// Does not fail: all fields are numbers and text.
    pub(crate) fn json(&self) -> Result<String, BoxError> {
        Ok(serde_json::to_string(self)?)
    }
}

fn wall_ns(cost: &Cost, n: u64) -> f64 {
    cost.wall.as_secs_f64() * 1e9 / n as f64
}

fn cpu_ns(cost: &Cost, n: u64) -> f64 {
    cost.cpu.as_secs_f64() * 1e9 / n as f64
}

fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            unit,
            per_s,
            wall_ns,
            cpu_ns,
            ..
        } = self;
        write!(
            f,
            "{:.2} M {unit}/s, {wall_ns:.1} ns wall, {cpu_ns:.1} ns CPU",
            per_s / 1e6
        )?;
        if let Some(mb_per_s) = self.mb_per_s {
            write!(f, ", {mb_per_s:.0} MB/s")?;
        }
        if let Some(other) = &self.reference {
            let Reference {
                reference,
                reference_wall_ns,
                reference_cpu_ns,
                ..
            } = other;
            write!(
                f,
                "; {reference} {reference_wall_ns:.1} ns wall, {reference_cpu_ns:.1} ns CPU; ratio {:.2}",
                other.ratio
            )?;
            write!(
                f,
                " ({:.2}–{:.2}), CPU {:.2}",
                other.ratio_min, other.ratio_max, other.cpu_ratio
            )?;
            if let Some(goal) = other.goal {
                write!(f, ", goal {goal:.2}")?;
            }
        }
        if let Some(kib) = self.peak_rss_kib {
            write!(f, "; peak RSS {:.0} MiB", kib as f64 / 1024.0)?;
        }
        if let Some(load) = self.load {
            write!(f, "; load {load:.1}")?;
        }
        Ok(())
    }
}
