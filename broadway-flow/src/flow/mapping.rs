//! Operators that handle one event at a time.

use std::hash::Hash;

use broadway_core::BoxError;

use super::Flow;
use crate::{
    chain::{Chain, Then},
    operator::{
        Custom, Enrich, Filter, FilterMap, FlatMap, Inspect, Map, MapBatch, Operator, TryMap,
        TryMapOr,
    },
    sink::OperatorInfo,
};

/// Each worker runs a clone of the function, so a function that counts counts the events of its worker.
///
/// A panic ends the flow with a [`FlowError`](crate::FlowError) that names the operator.
impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Replaces each event with another.
    pub fn map<U, F>(self, f: F) -> Flow<U, Then<C, Map<F>>>
    where
        U: Send + 'static,
        F: FnMut(T) -> U + Clone + Send + 'static,
    {
        self.then(OperatorInfo::new("map"), |info| Map::new(f, info))
    }

    /// Replaces each event with none, one or many.
    ///
    /// # Limits
    ///
    /// What the events of a packet (up to 1,000) are turned into is held until the packet is done, also if the iterator is lazy. So one event
    /// that becomes 10,000,000 needs memory for all of them; let a source emit them instead, such as [`from_iter`](Self::from_iter).
    pub fn flat_map<I, F>(self, f: F) -> Flow<I::Item, Then<C, FlatMap<F>>>
    where
        I: IntoIterator<Item: Send + 'static>,
        F: FnMut(T) -> I + Clone + Send + 'static,
    {
        self.then(OperatorInfo::new("flat_map"), |info| FlatMap::new(f, info))
    }

    /// Keeps the events for which `f` returns true.
    pub fn filter<F>(self, f: F) -> Flow<T, Then<C, Filter<F>>>
    where
        F: FnMut(&T) -> bool + Clone + Send + 'static,
    {
        self.then(OperatorInfo::new("filter"), |info| Filter::new(f, info))
    }

    /// Drops the events for which `f` returns true.
    pub fn reject<F>(
        self,
        mut f: F,
    ) -> Flow<T, Then<C, Filter<impl FnMut(&T) -> bool + Clone + Send + 'static>>>
    where
        F: FnMut(&T) -> bool + Clone + Send + 'static,
    {
        self.then(OperatorInfo::new("reject"), |info| {
            Filter::new(move |event: &T| !f(event), info)
        })
    }

    /// Replaces each event with another, or drops it.
    pub fn filter_map<U, F>(self, f: F) -> Flow<U, Then<C, FilterMap<F>>>
    where
        U: Send + 'static,
        F: FnMut(T) -> Option<U> + Clone + Send + 'static,
    {
        self.then(OperatorInfo::new("filter_map"), |info| {
            FilterMap::new(f, info)
        })
    }

    /// Calls `f` with each event, and passes it on.
    pub fn inspect<F>(self, f: F) -> Flow<T, Then<C, Inspect<F>>>
    where
        F: FnMut(&T) + Clone + Send + 'static,
    {
        self.then(OperatorInfo::new("inspect"), |info| Inspect::new(f, info))
    }

    /// Calls `f` with up to 1,000 events at once: those that arrived together. Its results have the latest time of the batch.
    pub fn map_batch<U, I, F>(self, f: F) -> Flow<U, Then<C, MapBatch<F, T>>>
    where
        U: Send + 'static,
        I: IntoIterator<Item = U>,
        F: FnMut(Vec<T>) -> I + Clone + Send + 'static,
    {
        self.then(OperatorInfo::new("map_batch"), |info| {
            MapBatch::new(f, info)
        })
    }

    /// As [`map`](Self::map), with a function that may fail. The first error ends the flow.
    ///
    /// ```
    /// use broadway_flow::{Flow, RunFlowError};
    ///
    /// # async fn run() {
    /// let flow = Flow::from_iter(["1", "two"]).try_map(|text| text.parse::<i64>()).named("parse");
    /// let RunFlowError::Flow(error) = flow.collect().await.unwrap_err() else { unreachable!() };
    /// assert_eq!(error.to_string(), "try_map \"parse\" failed: invalid digit found in string");
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run());
    /// ```
    pub fn try_map<U, E, F>(self, f: F) -> Flow<U, Then<C, TryMap<F>>>
    where
        U: Send + 'static,
        E: Into<BoxError>,
        F: FnMut(T) -> Result<U, E> + Clone + Send + 'static,
    {
        self.then(OperatorInfo::new("try_map"), |info| TryMap::new(f, info))
    }

    /// As [`try_map`](Self::try_map), but the flow goes on after an error or a panic of `f`: `on_failure` receives the event and the error, for a log, a
    /// channel or a list.
    ///
    /// ```
    /// use broadway_flow::Flow;
    /// use std::sync::mpsc;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let (failures, failed) = mpsc::channel();
    /// let flow = Flow::from_iter(["1", "two", "3"]).workers(1).try_map_or(
    ///     |text| text.parse::<i64>(),
    ///     move |text, error| failures.send((text, error.to_string())).unwrap(),
    /// );
    /// assert_eq!(flow.collect().await?, [1, 3]);
    /// assert_eq!(failed.recv()?, ("two", "invalid digit found in string".to_owned()));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn try_map_or<U, E, F, H>(self, f: F, on_failure: H) -> Flow<U, Then<C, TryMapOr<F, H>>>
    where
        T: Clone,
        U: Send + 'static,
        E: Into<BoxError>,
        F: FnMut(T) -> Result<U, E> + Clone + Send + 'static,
        H: FnMut(T, BoxError) + Clone + Send + 'static,
    {
        self.then(OperatorInfo::new("try_map_or"), |info| {
            TryMapOr::new(f, on_failure, info)
        })
    }

    /// Joins each event with a value that is looked up by its key. Each worker keeps the last `keys_max` keys in a cache, also those without a
    /// value; at least one.
    ///
    /// `look_up` runs in the worker, so it should read memory or a local file. For a remote service, use a stage with
    /// [`through`](Self::through), or join with a flow of the other data.
    ///
    /// ```
    /// use broadway_flow::Flow;
    /// use std::collections::HashMap;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let cities = HashMap::from([("ZRH", "Zurich"), ("LIS", "Lisbon")]);
    /// let flow = Flow::from_iter(["LIS", "XXX"]).workers(1).enrich(
    ///     1_000,
    ///     |code| *code,
    ///     move |code| cities.get(code).copied(),
    ///     |code, city| format!("{code}: {}", city.unwrap_or(&"unknown")),
    /// );
    /// assert_eq!(flow.collect().await?, ["LIS: Lisbon", "XXX: unknown"]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    #[allow(
        clippy::type_complexity,
        reason = "nested operators, as iterator adaptors have"
    )]
    pub fn enrich<K, V, U, KeyFn, Look, Join>(
        self,
        keys_max: usize,
        key: KeyFn,
        look_up: Look,
        join: Join,
    ) -> Flow<U, Then<C, Enrich<K, V, KeyFn, Look, Join>>>
    where
        K: Hash + Eq + Send + 'static,
        V: Send + 'static,
        U: Send + 'static,
        KeyFn: FnMut(&T) -> K + Clone + Send + 'static,
        Look: FnMut(&K) -> Option<V> + Clone + Send + 'static,
        Join: FnMut(T, Option<&V>) -> U + Clone + Send + 'static,
    {
        let info = OperatorInfo::detailed("enrich", format!("{keys_max} keys"));
        self.then(info, |info| Enrich::new(keys_max, key, look_up, join, info))
    }

    /// Adds an operator of your own. An acknowledged source keeps messages that it holds; see [`Operator::is_empty`].
    pub fn operator<O: Operator<T>>(self, operator: O) -> Flow<O::Out, Then<C, Custom<O, T>>> {
        let name = std::any::type_name::<O>();
        let name = name.split('<').next().unwrap_or(name);
        let name = name.rsplit("::").next().unwrap_or(name);
        let advice = "return `false` from `Operator::keeps_state` if it needs none of it after a restart; else use a durable aggregation";
        let info = OperatorInfo::new("operator").saved_if(!operator.keeps_state(), advice);
        let _ = info.name.set(name.into());
        self.then(info, |info| Custom::new(operator, info))
    }
}

/// Operators on pairs of a key and a value.
impl<K: Send + 'static, V: Send + 'static, C: Chain<Out = (K, V)>> Flow<(K, V), C> {
    /// Replaces the value of each pair.
    #[allow(
        clippy::type_complexity,
        reason = "nested operators, as iterator adaptors have"
    )]
    pub fn map_values<U, F>(
        self,
        mut f: F,
    ) -> Flow<(K, U), Then<C, Map<impl FnMut((K, V)) -> (K, U) + Clone + Send + 'static>>>
    where
        U: Send + 'static,
        F: FnMut(V) -> U + Clone + Send + 'static,
    {
        self.then(OperatorInfo::new("map_values"), |info| {
            Map::new(move |(key, value)| (key, f(value)), info)
        })
    }
}
