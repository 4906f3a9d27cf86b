//! [`Digest`]: a short name for bytes of any length, the same in every process and version.

/// A 128-bit hash of bytes (FNV-1a). Not for secrets: collisions are easy to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(u128);

const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

impl Digest {
    /// Creates the digest of no bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self(BASIS)
    }

    /// Adds `part`. Boundaries count: `ab`, `c` has another digest than `a`, `bc`.
    #[must_use]
    pub fn with(self, part: &[u8]) -> Self {
        let length = (part.len() as u64).to_le_bytes();
        let bytes = length.iter().chain(part);
        Self(bytes.fold(self.0, |digest, byte| {
            (digest ^ u128::from(*byte)).wrapping_mul(PRIME)
        }))
    }

    /// Returns the hash as 32 hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:032x}", self.0)
    }

    /// Returns a name of 41 letters, digits and hyphens, which starts with `broadway-`.
    #[must_use]
    pub fn name(self) -> String {
        format!("broadway-{:032x}", self.0)
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_never_changes_and_tells_parts_apart() {
        let ab_c = Digest::new().with(b"ab").with(b"c");
        let a_bc = Digest::new().with(b"a").with(b"bc");
        assert_ne!(ab_c, a_bc);
        assert_eq!(ab_c.name().len(), 41);
        // Names that are stored at brokers: they must not change.
        assert_eq!(
            Digest::new().with(b"orders").name(),
            "broadway-e6c0ddb8f30024ea82ec7edff6619a8a"
        );
    }
}
