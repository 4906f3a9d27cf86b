//! Spaces that come and go.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use super::{subjects::Subject, *};

pub(super) fn spaces_survive_reopening(subject: &mut impl Subject) {
    let store = subject.open().unwrap();
    let (b, a) = (store.space("b").unwrap(), store.space("a-1_x.Y").unwrap());
    assert_eq!(store.space("b").unwrap(), b);
    assert_eq!(
        store.spaces(),
        [("a-1_x.Y".to_owned(), a), ("b".to_owned(), b)]
    );
    store
        .commit(vec![put(a, "1", "one"), put(b, "1", "eins")], Sync::Synced)
        .unwrap();
    store
        .commit(
            vec![put(a, "2", "two"), Write::Delete(b, "1".into())],
            Sync::Buffered,
        )
        .unwrap();
    drop(store);
    for _ in 0..3 {
        let store = subject.open().unwrap();
        let spaces = store.spaces();
        let names = spaces
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>();
        assert_eq!(names, ["a-1_x.Y", "b"]);
        assert_eq!(keys(&*store, spaces[0].1), [b"1", b"2"]);
        assert_eq!(store.get(spaces[0].1, b"2").unwrap().unwrap(), "two");
        assert_eq!(store.get(spaces[1].1, b"1").unwrap(), None);
        subject.kill(store);
    }
}

pub(super) fn a_name_of_a_dropped_space_is_a_new_space(subject: &mut impl Subject) {
    let mut numbers = BTreeSet::new();
    for _ in 0..3 {
        let store = subject.open().unwrap();
        assert_eq!(store.spaces(), []);
        numbers.clear();
        for round in 0..4 {
            let space = store.space("a").unwrap();
            assert!(numbers.insert(space));
            assert_eq!(pairs(&*store, space, b"").unwrap(), []);
            store
                .commit(vec![put(space, key(round), "x")], Sync::Buffered)
                .unwrap();
            assert_eq!(keys(&*store, space), [key(round)]);
            store.drop_space(space).unwrap();
            assert_eq!(store.spaces(), []);
        }
    }
}

pub(super) fn a_dropped_space_frees_its_room(subject: &mut impl Subject) {
    let store = subject.open().unwrap();
    let kept = store.space("kept").unwrap();
    let dropped = store.space("dropped").unwrap();
    const LENGTH: usize = 64 * 1024;
    for number in 0..64 {
        let writes = vec![put(dropped, key(number), value(number, LENGTH))];
        store.commit(writes, Sync::Buffered).unwrap();
    }
    store
        .commit(vec![put(kept, "1", "one")], Sync::Synced)
        .unwrap();
    let wait = |is_met: &dyn Fn() -> bool| {
        let since = Instant::now();
        while !is_met() {
            assert!(
                since.elapsed() < Duration::from_secs(20),
                "{} bytes",
                store.disk_bytes()
            );
            // No event reports that a thread of the store has written a table.
            thread::park_timeout(Duration::from_millis(5));
        }
    };
    // What is in memory is in a log. Tables that become due are written meanwhile.
    wait(&|| store.disk_bytes() > 60 * LENGTH as u64);
    let before = store.disk_bytes();
    store.drop_space(dropped).unwrap();
    // The log has about as many bytes as the tables, and keeps them for a while.
    wait(&|| store.disk_bytes() < before * 2 / 3);
    assert_eq!(store.get(kept, b"1").unwrap().unwrap(), "one");
}

pub(super) fn a_dropped_space_is_readable_by_a_read_that_began(subject: &mut impl Subject) {
    let store = subject.open().unwrap();
    let space = store.space("a").unwrap();
    for number in 0..100 {
        let writes = vec![put(space, key(number), value(number, 20_000))];
        store.commit(writes, Sync::Buffered).unwrap();
    }
    let mut seen = 0;
    let scan = store.scan(space, b"", &mut |key, bytes| {
        if seen == 3 {
            store.drop_space(space).unwrap();
            assert!(store.get(space, key).is_err());
            let other = store.space("b").unwrap();
            store
                .commit(vec![put(other, "1", "one")], Sync::Buffered)
                .unwrap();
            assert_eq!(store.get(other, b"1").unwrap().unwrap(), "one");
        }
        assert_eq!(bytes, value(seen, 20_000));
        seen += 1;
        ControlFlow::Continue(())
    });
    scan.unwrap();
    assert_eq!(seen, 100);
    assert_eq!(store.spaces().len(), 1);
}

pub(super) fn odd_names_are_refused(subject: &mut impl Subject) {
    let store = subject.open().unwrap();
    for name in ["", "a/b", "..\\a", "a b", "ä", "#marks", &"a".repeat(256)] {
        assert!(
            matches!(store.space(name), Err(StorageError::Failed(_))),
            "{name}"
        );
    }
    for name in ["default", "0", "..", "-", "A_z.9", &"a".repeat(255)] {
        let space = store.space(name).unwrap();
        store
            .commit(vec![put(space, "1", name)], Sync::Buffered)
            .unwrap();
    }
    drop(store);
    let store = subject.open().unwrap();
    assert_eq!(store.spaces().len(), 6);
    for (name, space) in store.spaces() {
        assert_eq!(store.get(space, b"1").unwrap().unwrap(), name);
    }
}

pub(super) fn spaces_keep_their_numbers_while_others_come_and_go(subject: &mut impl Subject) {
    const ROUNDS: u64 = 50;
    let store = subject.open().unwrap();
    let kept = store.space("kept").unwrap();
    let mut spaces = Vec::new();
    for round in 0..ROUNDS {
        let space = store.space(&format!("s-{round}")).unwrap();
        let writes = vec![
            put(space, key(round), value(round, 100)),
            put(kept, key(round), ""),
        ];
        store.commit(writes, Sync::Buffered).unwrap();
        spaces.push(space);
        if round >= 3 {
            store.drop_space(spaces.remove(0)).unwrap();
        }
        for (number, &space) in (round.saturating_sub(2)..).zip(&spaces) {
            assert_eq!(
                store.get(space, &key(number)).unwrap().unwrap(),
                value(number, 100)
            );
        }
    }
    assert_eq!(keys(&*store, kept).len() as u64, ROUNDS);
    for space in spaces.drain(..).rev() {
        store.drop_space(space).unwrap();
    }
    subject.kill(store);
    // A store that goes on where spaces were dropped last must not take new spaces for them.
    let store = subject.open().unwrap();
    assert_eq!(store.spaces().len(), 1);
    let new = store.space("new").unwrap();
    store
        .commit(vec![put(new, "1", "one")], Sync::Synced)
        .unwrap();
    subject.kill(store);
    let store = subject.open().unwrap();
    let names = store.spaces();
    assert_eq!(
        names
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["kept", "new"]
    );
    assert_eq!(store.get(names[1].1, b"1").unwrap().unwrap(), "one");
    assert_eq!(keys(&*store, names[0].1).len() as u64, ROUNDS);
}

pub(super) fn a_space_that_takes_the_place_of_others_stays(subject: &mut impl Subject) {
    let come_and_go = |store: &dyn Storage| {
        let spaces = (0..4).map(|number| store.space(&number.to_string()).unwrap());
        for space in spaces.collect::<Vec<_>>() {
            store.drop_space(space).unwrap();
        }
    };
    for round in 0..5 {
        let store = subject.open().unwrap();
        for (name, space) in store.spaces() {
            assert_eq!(store.get(space, b"name").unwrap().unwrap(), name);
        }
        assert_eq!(store.spaces().len(), round);
        come_and_go(&*store);
        subject.kill(store);
        let store = subject.open().unwrap();
        let name = format!("kept-{round}");
        let space = store.space(&name).unwrap();
        store
            .commit(vec![put(space, "name", name)], Sync::Synced)
            .unwrap();
        come_and_go(&*store);
        subject.kill(store);
    }
}
