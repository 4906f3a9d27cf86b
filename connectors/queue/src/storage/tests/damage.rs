//! What happens to files that were damaged.

use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write as _},
    path::Path,
};

use super::{
    subjects::{InFolder, files},
    *,
};
use crate::storage::marks::is_zero;

/// A store whose commits are in the log only: some that were synced, then others. Each has one pair of the space `a`.
fn logged<S: InFolder>(synced: u64, buffered: u64) -> S {
    let mut subject = S::new();
    let store = subject.open().unwrap();
    let space = store.space("a").unwrap();
    for number in 0..synced + buffered {
        let sync = if number < synced {
            Sync::Synced
        } else {
            Sync::Buffered
        };
        store
            .commit(vec![put(space, key(number), value(number, 500))], sync)
            .unwrap();
    }
    subject.kill(store);
    subject
}

/// The pairs of a store of [`logged`] that are left, which have to be the first ones.
fn left(store: &dyn Storage) -> u64 {
    let space = store.space("a").unwrap();
    let pairs = pairs(store, space, b"").unwrap();
    for (number, (found, bytes)) in (0..).zip(&pairs) {
        assert_eq!((found, bytes), (&key(number), &value(number, 500).into()));
    }
    pairs.len() as u64
}

/// Where the log has these bytes.
fn place(log: &[u8], bytes: &[u8]) -> usize {
    log.windows(bytes.len())
        .position(|window| window == bytes)
        .unwrap()
}

/// A file without the zeros at its end.
fn read(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    while let Some(chunk) = bytes.rchunks(4096).next().filter(|chunk| is_zero(chunk)) {
        bytes.truncate(bytes.len() - chunk.len());
    }
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    bytes.truncate(end);
    bytes
}

/// Writes bytes over those of a file, from this place on.
fn overwrite(path: &Path, place: usize, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(place as u64)).unwrap();
    file.write_all(bytes).unwrap();
}

pub(super) fn a_torn_tail_is_cut<S: InFolder>(_: &mut S) {
    let whole = logged::<S>(3, 3);
    let end = read(&whole.last_log()).len();
    let check = |damage: &dyn Fn(&Path), least: u64| {
        let subject = whole.copy();
        damage(&subject.last_log());
        for more in 0..2 {
            let store = subject.open().unwrap();
            let left = left(&*store);
            assert!((least + more..=6 + more).contains(&left), "{left}");
            let space = store.space("a").unwrap();
            let writes = vec![put(space, key(left), value(left, 500))];
            store.commit(writes, Sync::Synced).unwrap();
        }
    };
    for length in [1, 2, 5, 21, 300, 550] {
        let cut = |log: &Path| {
            let log = OpenOptions::new().write(true).open(log).unwrap();
            log.set_len((end - length) as u64).unwrap();
        };
        check(&cut, 5);
        for garbage in [0, 1, 0xff] {
            let garble = |log: &Path| {
                overwrite(log, end - length, &vec![garbage; length]);
            };
            check(&garble, 5);
        }
        let append = |log: &Path| {
            overwrite(log, end, &value(7, length));
        };
        check(&append, 6);
    }
}

pub(super) fn damage_before_synced_commits_is_refused<S: InFolder>(_: &mut S) {
    let whole = logged::<S>(6, 2);
    // The value, the key before it, and the lengths and numbers of the record before that.
    for (number, offset) in [
        (0, 250),
        (3, 250),
        (4, 499),
        (3, -3),
        (3, -12),
        (3, -17),
        (3, -27),
        (3, -40),
    ] {
        let subject = whole.copy();
        let log = subject.last_log();
        let bytes = read(&log);
        let place = place(&bytes, &value(number, 500)).strict_add_signed(offset);
        overwrite(&log, place, &[bytes[place] ^ 4]);
        for _ in 0..2 {
            let opened = subject.open();
            assert!(
                matches!(opened, Err(StorageError::Corrupt(_))),
                "{number}, {offset}"
            );
        }
        // Nothing was changed.
        overwrite(&log, place, &[bytes[place]]);
        assert_eq!(left(&*subject.open().unwrap()), 8);
    }
}

pub(super) fn damage_in_commits_that_were_not_synced_is_cut<S: InFolder>(_: &mut S) {
    let whole = logged::<S>(3, 6);
    for number in [3, 5, 8] {
        let subject = whole.copy();
        let log = subject.last_log();
        let place = place(&read(&log), &value(number, 500));
        // Loss of power leaves holes.
        overwrite(&log, place, &[0; 500]);
        for _ in 0..2 {
            assert_eq!(left(&*subject.open().unwrap()), number);
        }
    }
}

/// A store with tables and a log. All commits but the last one are followed by one that was synced.
fn filled<S: InFolder>() -> (S, Vec<(String, Pairs)>) {
    let mut subject = S::new();
    let store = subject.open().unwrap();
    let names = ["a", "b", "state"];
    let spaces = names.map(|name| store.space(name).unwrap());
    for number in 0..150 {
        let space = spaces[usize::from(number >= 100)];
        let writes = vec![
            put(space, key(number), value(number, 6000)),
            put(spaces[2], "last", key(number)),
            put(spaces[2], [u8::try_from(number % 7).unwrap()], key(number)),
        ];
        store.commit(writes, Sync::Synced).unwrap();
    }
    // So that the log is as long as what it has.
    drop(store);
    let store = subject.open().unwrap();
    let spaces = names.map(|name| store.space(name).unwrap());
    for number in 150..160 {
        let writes = vec![put(spaces[1], key(number), value(number, 1000))];
        store.commit(writes, Sync::Synced).unwrap();
    }
    let expected = names
        .iter()
        .zip(spaces)
        .map(|(name, space)| (name.to_string(), pairs(&*store, space, b"").unwrap()));
    let expected = expected.collect();
    store
        .commit(vec![put(spaces[2], "after", "")], Sync::Synced)
        .unwrap();
    subject.kill(store);
    (subject, expected)
}

/// All pairs of all spaces, without what [`filled`] wrote last.
fn read_all(store: &dyn Storage) -> Result<Vec<(String, Pairs)>, StorageError> {
    let mut all = Vec::new();
    for (name, space) in store.spaces() {
        let mut pairs = pairs(store, space, b"")?;
        pairs.retain(|(key, _)| key != b"after");
        for (key, value) in &pairs {
            assert_eq!(store.get(space, key)?.as_ref(), Some(value));
        }
        let last = last(store, space)?;
        assert!(last.is_some_and(|(key, _)| key == b"after" || key >= pairs[pairs.len() - 1].0));
        all.push((name, pairs));
    }
    Ok(all)
}

pub(super) fn a_flipped_bit_is_never_returned_as_good<S: InFolder>(_: &mut S) {
    let (whole, expected) = filled::<S>();
    assert_eq!(read_all(&*whole.copy().open().unwrap()).unwrap(), expected);
    let mut found = 0;
    let mut flips = 0;
    for path in files(whole.folder()) {
        let bytes = read(&path);
        let end = bytes.len();
        // Some bits at both ends, where the lengths and the lists of tables are, and some between.
        let count = 8.min(end);
        for index in 0..count {
            let place = match index % 4 {
                0 => index,
                1 => end - index,
                _ => end * index / count,
            };
            let subject = whole.copy();
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << (index % 8);
            let damaged = subject
                .folder()
                .join(path.strip_prefix(whole.folder()).unwrap());
            fs::write(damaged, bytes).unwrap();
            flips += 1;
            match subject.open().and_then(|store| read_all(&*store)) {
                Ok(all) => assert_eq!(all, expected, "{}, byte {place}", path.display()),
                Err(StorageError::Corrupt(_) | StorageError::Failed(_)) => found += 1,
                Err(StorageError::Full(error)) => panic!("{error}"),
            }
        }
    }
    assert!(found > flips / 3, "{found} of {flips} were noticed");
}
