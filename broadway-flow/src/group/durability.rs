//! [`Durability`] and [`KeysDurability`]: whether the states of an operator can be saved.

use std::hash::Hash;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Aggregate,
    machine::{uniq::Uniq, windows::WindowState},
};

/// Whether the states of an aggregation can be saved.
#[doc(hidden)]
pub trait Durability<T, K, A: Aggregate<T>>: 'static {
    fn save(state: &WindowState<T, K, A>) -> Option<Vec<u8>>;

    /// Adds the saved states of the keys that `keep` accepts.
    fn load(
        state: &mut WindowState<T, K, A>,
        bytes: &[u8],
        keep: &dyn Fn(&K) -> bool,
    ) -> Result<(), String>;

    const IS_DURABLE: bool;
}

/// States are lost with the process.
#[doc(hidden)]
#[derive(Debug)]
pub struct Volatile;

/// States can be saved.
#[doc(hidden)]
#[derive(Debug)]
pub struct Durable;

impl<T, K, A: Aggregate<T>> Durability<T, K, A> for Volatile {
    const IS_DURABLE: bool = false;

    fn save(_state: &WindowState<T, K, A>) -> Option<Vec<u8>> {
        None
    }

    fn load(
        _state: &mut WindowState<T, K, A>,
        _bytes: &[u8],
        _keep: &dyn Fn(&K) -> bool,
    ) -> Result<(), String> {
        Err("its state is not durable: call `durable` before the aggregation".to_owned())
    }
}

impl<T, K, A> Durability<T, K, A> for Durable
where
    K: Hash + Eq + Clone + Serialize + DeserializeOwned,
    A: Aggregate<T, State: Serialize + DeserializeOwned>,
{
    const IS_DURABLE: bool = true;

    fn save(state: &WindowState<T, K, A>) -> Option<Vec<u8>> {
        Some(state.save())
    }

    fn load(
        state: &mut WindowState<T, K, A>,
        bytes: &[u8],
        keep: &dyn Fn(&K) -> bool,
    ) -> Result<(), String> {
        state.load(bytes, keep)
    }
}

/// Whether sets of keys can be saved.
#[doc(hidden)]
pub trait KeysDurability<K>: 'static {
    const IS_DURABLE: bool;

    fn save(keys: &Uniq<K>) -> Result<Option<Vec<u8>>, String>;

    /// Loads the keys that `keep` accepts, from the states of all workers.
    fn load(keys: &mut Uniq<K>, parts: &[&[u8]], keep: &dyn Fn(&K) -> bool) -> Result<(), String>;
}

impl<K> KeysDurability<K> for Volatile {
    const IS_DURABLE: bool = false;

    fn save(_keys: &Uniq<K>) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    fn load(
        _keys: &mut Uniq<K>,
        _parts: &[&[u8]],
        _keep: &dyn Fn(&K) -> bool,
    ) -> Result<(), String> {
        Err("its state is not durable: call `durable` before `uniq`".to_owned())
    }
}

impl<K: Hash + Eq + Serialize + DeserializeOwned> KeysDurability<K> for Durable {
    const IS_DURABLE: bool = true;

    fn save(keys: &Uniq<K>) -> Result<Option<Vec<u8>>, String> {
        keys.save().map(Some).map_err(|error| error.to_string())
    }

    fn load(keys: &mut Uniq<K>, parts: &[&[u8]], keep: &dyn Fn(&K) -> bool) -> Result<(), String> {
        keys.load(parts, keep).map_err(|error| error.to_string())
    }
}
