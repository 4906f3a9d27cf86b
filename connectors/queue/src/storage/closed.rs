//! [`Closed`]: stands for a store that is being opened again.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Space, Storage, StorageError, Sync, Write};

/// Refuses everything.
#[derive(Debug)]
pub(crate) struct Closed;

fn closed<T>() -> Result<T, StorageError> {
    Err(StorageError::Full("it is being opened again".to_owned()))
}

impl Storage for Closed {
    fn spaces(&self) -> Vec<(String, Space)> {
        Vec::new()
    }

    fn space(&self, _: &str) -> Result<Space, StorageError> {
        closed()
    }

    fn drop_space(&self, _: Space) -> Result<(), StorageError> {
        closed()
    }

    fn commit(&self, _: Vec<Write>, _: Sync) -> Result<(), StorageError> {
        closed()
    }

    fn get(&self, _: Space, _: &[u8]) -> Result<Option<Bytes>, StorageError> {
        closed()
    }

    fn scan(
        &self,
        _: Space,
        _: &[u8],
        _: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        closed()
    }

    fn floor(&self, _: Space, _: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, StorageError> {
        closed()
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}
