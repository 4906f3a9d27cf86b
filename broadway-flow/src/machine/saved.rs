//! [`SavedError`]: why saved state cannot be loaded; and the format that all machines save: a version byte, then postcard.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

/// Why state cannot be saved or loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SavedError {
    /// Another version of the machine saved the state; `None` if there are no bytes.
    Version(Option<u8>),
    /// The bytes are not a state of these types, or a value does not serialize.
    Format(postcard::Error),
    /// There are bytes after the state.
    Excess(usize),
    /// The state was saved with other windows or another lateness.
    Windows,
}

/// Serializes a state.
pub(crate) fn save<T: Serialize>(version: u8, state: &T) -> Result<Vec<u8>, SavedError> {
    postcard::to_extend(state, vec![version]).map_err(SavedError::Format)
}

/// Deserializes a state of this version.
pub(crate) fn load<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T, SavedError> {
    match bytes.split_first() {
        Some((found, state)) if *found == version => {
            match postcard::take_from_bytes(state).map_err(SavedError::Format)? {
                (state, []) => Ok(state),
                (_, excess) => Err(SavedError::Excess(excess.len())),
            }
        }
        found => Err(SavedError::Version(found.map(|(found, _)| *found))),
    }
}

impl fmt::Display for SavedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(None) => f.write_str("the saved state is empty"),
            Self::Version(Some(version)) => {
                write!(f, "the saved state has the unknown version {version}")
            }
            Self::Format(error) => write!(f, "the state has another format: {error}"),
            Self::Excess(bytes) => write!(f, "{bytes} bytes follow the saved state"),
            Self::Windows => f.write_str("the state was saved with other windows"),
        }
    }
}

impl std::error::Error for SavedError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_saving() {
        let bytes = save(3, &(7u32, "seven")).unwrap();
        assert_eq!(bytes[0], 3);
        assert_eq!(load(3, &bytes), Ok((7u32, "seven".to_owned())));
    }

    #[test]
    fn other_versions_and_damaged_bytes_are_refused() {
        assert_eq!(load::<u32>(3, &[]), Err(SavedError::Version(None)));
        assert_eq!(load::<u32>(3, &[4, 1]), Err(SavedError::Version(Some(4))));
        assert_eq!(load::<u32>(3, &[3, 1, 9]), Err(SavedError::Excess(1)));
        assert!(matches!(load::<u32>(3, &[3]), Err(SavedError::Format(_))));
    }
}
