//! Publishers whose type is erased, so that a program can choose its broker at run time: [`BoxPublisher`].

use std::{any, fmt, future::Future, pin::Pin, sync::Arc};

use super::{Outgoing, Publisher};
use crate::{error::BoxError, publish_error::PublishError};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A publisher whose type is erased; made by [`Publisher::boxed`]. Clones are the same publisher.
///
/// Each call allocates once.
///
/// ```
/// use broadway_core::{BoxPublisher, Publisher, telemetry::NoopObserver, testing::RecordingPublisher};
///
/// fn publisher(is_observed: bool) -> BoxPublisher {
///     let publisher = RecordingPublisher::new();
///     match is_observed {
///         true => publisher.observed("orders", NoopObserver).boxed(),
///         false => publisher.boxed(),
///     }
/// }
/// # let _ = publisher(true);
/// ```
#[derive(Clone)]
#[must_use = "a publisher sends nothing until it is called"]
pub struct BoxPublisher(Arc<dyn ErasedPublisher>);

impl BoxPublisher {
    pub(super) fn new<P: Publisher>(publisher: P) -> Self {
        Self(Arc::new(Typed(publisher)))
    }
}

impl fmt::Debug for BoxPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxPublisher({})", self.0.type_name())
    }
}

impl Publisher for BoxPublisher {
    fn publish(
        &self,
        messages: Vec<Outgoing>,
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send {
        self.0.publish(messages)
    }

    fn flush(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.0.flush()
    }

    fn close(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.0.close()
    }

    fn publish_one(
        &self,
        message: Outgoing,
    ) -> impl Future<Output = Result<(), PublishError>> + Send {
        self.0.publish_one(message)
    }
}

/// The object-safe twin of [`Publisher`].
trait ErasedPublisher: Send + Sync {
    fn type_name(&self) -> &'static str;

    fn publish(&self, messages: Vec<Outgoing>) -> BoxFuture<'_, Vec<Result<(), PublishError>>>;

    fn publish_one(&self, message: Outgoing) -> BoxFuture<'_, Result<(), PublishError>>;

    fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>>;

    fn close(&self) -> BoxFuture<'_, Result<(), BoxError>>;
}

struct Typed<P>(P);

impl<P: Publisher> ErasedPublisher for Typed<P> {
    fn type_name(&self) -> &'static str {
        any::type_name::<P>()
    }

    fn publish(&self, messages: Vec<Outgoing>) -> BoxFuture<'_, Vec<Result<(), PublishError>>> {
        Box::pin(self.0.publish(messages))
    }

    fn publish_one(&self, message: Outgoing) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(self.0.publish_one(message))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(self.0.flush())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(self.0.close())
    }
}
