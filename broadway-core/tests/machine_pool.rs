//! Pools under loads: never outside their bounds, and settled once the load is constant.

use std::time::{Duration, Instant};

use broadway_core::machine::pool::{Pool, PoolObservation, PoolOptions, Resize};
use proptest::prelude::*;

const TICK: Duration = Duration::from_millis(50);

/// Members handle one event each per tick.
struct Simulation {
    pool: Pool,
    members: usize,
    waiting: usize,
    now: Instant,
}

impl Simulation {
    fn new(options: PoolOptions) -> Self {
        Self {
            pool: Pool::new(options).expect("valid bounds"),
            members: options.min,
            waiting: 0,
            now: Instant::now(),
        }
    }

    fn tick(&mut self, arriving: usize) -> Resize {
        let todo = self.waiting + arriving;
        let handled = todo.min(self.members);
        self.waiting = todo - handled;
        self.now += TICK;
        let resize = self.pool.observe(PoolObservation {
            now: self.now,
            waiting: self.waiting,
            members: self.members,
            idle: self.members - handled,
        });
        match resize {
            Resize::Stay => {}
            Resize::Grow(n) => self.members += n,
            Resize::Shrink(n) => self.members -= n,
        }
        let PoolOptions { min, max, .. } = self.pool.options();
        assert!(
            (min..=max).contains(&self.members),
            "{} members",
            self.members
        );
        assert!(!matches!(resize, Resize::Grow(0) | Resize::Shrink(0)));
        resize
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_pool_stays_within_its_bounds_and_settles_under_a_constant_load(
        min in 1..5_usize,
        more in 0..20_usize,
        grow_ticks in 0..5_u32,
        shrink_ticks in 0..20_u32,
        loads in prop::collection::vec(0..40_usize, 0..60),
        load in 0..40_usize,
    ) {
        let max = min + more;
        let mut simulation = Simulation::new(PoolOptions {
            grow_after: TICK * grow_ticks,
            shrink_after: TICK * shrink_ticks,
            ..PoolOptions::new(min, max)
        });
        for load in loads {
            simulation.tick(load);
        }
        // While what had piled up is worked off more members are needed than afterwards.
        let ticks = 800 + simulation.waiting;
        let mut shrank = false;
        for _ in 0..ticks {
            match simulation.tick(load) {
                Resize::Stay => {}
                Resize::Grow(_) => prop_assert!(!shrank, "grew after it had shrunk"),
                Resize::Shrink(_) => shrank = true,
            }
        }
        prop_assert_eq!(simulation.tick(load), Resize::Stay);
        if load > 0 {
            let settled = load.clamp(min, max);
            prop_assert!(simulation.members == settled, "{} members for a load of {load}", simulation.members);
        }
    }
}
