//! stub until merged
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// t
pub enum Trigger {
    /// s
    Size,
    /// b
    Bytes,
    /// t
    Timeout,
    /// f
    Flush,
    /// s
    Split,
    /// l
    Limit,
    /// d
    Drain,
}
