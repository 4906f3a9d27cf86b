//! What the end of a producer means for its consumers, mode by mode.
