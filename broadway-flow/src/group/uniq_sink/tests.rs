//! Tests of [`UniqSink`]: how states are saved and restored.

use std::sync::Mutex;

use super::*;
use crate::{
    Timestamp,
    group::{
        durability::{Durable, Volatile},
        route::worker_of,
    },
    sink::Collect,
    state::StateLoad,
    window::WindowKind,
};

type Out = Arc<Mutex<Vec<u32>>>;

fn sink<D: KeysDurability<u32>>(
    (worker, workers): (usize, usize),
    out: &Out,
) -> UniqSink<u32, u32, D> {
    let kind = WindowKind::Time {
        size: 10,
        slide: 10,
        offset: 0,
    };
    let keys = Uniq::new(kind, 0, 100).expect("the windows have a grid");
    let (info, seat) = (OperatorInfo::new("uniq"), Seat::alone(worker, workers));
    let next = Box::new(Collect::new(Arc::clone(out)));
    UniqSink::new(
        keys,
        Share::OfKeys,
        LateOutput::none(),
        Arc::new(info),
        &seat,
        next,
    )
}

const fn at(time: i64) -> At {
    At {
        time: Timestamp::from_millis(time),
        ..At::NONE
    }
}

/// The states of two workers with the keys 0 to 9, and a watermark of 25.
fn saved<D: KeysDurability<u32>>() -> StateLoad {
    let mut saved = Vec::new();
    for worker in 0..2 {
        let mut sink = sink::<D>((worker, 2), &Out::default());
        for key in (0..10).filter(|key| worker_of(key, 2) == worker) {
            sink.push((key, key), at(30)).unwrap();
        }
        let watermark = Timestamp::from_millis(25);
        sink.signal(&mut Signal::Watermark(watermark)).unwrap();
        sink.signal(&mut Signal::Save(&mut saved)).unwrap();
    }
    StateLoad::new(&saved)
}

#[test]
fn another_number_of_workers_restores_the_keys_and_the_watermark() {
    let load = saved::<Durable>();
    let out = Out::default();
    for worker in 0..3 {
        let mut sink = sink::<Durable>((worker, 3), &out);
        sink.signal(&mut Signal::Load(&load)).unwrap();
        for key in (0..15).filter(|key| worker_of(key, 3) == worker) {
            sink.push((key, key), at(31)).unwrap();
        }
        // Late.
        sink.push((77, 77), at(3)).unwrap();
        sink.signal(&mut Signal::Finish).unwrap();
    }
    let mut out = out.lock().unwrap();
    out.sort_unstable();
    assert_eq!(*out, (10..15).collect::<Vec<_>>());
}

#[test]
fn keys_that_are_not_durable_are_not_saved_and_not_loaded() {
    assert!(saved::<Volatile>().is_empty());
    let load = saved::<Durable>();
    let mut sink = sink::<Volatile>((0, 1), &Out::default());
    let error = sink
        .signal(&mut Signal::Load(&load))
        .unwrap_err()
        .to_string();
    assert!(error.contains("call `durable`"), "{error}");
}
