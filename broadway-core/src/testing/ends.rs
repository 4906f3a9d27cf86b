//! Checks on how a run ended.

use std::{collections::HashMap, fmt, hash::Hash};

use crate::pipeline::{Topology, Totals};

/// Checks that the values of each key only rise: the order that `partition_by` guarantees for messages numbered by
/// their sender.
///
/// ```
/// use broadway_core::testing::assert_order_per_key;
///
/// assert_order_per_key([("a", 1), ("b", 1), ("a", 2)]);
/// ```
///
/// # Panics
///
/// Panics with the first key and the two values that are out of order, or equal.
#[track_caller]
pub fn assert_order_per_key<K, V>(handled: impl IntoIterator<Item = (K, V)>)
where
    K: Hash + Eq + fmt::Debug,
    V: Ord + fmt::Debug,
{
    let mut last: HashMap<K, V> = HashMap::new();
    for (key, value) in handled {
        if let Some(before) = last.get(&key) {
            assert!(
                *before < value,
                "key {key:?} is out of order: {value:?} came after {before:?}"
            );
        }
        last.insert(key, value);
    }
}

/// Drains a topology and checks that every message was settled.
///
/// ```
/// use broadway_core::{Message, Pipeline, handler_fn, source, testing::drained};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
/// let topology = Pipeline::new(source::idle(), handler).start().await?;
/// topology.push([1, 2, 3]).await?;
/// assert_eq!(drained(&topology).await.done, 3);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
///
/// # Panics
///
/// Panics if the drain fails, or if messages were received and not settled.
pub async fn drained<T: Send + 'static>(topology: &Topology<T>) -> Totals {
    match topology.drain().await {
        Ok(totals) => {
            assert_eq!(
                totals.in_flight(),
                0,
                "drained, but not all is settled: {totals:?}"
            );
            totals
        }
        Err(error) => panic!("the topology did not drain: {error}"),
    }
}
