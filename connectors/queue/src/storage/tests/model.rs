//! Any calls, against maps in memory.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use super::{subjects::Subject, *};

#[derive(Debug, Clone)]
enum Step {
    /// Opens a space.
    Space(u8),
    Drop(u8),
    /// A commit of puts and deletes, by the space, the key and the value.
    Commit(Vec<(u8, u8, Option<u16>)>, bool),
    Reopen,
    Kill,
}

type Model = BTreeMap<String, BTreeMap<Vec<u8>, Bytes>>;

fn step() -> impl Strategy<Value = Step> {
    let write = (0..5u8, 0..20u8, proptest::option::weighted(0.8, 0..4000u16));
    prop_oneof![
        3 => (0..5u8).prop_map(Step::Space),
        1 => (0..5u8).prop_map(Step::Drop),
        12 => (vec(write, 0..6), any::<bool>()).prop_map(|(writes, sync)| Step::Commit(writes, sync)),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

fn name(space: u8) -> String {
    format!("s{space}")
}

fn check(store: &dyn Storage, model: &Model) {
    let names = store.spaces().into_iter().map(|(name, _)| name);
    assert!(names.eq(model.keys().cloned()));
    for (name, space) in store.spaces() {
        let expected = &model[&name];
        let expected = expected
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()));
        let expected = expected.collect::<Vec<_>>();
        assert_eq!(pairs(store, space, b"").unwrap(), expected);
        assert_eq!(last(store, space).unwrap(), expected.last().cloned());
        let from = [10];
        let later = expected
            .iter()
            .filter(|(key, _)| key.as_slice() >= from.as_slice());
        assert!(pairs(store, space, &from).unwrap().iter().eq(later));
        for key in 0..20 {
            let floor = expected
                .iter()
                .rfind(|(found, _)| found.as_slice() <= [key].as_slice());
            assert_eq!(store.floor(space, &[key]).unwrap().as_ref(), floor);
            let expected = expected.iter().find(|(found, _)| *found == [key]);
            let value = expected.map(|(_, value)| value);
            assert_eq!(store.get(space, &[key]).unwrap().as_ref(), value);
        }
    }
}

fn commit(
    store: &dyn Storage,
    model: &mut Model,
    writes: Vec<(u8, u8, Option<u16>)>,
    is_synced: bool,
) {
    let spaces = store.spaces().into_iter().collect::<BTreeMap<_, _>>();
    let mut changes = Vec::new();
    for (space, key, length) in writes {
        let Some(&number) = spaces.get(&name(space)) else {
            continue;
        };
        let pairs = model.get_mut(&name(space)).unwrap();
        match length {
            Some(length) => {
                let bytes = value(u64::from(length) + u64::from(key), usize::from(length));
                pairs.insert(vec![key], bytes.clone().into());
                changes.push(put(number, [key], bytes));
            }
            None => {
                pairs.remove(&vec![key]);
                changes.push(Write::Delete(number, vec![key]));
            }
        }
    }
    let sync = if is_synced {
        Sync::Synced
    } else {
        Sync::Buffered
    };
    store.commit(changes, sync).unwrap();
}

fn run<S: Subject>(steps: Vec<Step>) {
    let mut subject = S::new();
    let mut store = subject.open().unwrap();
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Space(space) => {
                store.space(&name(space)).unwrap();
                model.entry(name(space)).or_default();
            }
            Step::Drop(space) => {
                let spaces = store.spaces();
                if let Some((_, number)) = spaces.iter().find(|(known, _)| *known == name(space)) {
                    store.drop_space(*number).unwrap();
                }
                model.remove(&name(space));
            }
            Step::Commit(writes, is_synced) => commit(&*store, &mut model, writes, is_synced),
            Step::Reopen => {
                drop(store);
                store = subject.open().unwrap();
            }
            Step::Kill => {
                subject.kill(store);
                store = subject.open().unwrap();
            }
        }
        check(&*store, &model);
    }
}

pub(super) fn it_is_a_map_of_maps<S: Subject>(_: &mut S) {
    let config = ProptestConfig {
        cases: 64,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&vec(step(), 1..40), |steps| {
            run::<S>(steps);
            Ok(())
        })
        .unwrap();
}
