//! Tests of [`JoinSink`]: how states are saved and restored.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::*;
use crate::{machine::joins::JoinMode, sink::Collect, state::StateLoad, window::WindowKind};

type Out = Arc<Mutex<Vec<(Option<u32>, Option<u32>)>>>;

const SIZE: WindowKind = WindowKind::Time {
    size: 10,
    slide: 10,
    offset: 0,
};

fn sink(
    (worker, workers): (usize, usize),
    codec: Option<Codec<u32, u32, u32>>,
    out: &Out,
) -> impl Sink<(u32, Side<u32, u32>)> {
    let state = JoinState::new(SIZE, 0, JoinMode::Full, 100).expect("the windows have a grid");
    let (info, seat) = (OperatorInfo::new("join"), Seat::alone(worker, workers));
    let late = LateOutput::none();
    let next = Box::new(Collect::new(Arc::clone(out)));
    let f = |left, right| (left, right);
    JoinSink::new(state, 0, f, late, Arc::new(info), &seat, next).saved_with(codec)
}

const fn at(time: i64) -> At {
    At {
        time: Timestamp::from_millis(time),
        ..At::NONE
    }
}

/// The states of two workers with the keys 0 to 9, and a watermark of 25.
fn saved(codec: Option<Codec<u32, u32, u32>>) -> Vec<SavedState> {
    let mut saved = Vec::new();
    for worker in 0..2 {
        let mut sink = sink((worker, 2), codec, &Out::default());
        for key in (0..10).filter(|key| worker_of(key, 2) == worker) {
            sink.push((key, Side::Left(key)), at(30)).unwrap();
        }
        let watermark = Timestamp::from_millis(25);
        sink.signal(&mut Signal::Watermark(watermark)).unwrap();
        sink.signal(&mut Signal::Save(&mut saved)).unwrap();
    }
    saved
}

fn load(saved: Vec<SavedState>) -> StateLoad {
    StateLoad {
        by_operator: HashMap::from([(0, saved)]),
    }
}

#[test]
fn another_number_of_workers_restores_each_event_once() {
    let load = load(saved(Some(Codec::new())));
    let out = Out::default();
    for worker in 0..3 {
        let mut sink = sink((worker, 3), Some(Codec::new()), &out);
        sink.signal(&mut Signal::Load(&load)).unwrap();
        for key in (5..10).filter(|key| worker_of(key, 3) == worker) {
            sink.push((key, Side::Right(key)), at(31)).unwrap();
        }
        sink.signal(&mut Signal::Finish).unwrap();
    }
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    out.sort_unstable();
    let expected = (0..10).map(|key| (Some(key), (key >= 5).then_some(key)));
    assert_eq!(*out, expected.collect::<Vec<_>>());
}

#[test]
fn an_event_behind_the_restored_watermark_is_late() {
    let load = load(saved(Some(Codec::new())));
    let out = Out::default();
    let mut sink = sink((0, 1), Some(Codec::new()), &out);
    sink.signal(&mut Signal::Load(&load)).unwrap();
    sink.push((77, Side::Right(77)), at(3)).unwrap();
    sink.signal(&mut Signal::Finish).unwrap();
    assert_eq!(out.lock().unwrap().len(), 10);
}

#[test]
fn a_join_that_is_not_durable_saves_nothing_and_refuses_to_load() {
    assert!(saved(None).is_empty());
    let load = load(saved(Some(Codec::new())));
    let mut sink = sink((0, 1), None, &Out::default());
    let error = sink
        .signal(&mut Signal::Load(&load))
        .unwrap_err()
        .to_string();
    assert!(error.contains("call `durable`"), "{error}");
}
