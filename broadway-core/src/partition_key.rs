//! The keys of `partition_by`: [`PartitionKey`], and [`KeyHash`] for keys that are borrowed or of foreign types.

use std::{
    borrow::Cow,
    hash::{BuildHasher, Hash},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU64,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use foldhash::fast::FixedState;

/// A key by which messages are kept in order; returned by the function of
/// [`Processors::partition_by`](crate::Processors::partition_by).
///
/// Implemented for numbers, `bool`, `char`, text, bytes, lists, tuples, and references to them. `None` means that the message has no
/// key, and its order is not kept. A tuple, an array or a list is always a key, whatever it holds.
///
/// A key type of your own needs one line:
///
/// ```
/// use broadway_core::PartitionKey;
///
/// #[derive(Hash)]
/// struct Customer(u64);
///
/// impl PartitionKey for Customer {}
/// ```
///
/// For a type of another crate, return its hash: [`KeyHash::of_any`].
// Not `K: Hash`: an `Option` is `Hash` too, and all messages without a key would silently be of one key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key that `partition_by` can keep in order",
    label = "this returns `{Self}`",
    note = "for a type of yours that is `Hash`: `impl broadway::pipeline::PartitionKey for {Self} {{}}`",
    note = "for a type of another crate: return `broadway::pipeline::KeyHash::of_any(&key)`"
)]
pub trait PartitionKey: Hash {
    /// Returns the hash of this key, or [`KeyHash::NONE`] if the value stands for a missing key. Hashes the whole value by default.
    fn key_hash(&self) -> KeyHash {
        KeyHash::of_any(self)
    }
}

/// The 64-bit hash of a key, or no key. Itself a [`PartitionKey`].
///
/// A closure cannot return a key that it borrows from its message (the compiler reports "lifetime may not live long enough"), but it
/// can return its hash:
///
/// ```
/// use broadway_core::{KeyHash, Processors};
///
/// struct Visit { tenant: String, user: Option<String> }
///
/// let per_tenant = Processors::<Visit>::new(8).partition_by(|visit| KeyHash::of(visit.data().tenant.as_str()));
/// // Visits without a user have no key.
/// let per_user = Processors::<Visit>::new(8).partition_by(|visit| {
///     let visit = visit.data();
///     KeyHash::of(visit.user.as_ref().map(|user| (visit.tenant.as_str(), user.as_str())))
/// });
/// # let _ = (per_tenant, per_user);
/// ```
///
/// Do not store it: another version of this crate may hash differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(Option<NonZeroU64>);

impl KeyHash {
    /// No key: the order of the message is not kept.
    pub const NONE: Self = Self(None);

    /// Returns the hash of a key, given by value or by reference. `None` gives [`NONE`](Self::NONE).
    #[must_use]
    pub fn of(key: impl PartitionKey) -> Self {
        key.key_hash()
    }

    /// Returns the hash of any value that implements `Hash`. Every value is a key here, including `None`: if a key may be missing, use
    /// `key.as_ref().map(KeyHash::of_any)`, whose `None` means no key.
    #[must_use]
    pub fn of_any<K: Hash + ?Sized>(key: &K) -> Self {
        let hash = FixedState::default().hash_one(key);
        // 0 stands for no key, so a key that hashes to 0 gets 1.
        Self(Some(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN)))
    }

    pub(crate) fn lane(self) -> Option<NonZeroU64> {
        self.0
    }
}

#[diagnostic::do_not_recommend]
impl PartitionKey for KeyHash {
    fn key_hash(&self) -> KeyHash {
        *self
    }
}

#[diagnostic::do_not_recommend]
impl<K: PartitionKey> PartitionKey for Option<K> {
    fn key_hash(&self) -> KeyHash {
        self.as_ref().map_or(KeyHash::NONE, K::key_hash)
    }
}

/// A pointer to a key is the same key.
macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl<K: PartitionKey + ?Sized> PartitionKey for $pointer {
            fn key_hash(&self) -> KeyHash {
                (**self).key_hash()
            }
        }
    )*};
}

pointers!(&K, &mut K, Box<K>, Rc<K>, Arc<K>);

#[diagnostic::do_not_recommend]
impl<K: PartitionKey + ToOwned<Owned: Hash> + ?Sized> PartitionKey for Cow<'_, K> {
    fn key_hash(&self) -> KeyHash {
        (**self).key_hash()
    }
}

macro_rules! keys {
    ($($key:ty),* $(,)?) => {$(
        #[diagnostic::do_not_recommend]
        impl PartitionKey for $key {}
    )*};
}

keys!(
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    bool,
    char,
    str,
    String,
    Duration,
    SystemTime,
    IpAddr,
    Ipv4Addr,
    Ipv6Addr,
    bytes::Bytes,
    crate::BatchKey,
);

#[diagnostic::do_not_recommend]
impl<K: Hash> PartitionKey for [K] {}
#[diagnostic::do_not_recommend]
impl<K: Hash, const N: usize> PartitionKey for [K; N] {}
#[diagnostic::do_not_recommend]
impl<K: Hash> PartitionKey for Vec<K> {}

macro_rules! tuples {
    ($(($($key:ident),*)),*) => {$(
        #[diagnostic::do_not_recommend]
        impl<$($key: Hash),*> PartitionKey for ($($key,)*) {}
    )*};
}

tuples!(
    (A),
    (A, B),
    (A, B, C),
    (A, B, C, D),
    (A, B, C, D, E),
    (A, B, C, D, E, F)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_no_key_and_some_is_the_key_itself() {
        assert_eq!(KeyHash::of(None::<u64>), KeyHash::NONE);
        assert_eq!(KeyHash::of(Some(None::<&str>)), KeyHash::NONE);
        assert_eq!(KeyHash::of(Box::new(None::<u8>)), KeyHash::NONE);
        assert_eq!(KeyHash::of(Some(7_u64)), KeyHash::of(7_u64));
        assert_eq!(KeyHash::of(Some(KeyHash::NONE)), KeyHash::NONE);
    }

    #[test]
    fn a_default_value_is_a_key() {
        let zeros = [
            KeyHash::of(0_u64),
            KeyHash::of(""),
            KeyHash::of(Some(&b""[..])),
            KeyHash::of(false),
            KeyHash::of((None::<u8>,)),
            KeyHash::of_any(&None::<u8>),
        ];
        assert!(zeros.iter().all(|key| *key != KeyHash::NONE));
    }

    #[test]
    fn owned_and_borrowed_keys_are_equal() {
        let text = String::from("berlin");
        let key = KeyHash::of(&text);
        assert_eq!(KeyHash::of("berlin"), key);
        assert_eq!(KeyHash::of(Cow::from("berlin")), key);
        assert_eq!(KeyHash::of(Arc::<str>::from("berlin")), key);
        assert_eq!(KeyHash::of_any(&text), key);
        assert_eq!(KeyHash::of(vec![1_u8, 2]), KeyHash::of(&[1_u8, 2][..]));
        assert_ne!(KeyHash::of("berlim"), key);
    }
}
