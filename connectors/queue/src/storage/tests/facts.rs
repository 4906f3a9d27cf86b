//! Commits and reads.

use std::thread;

use super::{subjects::Subject, *};

pub(super) fn a_scan_starts_at_the_key_and_ends_at_a_break(subject: &mut impl Subject) {
    let store = subject.open().unwrap();
    let space = store.space("a").unwrap();
    let other = store.space("b").unwrap();
    for number in [30, 10, 20, 1000, 256] {
        let writes = vec![
            put(space, key(number), value(number, 10)),
            put(other, key(15), ""),
        ];
        store.commit(writes, Sync::Buffered).unwrap();
    }
    let from = |from: u64| {
        let pairs = pairs(&*store, space, &key(from)).unwrap();
        for (found, bytes) in &pairs {
            let number = u64::from_be_bytes(found.as_slice().try_into().unwrap());
            assert_eq!(*bytes, value(number, 10));
        }
        pairs.len()
    };
    assert_eq!(
        (from(0), from(10), from(11), from(1000), from(1001)),
        (5, 5, 4, 1, 0)
    );
    assert_eq!(keys(&*store, space), [10, 20, 30, 256, 1000].map(key));
    let mut seen = Vec::new();
    let scan = store.scan(space, &key(11), &mut |key, _| {
        seen.push(key.to_owned());
        match seen.len() {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    scan.unwrap();
    assert_eq!(seen, [key(20), key(30)]);
}

pub(super) fn the_last_pair_is_found(subject: &mut impl Subject) {
    let store = subject.open().unwrap();
    let space = store.space("a").unwrap();
    assert_eq!(last(&*store, space).unwrap(), None);
    for number in 0..300 {
        store
            .commit(
                vec![put(space, key(number), value(number, 3000))],
                Sync::Buffered,
            )
            .unwrap();
        let expected = Some((key(number), value(number, 3000).into()));
        assert_eq!(last(&*store, space).unwrap(), expected);
    }
    for number in (1..300).rev() {
        store
            .commit(vec![Write::Delete(space, key(number))], Sync::Buffered)
            .unwrap();
        assert_eq!(last(&*store, space).unwrap().unwrap().0, key(number - 1));
    }
    store
        .commit(vec![Write::Delete(space, key(0))], Sync::Buffered)
        .unwrap();
    assert_eq!(last(&*store, space).unwrap(), None);
    assert_eq!(pairs(&*store, space, b"").unwrap(), []);
}

pub(super) fn the_last_pair_up_to_a_key_is_found(subject: &mut impl Subject) {
    let store = subject.open().unwrap();
    let space = store.space("a").unwrap();
    for number in (10..2000).step_by(10) {
        store
            .commit(
                vec![put(space, key(number), value(number, 3000))],
                Sync::Buffered,
            )
            .unwrap();
    }
    store
        .commit(vec![Write::Delete(space, key(1000))], Sync::Buffered)
        .unwrap();
    let floor = |number: u64| {
        let pair = store.floor(space, &key(number)).unwrap();
        pair.map(|(found, bytes)| {
            let number = u64::from_be_bytes(found.try_into().unwrap());
            assert_eq!(bytes, value(number, 3000));
            number
        })
    };
    let found = [0, 9, 10, 11, 19, 20, 999, 1000, 1009, 1010, 1990, 5000].map(floor);
    let expected = [0, 0, 10, 10, 10, 20, 990, 990, 990, 1010, 1990, 1990];
    assert_eq!(found.map(|found| found.unwrap_or(0)), expected);
}

pub(super) fn a_commit_is_all_or_nothing_after_a_kill(subject: &mut impl Subject) {
    for round in 0..5 {
        let store = subject.open().unwrap();
        let (a, b) = (store.space("a").unwrap(), store.space("b").unwrap());
        assert_eq!(keys(&*store, a).len(), round * 10);
        for number in 0..10 {
            let key = key((round * 10 + number) as u64);
            let sync = if number % 3 == 0 {
                Sync::Synced
            } else {
                Sync::Buffered
            };
            store
                .commit(vec![put(a, key.clone(), "a"), put(b, key, "b")], sync)
                .unwrap();
        }
        subject.kill(store);
        let store = subject.open().unwrap();
        let spaces = store.spaces();
        let found = spaces
            .iter()
            .map(|(_, space)| keys(&*store, *space))
            .collect::<Vec<_>>();
        assert_eq!(found[0].len(), (round + 1) * 10);
        assert_eq!(found[0], found[1]);
    }
}

pub(super) fn a_commit_to_an_unknown_space_ends_the_writes(subject: &mut impl Subject) {
    let store = subject.open().unwrap();
    let space = store.space("a").unwrap();
    let dropped = store.space("b").unwrap();
    store.drop_space(dropped).unwrap();
    for unknown in [dropped, Space(1000)] {
        assert!(matches!(
            store.get(unknown, b"1"),
            Err(StorageError::Failed(_))
        ));
        assert!(matches!(
            store.floor(unknown, b"1"),
            Err(StorageError::Failed(_))
        ));
        assert!(pairs(&*store, unknown, b"").is_err());
        store.drop_space(unknown).unwrap();
    }
    let writes = vec![put(space, "1", ""), put(dropped, "1", "")];
    assert!(matches!(
        store.commit(writes, Sync::Synced),
        Err(StorageError::Failed(_))
    ));
    let later = store.commit(vec![put(space, "2", "")], Sync::Synced);
    assert!(matches!(later, Err(StorageError::Failed(_))));
    assert!(matches!(
        store.commit(Vec::new(), Sync::Buffered),
        Err(StorageError::Failed(_))
    ));
    assert!(store.space("c").is_err());
    assert!(store.drop_space(space).is_err());
    drop(store);
    let store = subject.open().unwrap();
    let space = store.space("a").unwrap();
    assert_eq!(pairs(&*store, space, b"").unwrap(), []);
    store
        .commit(vec![put(space, "3", "")], Sync::Synced)
        .unwrap();
}

pub(super) fn a_second_opening_is_refused(subject: &mut impl Subject) {
    for _ in 0..2 {
        let store = subject.open().unwrap();
        let space = store.space("a").unwrap();
        assert!(matches!(subject.open(), Err(StorageError::Failed(_))));
        store
            .commit(vec![put(space, "1", "one")], Sync::Synced)
            .unwrap();
        assert!(matches!(subject.open(), Err(StorageError::Failed(_))));
        assert_eq!(store.get(space, b"1").unwrap().unwrap(), "one");
    }
}

pub(super) fn all_sizes_of_values_come_back(subject: &mut impl Subject) {
    let sizes = [
        0,
        1,
        100,
        1024,
        32 * 1024 - 1,
        32 * 1024,
        65_000,
        200_000,
        256 * 1024,
        1 << 20,
    ];
    let check = |store: &dyn Storage| {
        let space = store.space("a").unwrap();
        let expected = sizes
            .iter()
            .enumerate()
            .map(|(seed, &size)| value(seed as u64, size));
        let expected = expected.collect::<Vec<_>>();
        let found = pairs(store, space, b"").unwrap();
        assert!(found.iter().map(|(_, value)| value).eq(&expected));
        for (number, value) in expected.iter().enumerate() {
            assert_eq!(
                store.get(space, &key(number as u64)).unwrap().unwrap(),
                value
            );
        }
    };
    {
        let store = subject.open().unwrap();
        let space = store.space("a").unwrap();
        let writes = sizes.iter().enumerate();
        let writes =
            writes.map(|(seed, &size)| put(space, key(seed as u64), value(seed as u64, size)));
        store.commit(writes.collect(), Sync::Synced).unwrap();
        check(&*store);
    }
    check(&*subject.open().unwrap());
}

pub(super) fn reads_see_whole_commits(subject: &mut impl Subject) {
    let store = subject.open().unwrap();
    let space = store.space("a").unwrap();
    store
        .commit(
            vec![put(space, "a", "0"), put(space, "b", "0")],
            Sync::Buffered,
        )
        .unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while seen < 500 {
                let pairs = pairs(&*store, space, b"").unwrap();
                let [(_, a), (_, b)] = pairs.as_slice() else {
                    panic!("{pairs:?}");
                };
                assert_eq!(a, b);
                let now = String::from_utf8(a.to_vec())
                    .unwrap()
                    .parse::<u32>()
                    .unwrap();
                assert!(now >= seen);
                seen = now;
            }
        });
        for number in 1..=500 {
            let number = number.to_string();
            let writes = vec![
                put(space, "a", number.as_str()),
                put(space, "b", number.as_str()),
            ];
            store.commit(writes, Sync::Buffered).unwrap();
        }
        reader.join().unwrap();
    });
}
