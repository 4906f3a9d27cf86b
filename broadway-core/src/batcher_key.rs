//! The batchers of a pipeline: an enum of the user's own, so that a route to an unknown batcher does not compile.

use std::fmt;

/// The batchers of a pipeline, as a closed set. Declare it with [`batchers!`](crate::batchers).
///
/// Pipelines without batchers use [`NoBatcher`], which has no values, so that no message can be routed to one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name batchers",
    note = "declare them with `broadway::batchers! {{ pub enum Sink {{ First, Second }} }}`, or use `NoBatcher`"
)]
pub trait BatcherKey: Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// All batchers, in the order of their [`index`](Self::index).
    const ALL: &'static [Self];

    /// Returns the position in [`ALL`](Self::ALL).
    fn index(self) -> usize;

    /// Returns the name in logs, metrics and errors: the variant in snake case.
    fn name(self) -> &'static str;
}

/// The batchers of a pipeline that has none. This type has no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoBatcher {}

impl BatcherKey for NoBatcher {
    const ALL: &'static [Self] = &[];

    fn index(self) -> usize {
        match self {}
    }

    fn name(self) -> &'static str {
        match self {}
    }
}

/// Makes a value for each batcher, in order. Compiles `make` for no pipeline without batchers.
pub(crate) fn for_each_batcher<K: BatcherKey, V>(make: impl Fn(K) -> V) -> Vec<V> {
    if const { K::ALL.is_empty() } {
        return Vec::new();
    }
    K::ALL.iter().map(|key| make(*key)).collect()
}

/// The only batcher of a pipeline that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneBatcher;

impl BatcherKey for OneBatcher {
    const ALL: &'static [Self] = &[Self];

    fn index(self) -> usize {
        0
    }

    fn name(self) -> &'static str {
        "batcher"
    }
}

/// Declares an enum of batchers and implements [`BatcherKey`] for it.
///
/// ```
/// use broadway_core::{BatcherKey, batchers};
///
/// batchers! {
///     /// Where events go.
///     pub enum Sink { Audit, Events = "raw_events" }
/// }
///
/// assert_eq!(Sink::ALL, [Sink::Audit, Sink::Events]);
/// assert_eq!(Sink::Audit.name(), "audit");
/// assert_eq!(Sink::Events.name(), "raw_events");
/// ```
///
/// The name of a batcher is its variant in lower case, unless given after `=`.
#[macro_export]
macro_rules! batchers {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident $(= $label:literal)?),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $(
            #[doc = concat!("The batcher `", stringify!($variant), "`.")]
            $(#[$variant_meta])*
            $variant
        ),+ }

        impl $crate::BatcherKey for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                const NAMES: &[$crate::batcher_name::Name] =
                    &[$($crate::batcher_name::Name::new(stringify!($variant), $crate::batchers!(@label $($label)?))),+];
                NAMES[self as usize].as_str()
            }
        }
    };
    (@label) => { None };
    (@label $label:literal) => { Some($label) };
}

#[doc(hidden)]
pub mod batcher_name {
    //! The name of a variant, converted to snake case at compile time. For [`batchers!`](crate::batchers) only.

    /// Longest name, in bytes.
    const BYTES_MAX: usize = 64;

    #[derive(Debug)]
    pub struct Name {
        bytes: [u8; BYTES_MAX],
        len: usize,
    }

    impl Name {
        /// # Panics
        ///
        /// At compile time, when the name is longer than 64 bytes.
        #[must_use]
        pub const fn new(variant: &str, label: Option<&str>) -> Self {
            let (text, convert) = match label {
                Some(label) => (label.as_bytes(), false),
                None => (variant.as_bytes(), true),
            };
            let mut name = Self {
                bytes: [0; BYTES_MAX],
                len: 0,
            };
            let mut at = 0;
            while at < text.len() {
                let byte = text[at];
                if convert && byte.is_ascii_uppercase() && at > 0 {
                    name = name.with(b'_');
                }
                name = name.with(if convert {
                    byte.to_ascii_lowercase()
                } else {
                    byte
                });
                at += 1;
            }
            name
        }

        const fn with(mut self, byte: u8) -> Self {
            assert!(
                self.len < BYTES_MAX,
                "the name of a batcher is at most 64 bytes long"
            );
            self.bytes[self.len] = byte;
            self.len += 1;
            self
        }

        #[must_use]
        pub fn as_str(&self) -> &str {
            str::from_utf8(&self.bytes[..self.len]).expect("made of whole identifiers")
        }
    }
}
