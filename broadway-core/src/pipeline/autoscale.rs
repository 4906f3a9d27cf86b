//! Changes the number of processors by their load, for [`Processors::autoscale`](super::Processors::autoscale).

use std::{
    ops::RangeInclusive,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{crew::Resize, topology::TopologyState};
use crate::{
    engine::clock,
    machine::autoscale::{Autoscale, SAMPLES},
};

/// How often the number is decided on.
const INTERVAL: Duration = Duration::from_secs(1);

/// Samples the load of the processors, and resizes them. Ends with the topology; the supervisor drops it before.
pub(super) async fn run(
    range: RangeInclusive<usize>,
    processors: Arc<dyn Resize>,
    topology: Weak<TopologyState>,
) {
    let mut autoscale = Autoscale::new(*range.start(), *range.end());
    let mut next = clock::now();
    loop {
        next += INTERVAL / SAMPLES;
        clock::sleep_until(next).await;
        let Some(topology) = topology.upgrade() else {
            return;
        };
        let present = topology.live.processors();
        if let Some(wanted) = autoscale.observe(processors.load(), present) {
            // It fails only if the topology ends.
            let _ = topology.set_processors(wanted);
        }
    }
}
