use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> BatchLimits {
    BatchLimits {
        size: 3,
        bytes: None,
        timeout: SECOND,
        idle_timeout: Duration::MAX,
        open_max: 100,
        buffered_max: 100,
    }
}

/// A batcher of numbers with what it delivered so far.
struct Bench<S: Splitter<u32>> {
    batcher: Batcher<u8, Vec<u32>, S>,
    start: Instant,
    ready: Vec<ClosedBatch<u8, Vec<u32>>>,
}

impl<S: Splitter<u32>> Bench<S> {
    fn new(limits: BatchLimits, splitter: S) -> Self {
        Self {
            batcher: Batcher::new(limits, splitter),
            start: Instant::now(),
            ready: Vec::new(),
        }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn push_with(&mut self, key: u8, item: u32, bytes: usize, flush: bool, millis: u64) {
        let now = self.at(millis);
        let pushed = self
            .batcher
            .push(&key, item, bytes, flush, now, &mut self.ready);
        assert_eq!(pushed, Ok(()));
    }

    fn push(&mut self, key: u8, item: u32) {
        self.push_with(key, item, 0, false, 0);
    }

    fn end_chunk(&mut self, millis: u64) {
        self.batcher.end_chunk(&mut self.ready);
        self.expire(millis);
    }

    fn expire(&mut self, millis: u64) {
        let now = self.at(millis);
        let all = usize::MAX;
        self.batcher.expire(now, all, |_| true, &mut self.ready);
    }

    /// What was delivered since the last look.
    fn ready(&mut self) -> Vec<(u8, Vec<u32>, Trigger)> {
        let ready = self.ready.drain(..);
        ready
            .map(|batch| (batch.key, batch.items, batch.trigger))
            .collect()
    }
}

#[test]
fn a_full_batch_leaves_and_the_next_begins() {
    let mut bench = Bench::new(limits(), NeverSplit);
    for item in 0..7 {
        bench.push(1, item);
    }
    bench.end_chunk(0);
    let full = [
        (1, vec![0, 1, 2], Trigger::Size),
        (1, vec![3, 4, 5], Trigger::Size),
    ];
    assert_eq!(bench.ready(), full);
    assert_eq!((bench.batcher.open(), bench.batcher.buffered()), (1, 1));
}

#[test]
fn keys_have_batches_of_their_own() {
    let mut bench = Bench::new(limits(), NeverSplit);
    for item in 0..5 {
        bench.push(1, item);
        bench.push(2, item + 10);
    }
    bench.batcher.drain(&mut bench.ready);
    let all = [
        (1, vec![0, 1, 2], Trigger::Size),
        (2, vec![10, 11, 12], Trigger::Size),
        (1, vec![3, 4], Trigger::Drain),
        (2, vec![13, 14], Trigger::Drain),
    ];
    assert_eq!(bench.ready(), all);
    assert_eq!((bench.batcher.keys(), bench.batcher.buffered()), (0, 0));
}

#[test]
fn a_message_that_would_overfill_a_batch_starts_the_next() {
    let bytes = Some(10);
    let mut bench = Bench::new(BatchLimits { bytes, ..limits() }, NeverSplit);
    bench.push_with(1, 0, 6, false, 0);
    bench.push_with(1, 1, 6, false, 0);
    assert_eq!(bench.ready(), [(1, vec![0], Trigger::Bytes)]);
    bench.push_with(1, 2, 4, false, 0);
    assert_eq!(bench.ready(), [(1, vec![1, 2], Trigger::Bytes)]);
    bench.push_with(1, 3, 1, false, 0);
    bench.push_with(1, 4, 11, false, 0);
    let alone = [(1, vec![3], Trigger::Bytes), (1, vec![4], Trigger::Bytes)];
    assert_eq!(bench.ready(), alone);
}

#[test]
fn the_time_of_a_batch_runs_from_its_first_message() {
    let mut bench = Bench::new(limits(), NeverSplit);
    bench.push_with(1, 0, 0, false, 0);
    bench.end_chunk(0);
    bench.push_with(1, 1, 0, false, 900);
    bench.end_chunk(900);
    assert_eq!(
        bench.batcher.next_deadline(bench.at(0)),
        Some(bench.at(1000))
    );
    bench.expire(999);
    assert_eq!(bench.ready(), []);
    bench.expire(1000);
    assert_eq!(bench.ready(), [(1, vec![0, 1], Trigger::Timeout)]);
    assert_eq!(bench.batcher.next_deadline(bench.at(0)), None);
}

#[test]
fn a_due_batch_that_may_not_go_stays_open_and_grows() {
    let mut bench = Bench::new(limits(), NeverSplit);
    bench.push_with(1, 0, 0, false, 0);
    bench.push_with(2, 0, 0, false, 100);
    bench.push_with(3, 0, 0, false, 200);
    let expire = |bench: &mut Bench<NeverSplit>, max, not: u8| {
        let now = bench.at(1150);
        let may = |key: &u8| *key != not;
        bench.batcher.expire(now, max, may, &mut bench.ready)
    };
    assert_eq!(expire(&mut bench, 0, 0), 0);
    bench.push_with(1, 1, 0, false, 1150);
    bench.push_with(2, 1, 0, false, 1150);
    assert_eq!(
        bench.batcher.next_deadline(bench.at(1150)),
        Some(bench.at(1200))
    );
    assert_eq!(expire(&mut bench, 9, 1), 1);
    assert_eq!(bench.ready(), [(2, vec![0, 1], Trigger::Timeout)]);
    bench.push_with(1, 2, 0, false, 1150);
    assert_eq!(bench.ready(), [(1, vec![0, 1, 2], Trigger::Size)]);
}

#[test]
fn a_deadline_never_hits_a_later_batch_of_the_key() {
    let mut bench = Bench::new(limits(), NeverSplit);
    bench.push_with(1, 0, 0, false, 0);
    for item in 1..4 {
        bench.push_with(1, item, 0, false, 500);
    }
    assert_eq!(bench.ready().len(), 1);
    bench.expire(1000);
    assert_eq!(bench.ready(), []);
    assert_eq!(
        bench.batcher.next_deadline(bench.at(0)),
        Some(bench.at(1500))
    );
}

#[test]
fn a_chunk_that_comes_late_from_an_early_clock_does_not_upset_the_deadlines() {
    let mut bench = Bench::new(limits(), NeverSplit);
    bench.push_with(1, 0, 0, false, 10);
    bench.push_with(2, 0, 0, false, 5);
    assert_eq!(
        bench.batcher.next_deadline(bench.at(0)),
        Some(bench.at(1010))
    );
    bench.end_chunk(1010);
    assert_eq!(bench.ready().len(), 2);
}

#[test]
fn a_flush_delivers_all_its_key_has_when_the_chunk_ends() {
    let mut bench = Bench::new(limits(), NeverSplit);
    bench.push(1, 0);
    bench.push(2, 0);
    bench.end_chunk(0);
    bench.push_with(1, 1, 0, true, 0);
    assert_eq!(bench.ready(), []);
    bench.end_chunk(0);
    assert_eq!(bench.ready(), [(1, vec![0, 1], Trigger::Flush)]);
}

#[test]
fn a_flush_does_not_reach_beyond_the_batch_of_its_message() {
    let mut bench = Bench::new(limits(), NeverSplit);
    bench.push_with(1, 0, 0, true, 0);
    for item in 1..4 {
        bench.push(1, item);
    }
    bench.end_chunk(0);
    assert_eq!(bench.ready(), [(1, vec![0, 1, 2], Trigger::Size)]);
    assert_eq!(bench.batcher.buffered(), 1);
}

/// Found by the model: key 3 got the slot of key 1, and was flushed in its place.
#[test]
fn flushes_leave_in_the_order_they_were_asked_for() {
    let size = 1;
    let mut bench = Bench::new(BatchLimits { size, ..limits() }, NeverSplit);
    bench.push_with(1, 0, 0, true, 0);
    bench.batcher.limits.size = 3;
    bench.push_with(3, 0, 0, false, 0);
    bench.push_with(2, 0, 0, true, 0);
    bench.push_with(3, 1, 0, true, 0);
    bench.end_chunk(0);
    let keys: Vec<u8> = bench.ready().iter().map(|batch| batch.0).collect();
    assert_eq!(keys, [1, 2, 3]);
}

#[test]
fn a_new_key_beyond_the_cap_delivers_the_oldest() {
    let open_max = 2;
    let mut bench = Bench::new(
        BatchLimits {
            open_max,
            ..limits()
        },
        NeverSplit,
    );
    for key in [1, 2, 1, 3] {
        bench.push(key, u32::from(key));
    }
    assert_eq!(bench.ready(), [(1, vec![1, 1], Trigger::Limit)]);
    assert_eq!(bench.batcher.open(), 2);
}

#[test]
fn a_message_beyond_the_cap_delivers_the_oldest_even_its_own() {
    let buffered_max = 2;
    let mut bench = Bench::new(
        BatchLimits {
            buffered_max,
            ..limits()
        },
        NeverSplit,
    );
    for item in 0..3 {
        bench.push(1, item);
    }
    assert_eq!(bench.ready(), [(1, vec![0, 1], Trigger::Limit)]);
    bench.push(2, 3);
    bench.push(2, 4);
    assert_eq!(bench.ready(), [(1, vec![2], Trigger::Limit)]);
    assert_eq!(bench.batcher.buffered(), 2);
}

/// Emits when the sum of a key reaches ten, carries the excess on, and refuses 99.
struct SumOfTen;

impl Splitter<u32> for SumOfTen {
    type State = u32;

    fn start(&self) -> u32 {
        0
    }

    fn split(&self, sum: &mut u32, &item: &u32) -> SplitDecision {
        if item == 99 {
            return SplitDecision::Refuse;
        }
        *sum += item;
        if *sum < 10 {
            return SplitDecision::Continue;
        }
        *sum -= 10;
        SplitDecision::Emit
    }
}

#[test]
fn splitter_state_is_kept_after_an_emit() {
    let size = 100;
    let mut bench = Bench::new(BatchLimits { size, ..limits() }, SumOfTen);
    bench.push(1, 14);
    bench.push(1, 5);
    bench.push(1, 1);
    let split = [
        (1, vec![14], Trigger::Split),
        (1, vec![5, 1], Trigger::Split),
    ];
    assert_eq!(bench.ready(), split);
}

#[test]
fn splitter_state_counts_as_a_key_and_the_longest_idle_goes_first() {
    let open_max = 2;
    let mut bench = Bench::new(
        BatchLimits {
            open_max,
            ..limits()
        },
        SumOfTen,
    );
    bench.push(1, 14);
    bench.push(2, 1);
    assert_eq!((bench.batcher.keys(), bench.batcher.open()), (2, 1));
    bench.push(3, 1);
    // Key 1 had no batch: it was forgotten, and nothing was delivered for its room.
    assert_eq!(bench.ready(), [(1, vec![14], Trigger::Split)]);
    bench.push(1, 5);
    assert_eq!(bench.ready(), [(2, vec![1], Trigger::Limit)]);
    bench.push(1, 4);
    assert_eq!(bench.ready(), []);
}

#[test]
fn a_refused_message_comes_back_and_changes_nothing() {
    let open_max = 1;
    let mut bench = Bench::new(
        BatchLimits {
            open_max,
            ..limits()
        },
        SumOfTen,
    );
    bench.push(1, 2);
    for key in [1, 2] {
        let now = bench.start;
        let pushed = bench.batcher.push(&key, 99, 0, true, now, &mut bench.ready);
        assert_eq!(pushed, Err(99));
    }
    bench.end_chunk(0);
    assert_eq!(bench.ready(), []);
    assert_eq!(bench.batcher.buffered(), 1);
}

#[test]
fn emptied_bins_are_used_again_up_to_a_bound() {
    let mut bench = Bench::new(limits(), NeverSplit);
    for _ in 0..bench.batcher.spare_max + 10 {
        bench.batcher.recycle(Vec::with_capacity(1000));
    }
    assert_eq!(bench.batcher.spare.len(), SPARE_BUFFERS_SMALL);
    bench.push(1, 0);
    bench.batcher.drain(&mut bench.ready);
    assert!(bench.ready[0].items.capacity() >= 1000);
}
