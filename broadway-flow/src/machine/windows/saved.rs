//! [`Saved`]: the layout of saved window state. States are borrowed when they are saved, and owned when they are loaded.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::part::Part;
use crate::{Timestamp, epoch::Epoch, window::WindowKind};

/// The first byte of saved state.
const VERSION: u8 = 1;

/// All state of a machine.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved<K, S> {
    pub(super) shape: Shape,
    pub(super) watermark: Timestamp,
    pub(super) content: Content<K, S>,
}

/// What the layout depends on: the kind of windows with its durations, and whether panes stay for late events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    kind: u8,
    options: (i64, i64, i64),
    keeps_panes: bool,
}

/// The state of each kind of windows.
#[derive(Serialize, Deserialize)]
pub(super) enum Content<K, S> {
    Fixed {
        cells: Vec<(i64, K, SavedCell<S>)>,
        number: i64,
        filled: Option<Filled>,
    },
    Sliding {
        panes: Vec<(i64, K, Part<S>)>,
        sealed: Vec<SavedQueue<K, S>>,
        late: Vec<(i128, K, Option<Part<S>>)>,
    },
    Session(Vec<(K, Timestamp, Timestamp, SavedCell<S>)>),
    Count(Vec<(K, u64, Option<SavedCell<S>>)>),
}

/// A state of a key and window.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedCell<S> {
    pub(super) state: S,
    pub(super) since: Epoch,
    pub(super) events: u64,
    pub(super) fresh: u64,
    pub(super) on_time: bool,
}

/// The sealed panes of a key.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedQueue<K, S> {
    pub(super) key: K,
    pub(super) front: Vec<(i64, Part<S>)>,
    pub(super) back: Vec<(i64, Part<S>)>,
    pub(super) fired_below: i128,
}

/// Which windows have been looked at for results of windows without events.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Filled {
    /// The first window that has not been looked at.
    pub(super) next: i128,
    /// The last window that has had an event.
    pub(super) last: i64,
    /// Whether any window has been looked at: then, older events do not lower `next`.
    pub(super) started: bool,
}

impl Shape {
    pub(super) const fn new(kind: WindowKind, keeps_panes: bool) -> Self {
        let (kind, options) = match kind {
            WindowKind::Global => (0, (0, 0, 0)),
            WindowKind::Count(n) => (1, (n.cast_signed(), 0, 0)),
            WindowKind::Time {
                size,
                slide,
                offset,
            } => (2, (size, slide, offset)),
            WindowKind::Session { gap } => (3, (gap, 0, 0)),
            WindowKind::Periodic { every } => (4, (every, 0, 0)),
        };
        Self {
            kind,
            options,
            keeps_panes,
        }
    }
}

impl<K, S> Saved<K, S> {
    pub(super) fn encode(&self) -> Vec<u8>
    where
        K: Serialize,
        S: Serialize,
    {
        postcard::to_extend(self, vec![VERSION])
            .expect("invariant: a vector grows, and keys and states serialize")
    }

    pub(super) fn decode(bytes: &[u8], shape: Shape) -> Result<Self, String>
    where
        K: DeserializeOwned,
        S: DeserializeOwned,
    {
        let Some((version, bytes)) = bytes.split_first() else {
            return Err("the saved window state is empty".to_owned());
        };
        if *version != VERSION {
            return Err(format!(
                "the saved window state has version {version}, this program reads version {VERSION}"
            ));
        }
        let (found, _) =
            postcard::take_from_bytes::<Shape>(bytes).map_err(|error| invalid(&error))?;
        if found != shape {
            return Err(format!(
                "the window state was saved with other windows: {found:?} instead of {shape:?}"
            ));
        }
        postcard::from_bytes(bytes).map_err(|error| invalid(&error))
    }
}

fn invalid(error: &postcard::Error) -> String {
    format!("the saved window state is invalid: {error}")
}
