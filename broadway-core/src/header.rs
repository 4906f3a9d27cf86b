//! [`Header`]: a name and a value of any type that one of the brokers has.

use std::{fmt, time::SystemTime};

use bytes::Bytes;

/// One header of a message (attribute, property).
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: HeaderName,
    /// The value.
    pub value: HeaderValue,
}

impl Header {
    /// Creates a header.
    pub fn new(name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// Shows the name and the kind of value, never the value.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.name, self.value)
    }
}

/// The name of a header: text, except where a broker's client accepts any bytes (Kafka).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HeaderName(Bytes);

impl HeaderName {
    /// Returns the name as text, or `None` if it is not UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Returns the bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Escapes bytes that are not UTF-8.
impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(name) => fmt::Debug::fmt(name, f),
            None => fmt::Debug::fmt(&self.0, f),
        }
    }
}

impl PartialEq<str> for HeaderName {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for HeaderName {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl From<&str> for HeaderName {
    fn from(name: &str) -> Self {
        Self(Bytes::copy_from_slice(name.as_bytes()))
    }
}

impl From<String> for HeaderName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<&String> for HeaderName {
    fn from(name: &String) -> Self {
        Self::from(name.as_str())
    }
}

impl From<Bytes> for HeaderName {
    fn from(name: Bytes) -> Self {
        Self(name)
    }
}

impl From<&[u8]> for HeaderName {
    fn from(name: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(name))
    }
}

/// The value of a header.
///
/// Most headers are [`Bytes`](Self::Bytes). Only RabbitMQ and SQS distinguish text from binary values: their publishers send UTF-8 as
/// text. The other kinds are AMQP's, for RabbitMQ. Publishers of other brokers encode them as described in the module `portable` of
/// `broadway-core`, and the record on the reading side restores them.
#[derive(Clone)]
#[non_exhaustive]
pub enum HeaderValue {
    /// No value, as distinct from an empty one: null in Kafka, void in AMQP.
    Null,
    /// Text or binary data.
    Bytes(Bytes),
    /// A truth value.
    Bool(bool),
    /// An integer of any width.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// `value` divided by 10 to the power of `scale`.
    Decimal {
        /// The number of decimal places.
        scale: u8,
        /// The number without its point.
        value: u32,
    },
    /// A point in time. Brokers keep milliseconds, RabbitMQ seconds.
    Time(SystemTime),
    /// Values in order.
    List(Vec<HeaderValue>),
    /// Values by name.
    Table(Vec<(String, HeaderValue)>),
}

impl HeaderValue {
    /// Returns the data of [`Bytes`](Self::Bytes), or `None` for every other kind.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the text of [`Bytes`](Self::Bytes) that are UTF-8, or `None`.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bytes(_) => "bytes",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Decimal { .. } => "decimal",
            Self::Time(_) => "time",
            Self::List(_) => "list",
            Self::Table(_) => "table",
        }
    }
}

/// Floating-point numbers are equal if their bits are.
impl PartialEq for HeaderValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (
                Self::Decimal { scale, value },
                Self::Decimal {
                    scale: other_scale,
                    value: other_value,
                },
            ) => scale == other_scale && value == other_value,
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Table(a), Self::Table(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for HeaderValue {}

/// Shows the kind and the size, never the value: headers may hold secrets.
impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::List(values) => values.len(),
            Self::Table(entries) => entries.len(),
            other => return f.write_str(other.kind()),
        };
        write!(f, "{}({size})", self.kind())
    }
}

impl From<Bytes> for HeaderValue {
    fn from(value: Bytes) -> Self {
        Self::Bytes(value)
    }
}

impl From<Vec<u8>> for HeaderValue {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value.into())
    }
}

impl From<&[u8]> for HeaderValue {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(value))
    }
}

impl From<&str> for HeaderValue {
    fn from(value: &str) -> Self {
        Self::from(value.as_bytes())
    }
}

impl From<String> for HeaderValue {
    fn from(value: String) -> Self {
        Self::Bytes(value.into())
    }
}

impl From<&String> for HeaderValue {
    fn from(value: &String) -> Self {
        Self::from(value.as_str())
    }
}

impl From<bool> for HeaderValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for HeaderValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for HeaderValue {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for HeaderValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<SystemTime> for HeaderValue {
    fn from(value: SystemTime) -> Self {
        Self::Time(value)
    }
}

/// `None` is [`HeaderValue::Null`].
impl<V: Into<Self>> From<Option<V>> for HeaderValue {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
