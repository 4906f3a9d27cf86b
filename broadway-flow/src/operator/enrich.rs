//! `enrich`: a look-up with a bounded cache.

use std::{hash::Hash, num::NonZeroUsize, sync::Arc};

use lru::LruCache;

use crate::{
    At,
    chain::Operation,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
};

/// `enrich`: a look-up with a bounded cache.
#[doc(hidden)]
pub struct Enrich<K, V, KeyFn, Look, Join> {
    keys_max: NonZeroUsize,
    key: KeyFn,
    look_up: Look,
    join: Join,
    info: Arc<OperatorInfo>,
    values: std::marker::PhantomData<fn(K) -> V>,
}

impl<K, V, KeyFn, Look, Join> Enrich<K, V, KeyFn, Look, Join> {
    pub(crate) fn new(
        keys_max: usize,
        key: KeyFn,
        look_up: Look,
        join: Join,
        info: Arc<OperatorInfo>,
    ) -> Self {
        Self {
            keys_max: NonZeroUsize::new(keys_max).unwrap_or(NonZeroUsize::MIN),
            key,
            look_up,
            join,
            info,
            values: std::marker::PhantomData,
        }
    }
}

impl<K, V, KeyFn: Clone, Look: Clone, Join: Clone> Clone for Enrich<K, V, KeyFn, Look, Join> {
    fn clone(&self) -> Self {
        Self {
            keys_max: self.keys_max,
            key: self.key.clone(),
            look_up: self.look_up.clone(),
            join: self.join.clone(),
            info: Arc::clone(&self.info),
            values: std::marker::PhantomData,
        }
    }
}

#[doc(hidden)]
pub struct EnrichSink<K, V, KeyFn, Look, Join, S> {
    cache: LruCache<K, Option<V>, foldhash::fast::FixedState>,
    key: KeyFn,
    look_up: Look,
    join: Join,
    meter: Meter,
    next: S,
}

impl<T, K, V, U, KeyFn, Look, Join> Operation<T> for Enrich<K, V, KeyFn, Look, Join>
where
    T: Send + 'static,
    K: Hash + Eq + Send + 'static,
    V: Send + 'static,
    U: Send + 'static,
    KeyFn: FnMut(&T) -> K + Clone + Send + 'static,
    Look: FnMut(&K) -> Option<V> + Clone + Send + 'static,
    Join: FnMut(T, Option<&V>) -> U + Clone + Send + 'static,
{
    type Out = U;
    type Run<S: Sink<U>> = EnrichSink<K, V, KeyFn, Look, Join, S>;

    fn run<S: Sink<U>>(self, _seat: &Seat, next: S) -> Self::Run<S> {
        EnrichSink {
            cache: LruCache::with_hasher(self.keys_max, foldhash::fast::FixedState::default()),
            key: self.key,
            look_up: self.look_up,
            join: self.join,
            meter: Meter::new(self.info),
            next,
        }
    }
}

impl<T, K, V, U, KeyFn, Look, Join, S> Sink<T> for EnrichSink<K, V, KeyFn, Look, Join, S>
where
    T: Send + 'static,
    K: Hash + Eq + Send + 'static,
    V: Send + 'static,
    U: Send + 'static,
    KeyFn: FnMut(&T) -> K + Clone + Send + 'static,
    Look: FnMut(&K) -> Option<V> + Clone + Send + 'static,
    Join: FnMut(T, Option<&V>) -> U + Clone + Send + 'static,
    S: Sink<U>,
{
    fn push(&mut self, event: T, at: At) -> Pushed {
        let Self {
            cache,
            key,
            look_up,
            join,
            meter,
            next,
        } = self;
        let event = meter.call(|| {
            let key = key(&event);
            if !cache.contains(&key) {
                let value = look_up(&key);
                // A key whose value is missing is kept as well, so that it is not looked up for each event.
                cache.put(key, value);
                let newest = cache.peek_mru().and_then(|(_, value)| value.as_ref());
                return join(event, newest);
            }
            let value = cache.get(&key).and_then(Option::as_ref);
            join(event, value)
        });
        next.push(event, at)
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        self.next.signal(signal)
    }
}
