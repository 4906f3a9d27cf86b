//! Files of fjall that were damaged or not made to the end. What holds for all stores is in `storage::tests`.

use std::fs;

use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A store that wrote some tables.
fn filled() -> TempDir {
    let folder = folder();
    let store = FjallStorage::open(folder.path()).unwrap();
    let space = store.space("a").unwrap();
    for number in 0..40 {
        let value = vec![number; 20_000];
        store
            .commit(vec![Write::Put(space, vec![number], value)], Sync::Synced)
            .unwrap();
    }
    drop(store);
    check(folder.path());
    folder
}

fn check(folder: &Path) {
    let store = FjallStorage::open(folder).unwrap();
    let space = store.space("a").unwrap();
    for number in 0..40 {
        assert_eq!(
            store.get(space, &[number]).unwrap().unwrap(),
            vec![number; 20_000]
        );
    }
}

#[test]
fn a_creation_that_was_interrupted_is_finished() {
    // In the order in which fjall makes them.
    let makings: [&[&str]; 5] = [
        &["lock"],
        &["lock", "keyspaces/"],
        &["lock", "keyspaces/", "0.jnl"],
        &["lock", "keyspaces/", "0.jnl", "version"],
        &[
            "lock",
            "keyspaces/",
            "0.jnl",
            "version",
            "keyspaces/0/",
            "keyspaces/0/tables/",
        ],
    ];
    for making in makings {
        let folder = folder();
        for name in making {
            let path = folder.path().join(name);
            match *name {
                name if name.ends_with('/') => fs::create_dir(path).unwrap(),
                "0.jnl" => fs::File::create(path).unwrap().set_len(64 << 20).unwrap(),
                // It may be empty until it was synced, before the list of keyspaces is made.
                "version" if making.len() > 4 => fs::write(path, b"FJL\x03").unwrap(),
                _ => fs::write(path, b"").unwrap(),
            }
        }
        let store = FjallStorage::open(folder.path()).unwrap();
        let space = store.space("a").unwrap();
        store
            .commit(
                vec![Write::Put(space, b"1".into(), b"one".into())],
                Sync::Synced,
            )
            .unwrap();
    }
}

#[test]
fn files_that_are_missing_are_not_made_again() {
    for name in ["version", "keyspaces/0/current", "keyspaces/2/current"] {
        let folder = filled();
        let path = folder.path().join(name);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            let opened = FjallStorage::open(folder.path());
            assert!(matches!(opened, Err(StorageError::Corrupt(_))), "{name}");
        }
        fs::write(path, bytes).unwrap();
        check(folder.path());
    }
}

#[test]
fn a_damaged_list_of_tables_is_refused() {
    let folder = filled();
    for keyspace in 0..3 {
        let keyspace = folder.path().join("keyspaces").join(keyspace.to_string());
        let current = fs::read(keyspace.join("current")).unwrap();
        let number = u64::from_le_bytes(current[..8].try_into().unwrap());
        // Files of earlier versions may not be deleted yet, and are not read.
        for name in ["current".to_owned(), format!("v{number}")] {
            let path = keyspace.join(name);
            let bytes = fs::read(&path).unwrap();
            // The last byte of `current` is the kind of the checksum, which is not used.
            for place in (0..bytes.len() - 1).step_by(3) {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << (place % 8);
                fs::write(&path, damaged).unwrap();
                let opened = FjallStorage::open(folder.path());
                let opened = matches!(opened, Err(StorageError::Corrupt(_)));
                assert!(opened, "{}, byte {place}", path.display());
            }
            fs::write(path, bytes).unwrap();
        }
    }
    check(folder.path());
}

#[test]
fn a_store_that_is_opened_in_vain_is_not_changed() {
    let folder = filled();
    let store = FjallStorage::open(folder.path()).unwrap();
    let space = store.space("a").unwrap();
    // The journal of an open store ends anywhere. Only its own process may cut it.
    for number in 40..60 {
        let write = Write::Put(space, vec![number], vec![number; 1000]);
        store.commit(vec![write], Sync::Buffered).unwrap();
        assert!(number % 10 > 0 || FjallStorage::open(folder.path()).is_err());
    }
    drop(store);
    let store = FjallStorage::open(folder.path()).unwrap();
    let space = store.space("a").unwrap();
    assert_eq!(store.floor(space, &[0xff]).unwrap().unwrap().0, [59]);
}
