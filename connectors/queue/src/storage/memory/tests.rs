//! The faults. What holds for all stores is in `storage::tests`.

use super::*;

fn put(space: Space, key: &str, value: &str) -> Write {
    Write::Put(space, key.into(), value.into())
}

fn store(device: &Device) -> (MemoryStorage, Space) {
    let store = MemoryStorage::open(device).unwrap();
    let space = store.space("a").unwrap();
    (store, space)
}

fn keys(store: &MemoryStorage, space: Space) -> Vec<String> {
    let mut keys = Vec::new();
    let scan = store.scan(space, b"", &mut |key, _| {
        keys.push(String::from_utf8(key.into()).unwrap());
        ControlFlow::Continue(())
    });
    scan.unwrap();
    keys
}

#[test]
fn a_loss_of_power_loses_the_last_commits() {
    for keep in 0..4 {
        let device = Device::default();
        let (store, space) = store(&device);
        store
            .commit(vec![put(space, "0", "")], Sync::Synced)
            .unwrap();
        for key in ["1", "2", "3"] {
            store
                .commit(vec![put(space, key, "")], Sync::Buffered)
                .unwrap();
        }
        assert_eq!(device.unsynced(), 3);
        device.crash(keep);
        assert!(matches!(
            store.get(space, b"0"),
            Err(StorageError::Failed(_))
        ));
        let (store, space) = self::store(&device);
        assert_eq!(keys(&store, space), ["0", "1", "2", "3"][..=keep]);
    }
}

#[test]
fn a_kill_loses_nothing_until_the_power_is_lost() {
    let device = Device::default();
    let (dead, space) = store(&device);
    dead.commit(vec![put(space, "1", "")], Sync::Buffered)
        .unwrap();
    device.kill();
    let (store, space) = store(&device);
    assert_eq!(keys(&store, space), ["1"]);
    // The store that is dead does not close the one that lives.
    drop(dead);
    assert!(MemoryStorage::open(&device).is_err());
}

#[test]
fn a_commit_fails_when_it_should_and_the_store_with_it() {
    for (fault, stays) in [(Fault::Full, false), (Fault::Failed, true)] {
        let device = Device::default();
        let (store, space) = store(&device);
        device.fail_commit(1, fault, stays);
        store
            .commit(vec![put(space, "1", "")], Sync::Synced)
            .unwrap();
        let first = store
            .commit(vec![put(space, "2", "")], Sync::Synced)
            .unwrap_err();
        let second = store
            .commit(vec![put(space, "3", "")], Sync::Synced)
            .unwrap_err();
        for error in [first, second] {
            match fault {
                Fault::Full => assert!(matches!(error, StorageError::Full(_))),
                Fault::Failed => assert!(matches!(error, StorageError::Failed(_))),
            }
        }
        assert!(store.space("b").is_err());
        assert!(store.drop_space(space).is_err());
        drop(store);
        let (store, space) = self::store(&device);
        assert_eq!(keys(&store, space).len(), if stays { 2 } else { 1 });
        store
            .commit(vec![put(space, "4", "")], Sync::Synced)
            .unwrap();
        assert_eq!((device.commits(), device.syncs()), (2, 2));
    }
}

#[test]
fn a_flipped_bit_is_found() {
    let device = Device::default();
    assert!(!device.flip_bit(0, 0, 0));
    let (store, space) = store(&device);
    let writes = vec![put(space, "1", "one"), put(space, "2", "two")];
    store.commit(writes, Sync::Synced).unwrap();
    assert!(device.flip_bit(7, 3, 1000));
    assert!(matches!(
        store.get(space, b"2"),
        Err(StorageError::Corrupt(_))
    ));
    assert!(matches!(
        store.floor(space, &[u8::MAX; 9]),
        Err(StorageError::Corrupt(_))
    ));
    assert_eq!(store.get(space, b"1").unwrap().unwrap(), "one");
    drop(store);
    let (store, space) = self::store(&device);
    assert!(matches!(
        store.get(space, b"2"),
        Err(StorageError::Corrupt(_))
    ));
    store
        .commit(vec![put(space, "2", "new")], Sync::Buffered)
        .unwrap();
    assert_eq!(store.get(space, b"2").unwrap().unwrap(), "new");
}

#[test]
fn reads_fail_as_often_as_they_should() {
    let device = Device::default();
    let (store, space) = store(&device);
    store
        .commit(
            vec![put(space, "1", "one"), put(space, "2", "two")],
            Sync::Synced,
        )
        .unwrap();
    device.fail_reads(2);
    assert!(matches!(
        store.get(space, b"1"),
        Err(StorageError::Failed(_))
    ));
    assert!(matches!(
        store.floor(space, &[u8::MAX; 9]),
        Err(StorageError::Failed(_))
    ));
    assert!(store.get(space, b"1").is_ok());
    device.corrupt_key("a", b"2");
    let mut seen = 0;
    let scan = store.scan(space, b"", &mut |_, _| {
        seen += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(scan, Err(StorageError::Corrupt(_))));
    assert_eq!(seen, 1);
    assert!(store.get(space, b"1").is_ok());
    assert!(store.get(space, b"2").is_err());
    device.heal();
    assert!(store.get(space, b"2").is_ok());
}

#[test]
fn a_full_device_takes_writes_when_room_was_freed_and_it_is_opened_again() {
    let device = Device::default();
    let (store, space) = store(&device);
    let other = store.space("b").unwrap();
    device.set_capacity(Some(20));
    store
        .commit(vec![put(space, "1", "123456789")], Sync::Synced)
        .unwrap();
    store
        .commit(vec![put(other, "1", "123456789")], Sync::Synced)
        .unwrap();
    let full = store.commit(vec![put(space, "2", "")], Sync::Synced);
    assert!(matches!(full, Err(StorageError::Full(_))));
    assert!(matches!(
        store.drop_space(other),
        Err(StorageError::Full(_))
    ));
    drop(store);

    let (store, space) = self::store(&device);
    let other = store.space("b").unwrap();
    assert_eq!(keys(&store, space), ["1"]);
    store
        .commit(vec![Write::Delete(space, "1".into())], Sync::Synced)
        .unwrap();
    store
        .commit(vec![put(space, "2", "12345678")], Sync::Synced)
        .unwrap();
    store.drop_space(other).unwrap();
    store
        .commit(vec![put(space, "3", "12345678")], Sync::Synced)
        .unwrap();
    assert_eq!(store.disk_bytes(), 18);
}

#[test]
fn a_visit_may_use_the_store() {
    let device = Device::default();
    let (store, space) = store(&device);
    store
        .commit(vec![put(space, "1", "one")], Sync::Synced)
        .unwrap();
    let scan = store.scan(space, b"", &mut |key, _| {
        assert!(store.get(space, key).unwrap().is_some());
        store
            .commit(vec![Write::Delete(space, key.into())], Sync::Synced)
            .unwrap();
        ControlFlow::Continue(())
    });
    scan.unwrap();
    assert_eq!(keys(&store, space).len(), 0);
}
