//! Pools of consumers, which grow and shrink by demand.
