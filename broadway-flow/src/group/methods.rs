//! The aggregations of [`Grouped`].

use std::{cmp::Ordering, hash::Hash, ops::AddAssign};

use super::{Durability, Grouped, Shape};
use crate::{
    Aggregate, Flow,
    aggregate::{Count, Group, Max, Mean, MergingReduce, Min, Reduce, Sum, Top},
    chain::Chain,
};

impl<K, T, C, S, D> Grouped<K, T, C, S, D>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Send + 'static,
    C: Chain<Out = (K, T)>,
{
    /// Counts events.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let letters = Flow::from_iter("mississippi".chars());
    /// let mut counts = letters.partition(|letter| *letter).count().collect().await?;
    /// counts.sort();
    /// assert_eq!(counts, [('i', 4), ('m', 1), ('p', 2), ('s', 4)]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn count(self) -> Flow<S::Out>
    where
        S: Shape<K, u64>,
        D: Durability<T, K, Count>,
    {
        self.aggregate_as("count", Count)
    }

    /// Sums what `f` returns for each event.
    pub fn sum<N, F>(self, f: F) -> Flow<S::Out>
    where
        N: AddAssign + Default + Clone + Send + 'static,
        F: Fn(&T) -> N + Clone + Send + 'static,
        S: Shape<K, N>,
        D: Durability<T, K, Sum<F>>,
    {
        self.aggregate_as("sum", Sum::new(f))
    }

    /// Averages what `f` returns for each event.
    pub fn mean<F>(self, f: F) -> Flow<S::Out>
    where
        F: Fn(&T) -> f64 + Clone + Send + 'static,
        S: Shape<K, f64>,
        D: Durability<T, K, Mean<F>>,
    {
        self.aggregate_as("mean", Mean::new(f))
    }

    /// Keeps the event with the smallest value of `by`. Of equal ones, any. `None` only in a window without events.
    pub fn min_by<O, F>(self, by: F) -> Flow<S::Out>
    where
        T: Clone,
        O: PartialOrd,
        F: Fn(&T) -> O + Clone + Send + 'static,
        S: Shape<K, Option<T>>,
        D: Durability<T, K, Min<F>>,
    {
        self.aggregate_as("min_by", Min::new(by))
    }

    /// Keeps the event with the largest value of `by`. Of equal ones, any. `None` only in a window without events.
    pub fn max_by<O, F>(self, by: F) -> Flow<S::Out>
    where
        T: Clone,
        O: PartialOrd,
        F: Fn(&T) -> O + Clone + Send + 'static,
        S: Shape<K, Option<T>>,
        D: Durability<T, K, Max<F>>,
    {
        self.aggregate_as("max_by", Max::new(by))
    }

    /// Keeps the first `n` events in the order of `order`, in this order.
    pub fn top<F>(self, n: usize, order: F) -> Flow<S::Out>
    where
        T: Clone,
        F: Fn(&T, &T) -> Ordering + Clone + Send + 'static,
        S: Shape<K, Vec<T>>,
        D: Durability<T, K, Top<F>>,
    {
        self.aggregate_as("top", Top::new(n, order))
    }

    /// Collects all events of a key and window in a list, in the order in which they arrive at the worker. Memory grows with the events.
    pub fn group(self) -> Flow<S::Out>
    where
        T: Clone,
        S: Shape<K, Vec<T>>,
        D: Durability<T, K, Group>,
    {
        self.aggregate_as("group", Group)
    }

    /// Adds events to a state, which is the result. `init` creates it.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let words = Flow::from_iter(["apple", "ant", "bee"]);
    /// let grouped = words.partition(|word| word.as_bytes()[0]);
    /// let longest = grouped.reduce(|| 0, |longest: &mut usize, word| *longest = (*longest).max(word.len()));
    /// let mut longest = longest.collect().await?;
    /// longest.sort();
    /// assert_eq!(longest, [(b'a', 5), (b'b', 3)]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn reduce<A, I, F>(self, init: I, add: F) -> Flow<S::Out>
    where
        A: Clone + Send + 'static,
        I: Fn() -> A + Clone + Send + 'static,
        F: Fn(&mut A, T) + Clone + Send + 'static,
        S: Shape<K, A>,
        D: Durability<T, K, Reduce<I, F>>,
    {
        self.aggregate_as("reduce", Reduce::new(init, add))
    }

    /// As [`reduce`](Self::reduce), with a function that merges two states, in either order: needed for sessions and overlapping windows, and faster, since
    /// states are computed before events cross the partition.
    pub fn reduce_merging<A, I, F, M>(self, init: I, add: F, merge: M) -> Flow<S::Out>
    where
        A: Clone + Send + 'static,
        I: Fn() -> A + Clone + Send + 'static,
        F: Fn(&mut A, T) + Clone + Send + 'static,
        M: Fn(&mut A, A) + Clone + Send + 'static,
        S: Shape<K, A>,
        D: Durability<T, K, MergingReduce<I, F, M>>,
        MergingReduce<I, F, M>: Aggregate<T, State = A, Output = A>,
    {
        self.aggregate_as("reduce_merging", Reduce::new(init, add).merging(merge))
    }
}
