//! [`Row`]: the data of one message of a batch, with the identity of the message.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::{Deref, DerefMut},
};

/// The data of one message of a [`Batch`](crate::Batch), with the identity of the message.
///
/// `D` is `&T`, `&mut T` or `T`, by [`rows`](crate::Batch::rows), [`rows_mut`](crate::Batch::rows_mut) and
/// [`take`](crate::Batch::take). A row dereferences to its data and is compared, ordered and hashed by it, so rows can be sorted,
/// filtered and grouped as the data could be, and [`Batch::fail`](crate::Batch::fail) still finds the right message.
///
/// ```
/// use broadway_core::{Batch, BoxError};
///
/// async fn upsert(batch: &mut Batch<(u64, String)>) -> Result<(), BoxError> {
///     let mut rows: Vec<_> = batch.rows().collect();
///     rows.sort_by_key(|row| row.0); // by primary key
///     for row in &rows {
///         if row.1.is_empty() {
///             batch.fail(row, "it has no name"); // this message, wherever it was sorted to
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Row<D> {
    id: RowId,
    data: D,
}

/// Identifies the message of a [`Row`] in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowId {
    /// Differs between batches that are handled at about the same time.
    pub(super) batch: u32,
    pub(super) index: u32,
}

impl<D> Row<D> {
    pub(super) fn new(id: RowId, data: D) -> Self {
        Self { id, data }
    }

    /// Returns the identity of the message, which can be kept when the row cannot.
    pub fn id(&self) -> RowId {
        self.id
    }

    /// Returns the data by value.
    pub fn into_data(self) -> D {
        self.data
    }
}

impl<D> From<&Row<D>> for RowId {
    fn from(row: &Row<D>) -> Self {
        row.id
    }
}

impl<D> From<&mut Row<D>> for RowId {
    fn from(row: &mut Row<D>) -> Self {
        row.id
    }
}

impl<D> From<Row<D>> for RowId {
    fn from(row: Row<D>) -> Self {
        row.id
    }
}

impl<D> Deref for Row<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.data
    }
}

impl<D> DerefMut for Row<D> {
    fn deref_mut(&mut self) -> &mut D {
        &mut self.data
    }
}

impl<D: fmt::Debug> fmt::Debug for Row<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

impl<D: PartialEq> PartialEq for Row<D> {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl<D: Eq> Eq for Row<D> {}

impl<D: PartialOrd> PartialOrd for Row<D> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.data.partial_cmp(&other.data)
    }
}

impl<D: Ord> Ord for Row<D> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.data.cmp(&other.data)
    }
}

impl<D: Hash> Hash for Row<D> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.data.hash(state);
    }
}
