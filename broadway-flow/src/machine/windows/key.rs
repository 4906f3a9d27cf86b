//! [`LookupKey`]: finds the state of a key without making a key, because most events have a key that is already there.

use std::hash::Hash;

use smol_str::SmolStr;

/// A key that may be borrowed: a word is copied only when it is first seen. Its hash equals the hash of the key it stands for.
pub(crate) trait LookupKey<K>: Hash {
    /// Whether this is `key`.
    fn is(&self, key: &K) -> bool;
    /// Makes the key.
    fn into_key(self) -> K;
}

/// A key that the caller gives away.
#[derive(Debug, Hash)]
pub(crate) struct Owned<K>(pub(crate) K);

/// A word that is copied only when it is first seen.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct Borrowed<'a>(pub(crate) &'a str);

/// A key that another table owns.
#[derive(Debug, Hash)]
pub(super) struct Known<'a, K>(pub(super) &'a K);

impl<K: Hash + Eq> LookupKey<K> for Owned<K> {
    fn is(&self, key: &K) -> bool {
        self.0 == *key
    }

    fn into_key(self) -> K {
        self.0
    }
}

/// A short word lies in the entry of its table, so that a comparison reads no memory elsewhere.
impl LookupKey<SmolStr> for Borrowed<'_> {
    #[inline]
    fn is(&self, key: &SmolStr) -> bool {
        self.0 == key.as_str()
    }

    fn into_key(self) -> SmolStr {
        SmolStr::new(self.0)
    }
}

impl<K: Hash + Eq + Clone> LookupKey<K> for Known<'_, K> {
    fn is(&self, key: &K) -> bool {
        self.0 == key
    }

    fn into_key(self) -> K {
        self.0.clone()
    }
}
