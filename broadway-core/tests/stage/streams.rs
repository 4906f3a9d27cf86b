//! Streams, iterators and channels as stages, and stages as streams.
