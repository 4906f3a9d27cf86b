//! [`open`]: the open folders of this process, each opened once.

use std::{
    collections::HashMap,
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use broadway_core::{BoxError, connector::ConnectorError};

use crate::{
    folder::QueueFolder,
    store::{Store, StoreInner},
};

/// A use of an open folder. It is closed with the last one.
#[derive(Debug)]
pub(crate) struct StoreHandle {
    path: PathBuf,
    /// Taken out when this is dropped.
    store: Option<Arc<Store>>,
}

/// The folders that are open, or that are being opened or closed.
static OPEN: Mutex<Option<HashMap<PathBuf, Entry>>> = Mutex::new(None);
/// An entry has changed from `Busy`.
static CHANGED: Condvar = Condvar::new();

enum Entry {
    Busy,
    Open { store: Arc<Store>, uses: usize },
}

/// Opens a folder, or joins those who have it open. The blocking work is done on a thread for it.
pub(crate) async fn open(folder: &QueueFolder) -> Result<StoreHandle, BoxError> {
    let folder = folder.clone();
    let opened = tokio::task::spawn_blocking(move || open_blocking(&folder)).await;
    Ok(opened.map_err(|error| {
        ConnectorError::permanent(format!("opening the folder failed: {error}"))
    })??)
}

/// The same, on this thread.
pub(crate) fn open_blocking(folder: &QueueFolder) -> Result<StoreHandle, ConnectorError> {
    let cannot = |error: std::io::Error| {
        ConnectorError::permanent(format!(
            "cannot create the folder {}: {error}",
            folder.path.display()
        ))
    };
    fs::create_dir_all(&folder.path).map_err(cannot)?;
    // Two names of one folder are one folder.
    let path = folder.path.canonicalize().map_err(cannot)?;
    let mut folder = folder.clone();
    folder.path.clone_from(&path);
    let mut open = lock();
    loop {
        let entries = open.get_or_insert_default();
        match entries.get_mut(&path) {
            None => break,
            Some(Entry::Open { store, uses }) => {
                if let Some(difference) = difference(&store.inner.folder, &folder) {
                    return Err(ConnectorError::permanent(format!(
                        "the queue in {} is open in this process with another `{difference}`; use the same options everywhere",
                        path.display()
                    )));
                }
                *uses += 1;
                let store = Some(Arc::clone(store));
                return Ok(StoreHandle { path, store });
            }
            Some(Entry::Busy) => open = CHANGED.wait(open).unwrap_or_else(PoisonError::into_inner),
        }
    }
    open.get_or_insert_default()
        .insert(path.clone(), Entry::Busy);
    drop(open);
    let opened = Store::open(&folder).map(Arc::new);
    let mut open = lock();
    let entries = open.get_or_insert_default();
    let opened = match opened {
        Ok(store) => {
            let entry = Entry::Open {
                store: Arc::clone(&store),
                uses: 1,
            };
            entries.insert(path.clone(), entry);
            Ok(StoreHandle {
                path,
                store: Some(store),
            })
        }
        Err(error) => {
            entries.remove(&path);
            Err(error)
        }
    };
    CHANGED.notify_all();
    opened
}

/// Joins those who have the folder open in this process, whatever their options.
pub(crate) fn join(path: &Path) -> Option<StoreHandle> {
    let path = path.canonicalize().ok()?;
    let mut open = lock();
    match open.get_or_insert_default().get_mut(&path) {
        Some(Entry::Open { store, uses }) => {
            *uses += 1;
            let store = Some(Arc::clone(store));
            Some(StoreHandle { path, store })
        }
        _ => None,
    }
}

/// The first option that differs.
fn difference(open: &QueueFolder, wanted: &QueueFolder) -> Option<&'static str> {
    let options = [
        ("durability", open.durability == wanted.durability),
        ("storage", open.storage == wanted.storage),
        (
            "free_space_min",
            open.free_space_min == wanted.free_space_min,
        ),
        ("ack_interval", open.ack_interval == wanted.ack_interval),
        ("segment_bytes", open.segment_bytes == wanted.segment_bytes),
    ];
    options
        .into_iter()
        .find(|(_, is_same)| !is_same)
        .map(|(name, _)| name)
}

fn lock() -> MutexGuard<'static, Option<HashMap<PathBuf, Entry>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clone for StoreHandle {
    fn clone(&self) -> Self {
        let mut open = lock();
        if let Some(Entry::Open { uses, .. }) = open.get_or_insert_default().get_mut(&self.path) {
            *uses += 1;
        }
        Self {
            path: self.path.clone(),
            store: self.store.clone(),
        }
    }
}

impl Deref for StoreHandle {
    type Target = StoreInner;

    fn deref(&self) -> &StoreInner {
        &self
            .store
            .as_ref()
            .expect("it is taken out by `drop` alone")
            .inner
    }
}

impl Drop for StoreHandle {
    /// The last handle writes the remaining requests and acknowledgements, and closes the folder.
    fn drop(&mut self) {
        let mut open = lock();
        let entries = open.get_or_insert_default();
        let is_last = match entries.get_mut(&self.path) {
            Some(Entry::Open { uses, .. }) => {
                *uses -= 1;
                *uses == 0
            }
            _ => false,
        };
        if !is_last {
            // Under the lock: the last handle must hold the last reference, or the folder would still be open after it is dropped.
            self.store = None;
            return;
        }
        // A caller that opens the folder meanwhile waits until it is closed.
        let entry = entries.insert(self.path.clone(), Entry::Busy);
        drop(open);
        drop((entry, self.store.take()));
        lock().get_or_insert_default().remove(&self.path);
        CHANGED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    /// A handle that is dropped beside the last one must not keep the folder open. The fault that once did so had a window of a few
    /// instructions, so this may miss it; it finds wider ones.
    #[test]
    fn a_folder_opens_again_as_soon_as_its_handles_are_dropped_by_several_threads() {
        let folder = tempfile::tempdir().unwrap();
        let options = QueueFolder::new(folder.path());
        for round in 0..20 {
            let handles: Vec<_> = (0..4).map(|_| open_blocking(&options).unwrap()).collect();
            let barrier = Barrier::new(handles.len());
            thread::scope(|scope| {
                for handle in handles {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        drop(handle);
                    });
                }
            });
            let again = open_blocking(&options);
            assert!(again.is_ok(), "round {round}: {:?}", again.err());
        }
    }
}
