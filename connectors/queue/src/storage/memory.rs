//! [`MemoryStorage`]: a store in memory, for tests. Its [`Device`] outlives it, and injects faults.
//!
//! It has no clock, no threads and no randomness: the same calls end the same.

mod device;
mod faults;
mod tests;

use std::{
    collections::BTreeMap,
    ops::{Bound, ControlFlow},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use self::device::{Change, State, Value};
pub(crate) use self::{device::Device, faults::Fault};
use super::{Space, Storage, StorageError, Sync, Write, latch::Latch};

/// A store on a [`Device`].
///
/// Making and dropping a space syncs all earlier commits, and so does opening, as in the other stores.
#[derive(Debug)]
pub(crate) struct MemoryStorage {
    device: Device,
    /// Which of the stores that were opened on the device this is. Others are dead.
    generation: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    latch: Latch,
    names: BTreeMap<Space, String>,
    next: u32,
}

impl MemoryStorage {
    /// Opens the store on this device.
    pub(crate) fn open(device: &Device) -> Result<Self, StorageError> {
        let mut state = device.state();
        if state.is_open {
            return Err(StorageError::Failed(
                "another process has the store open".into(),
            ));
        }
        state.is_open = true;
        state.generation += 1;
        state.sync();
        state.current = state.synced.clone();
        let generation = state.generation;
        let mut inner = Inner::default();
        for name in state.current.keys() {
            inner.insert(name);
        }
        drop(state);
        Ok(Self {
            device: device.clone(),
            generation,
            inner: Mutex::new(inner),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device, unless the process of this store ended.
    fn state(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let state = self.device.state();
        match state.is_open && state.generation == self.generation {
            true => Ok(state),
            false => Err(StorageError::Failed(
                "the process of this store ended".into(),
            )),
        }
    }

    /// Begins a read: the device, and the name of the space.
    fn read(&self, space: Space) -> Result<(MutexGuard<'_, State>, String), StorageError> {
        let name = self.inner().name(space)?;
        let mut state = self.state()?;
        state.faults.begin_read()?;
        Ok((state, name))
    }
}

impl Inner {
    fn insert(&mut self, name: &str) -> Space {
        let space = Space(self.next);
        self.next += 1;
        self.names.insert(space, name.to_owned());
        space
    }

    fn name(&self, space: Space) -> Result<String, StorageError> {
        let name = self.names.get(&space).cloned();
        name.ok_or_else(|| StorageError::Failed(format!("space {} is not open", space.0)))
    }

    /// The writes with names of spaces.
    fn named(&self, writes: Vec<Write>) -> Result<Vec<Change>, StorageError> {
        let named = writes.into_iter().map(|write| match write {
            Write::Put(space, key, value) => {
                Ok((self.name(space)?, key, Some(Value::new(value.into()))))
            }
            Write::Delete(space, key) => Ok((self.name(space)?, key, None)),
        });
        named.collect()
    }
}

impl Storage for MemoryStorage {
    fn spaces(&self) -> Vec<(String, Space)> {
        let inner = self.inner();
        let mut names = inner
            .names
            .iter()
            .map(|(&space, name)| (name.clone(), space))
            .collect::<Vec<_>>();
        names.sort();
        names
    }

    fn space(&self, name: &str) -> Result<Space, StorageError> {
        let mut inner = self.inner();
        if let Some((&space, _)) = inner.names.iter().find(|(_, known)| *known == name) {
            return Ok(space);
        }
        super::check_name(name)?;
        inner.latch.check()?;
        let mut state = self.state()?;
        state.sync();
        state.synced.entry(name.to_owned()).or_default();
        state.current.entry(name.to_owned()).or_default();
        Ok(inner.insert(name))
    }

    fn drop_space(&self, space: Space) -> Result<(), StorageError> {
        let mut inner = self.inner();
        inner.latch.check()?;
        let mut state = self.state()?;
        if let Some(name) = inner.names.remove(&space) {
            state.sync();
            state.synced.remove(&name);
            state.current.remove(&name);
        }
        Ok(())
    }

    fn commit(&self, writes: Vec<Write>, sync: Sync) -> Result<(), StorageError> {
        let mut inner = self.inner();
        inner.latch.check()?;
        let mut state = self.state()?;
        let written = inner
            .named(writes)
            .and_then(|changes| state.commit(changes, sync));
        written.map_err(|error| inner.latch.fail(error))
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let (state, name) = self.read(space)?;
        let Some(value) = state.current.get(&name).and_then(|pairs| pairs.get(key)) else {
            return Ok(None);
        };
        state.faults.check(&name, key)?;
        value.read().map(Some)
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let (state, name) = self.read(space)?;
        let pairs = state.current.get(&name).cloned().unwrap_or_default();
        drop(state);
        for (key, value) in pairs.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)) {
            // Not locked while it visits: a visit may use the store.
            self.state()?.faults.check(&name, key)?;
            if visit(key, value.read()?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn floor(&self, space: Space, key: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, StorageError> {
        let (state, name) = self.read(space)?;
        let last = state.current.get(&name).and_then(|pairs| {
            pairs
                .range::<[u8], _>((Bound::Unbounded, Bound::Included(key)))
                .next_back()
        });
        let Some((key, value)) = last else {
            return Ok(None);
        };
        state.faults.check(&name, key)?;
        Ok(Some((key.clone(), value.read()?)))
    }

    fn disk_bytes(&self) -> u64 {
        self.device.state().used()
    }
}

impl Drop for MemoryStorage {
    fn drop(&mut self) {
        let mut state = self.device.state();
        if state.generation == self.generation {
            state.is_open = false;
        }
    }
}
