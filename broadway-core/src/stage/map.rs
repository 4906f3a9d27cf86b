//! [`map`] and [`flat_map`]: producer-consumers from closures.

use std::{fmt, marker::PhantomData};

use super::{
    Context, ProducerConsumer, ProducerConsumerBuilder, Subscription, builder::producer_consumer,
};
use crate::error::BoxError;

/// A producer-consumer that sends one event for each that it receives.
///
/// The closure runs in the stage's task, so it must not block for long. For work that awaits or can fail, implement
/// [`ProducerConsumer`].
///
/// ```
/// use broadway_core::stage;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers = stage::from_iter(0..3).start().await?;
/// let texts = stage::map(|n: u64| n.to_string()).subscribe_to(numbers.output()).start().await?;
/// let mut stream = texts.output().stream()?;
/// assert_eq!(stream.next().await.as_deref(), Some("0"));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub fn map<I, O, F>(convert: F) -> ProducerConsumerBuilder<Map<I, F>>
where
    I: Send + 'static,
    O: Send + 'static,
    F: FnMut(I) -> O + Send + 'static,
{
    producer_consumer(Map {
        convert,
        event: PhantomData,
    })
    .name("map")
}

/// A producer-consumer that sends any number of events for each that it receives, in their order. A closure that returns an
/// [`Option`] makes it a filter.
///
/// The closure, and the iterator that it returns, run in the stage's task, so they must not block for long. All events made
/// from one chunk are in memory at once.
///
/// ```
/// use broadway_core::stage;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let lines = stage::from_iter(["a b", "", "c"]).start().await?;
/// let words = stage::flat_map(str::split_whitespace).subscribe_to(lines.output()).start().await?;
/// let short = stage::flat_map(|word: &'static str| (word < "c").then_some(word));
/// let short = short.subscribe_to(words.output()).start().await?;
/// let mut stream = short.output().stream()?;
/// assert_eq!((stream.next().await, stream.next().await), (Some("a"), Some("b")));
/// assert_eq!(stream.next().await, None);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub fn flat_map<I, O, F>(convert: F) -> ProducerConsumerBuilder<FlatMap<I, F>>
where
    I: Send + 'static,
    O: IntoIterator<Item: Send + 'static>,
    F: FnMut(I) -> O + Send + 'static,
{
    producer_consumer(FlatMap {
        convert,
        event: PhantomData,
    })
    .name("flat_map")
}

/// Made by [`map`].
#[must_use = "a stage does nothing until it is started"]
pub struct Map<I, F> {
    convert: F,
    event: PhantomData<fn(I)>,
}

/// Made by [`flat_map`].
#[must_use = "a stage does nothing until it is started"]
pub struct FlatMap<I, F> {
    convert: F,
    event: PhantomData<fn(I)>,
}

#[diagnostic::do_not_recommend]
impl<I, O, F> ProducerConsumer for Map<I, F>
where
    I: Send + 'static,
    O: Send + 'static,
    F: FnMut(I) -> O + Send + 'static,
{
    type In = I;
    type Out = O;

    async fn handle_events(
        &mut self,
        events: &mut Vec<I>,
        _: &Subscription,
        cx: &mut Context<O>,
    ) -> Result<(), BoxError> {
        cx.emit_all(events.drain(..).map(&mut self.convert));
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<I, O, F> ProducerConsumer for FlatMap<I, F>
where
    I: Send + 'static,
    O: IntoIterator<Item: Send + 'static>,
    F: FnMut(I) -> O + Send + 'static,
{
    type In = I;
    type Out = O::Item;

    async fn handle_events(
        &mut self,
        events: &mut Vec<I>,
        _: &Subscription,
        cx: &mut Context<O::Item>,
    ) -> Result<(), BoxError> {
        cx.emit_all(events.drain(..).flat_map(&mut self.convert));
        Ok(())
    }
}

impl<I, F> fmt::Debug for Map<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}

impl<I, F> fmt::Debug for FlatMap<I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlatMap").finish_non_exhaustive()
    }
}
