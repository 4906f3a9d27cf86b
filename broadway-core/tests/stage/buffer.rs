//! Events that nobody asked for: where they wait, and when they are discarded.
