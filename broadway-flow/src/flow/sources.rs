//! The sources of flows.

use broadway_core::{Source, SourceProducer, stage::Output};
use futures_util::Stream;

use super::Flow;
use crate::{
    graph::{Input, OpenSegment, SegmentPlan},
    run::Options,
    source::{AckedSource, FlowSource, IterSource, StagesSource, StartSource, StreamSource},
};

impl<T: Send + 'static> Flow<T> {
    /// A flow of the items of an iterator.
    ///
    /// The iterator runs in the task of a stage. It may compute, but should not wait: it would hold up other tasks of its thread. Items are passed on in
    /// packets of 1,000, or after 5 ms.
    #[allow(
        clippy::should_implement_trait,
        reason = "the name that the sources of pipelines and stages have"
    )]
    pub fn from_iter<I>(items: I) -> Self
    where
        I: IntoIterator<Item = T, IntoIter: Send + 'static>,
    {
        Self::from_inputs([source(IterSource::new(items.into_iter()))])
    }

    /// A flow of the items of several iterators, each of which is a stage of its own. Without iterators the flow is empty.
    pub fn from_iters<I>(iterators: impl IntoIterator<Item = I>) -> Self
    where
        I: IntoIterator<Item = T, IntoIter: Send + 'static>,
    {
        let iterators = iterators.into_iter();
        Self::from_inputs(iterators.map(|items| source(IterSource::new(items.into_iter()))))
    }

    /// A flow of the items of a stream. A packet has the items that are ready at once, at most 1,000.
    pub fn from_stream(items: impl Stream<Item = T> + Send + 'static) -> Self {
        Self::from_inputs([source(StreamSource::new(items))])
    }

    /// A flow of the events of running stages. Each is subscribed to with the options of its output. The flow ends when all of them have ended normally, and
    /// fails if one of them fails.
    pub fn from_stages(outputs: impl IntoIterator<Item = Output<T>>) -> Self {
        Self::from_inputs(
            outputs
                .into_iter()
                .map(|output| source(StagesSource::new(output))),
        )
    }

    /// A flow of the messages of a connector, with the default options of [`FlowSource`]. See [`from_source_with`](Self::from_source_with).
    pub fn from_source<S>(source: S) -> Self
    where
        S: Source<Producer: SourceProducer<Item = T>>,
    {
        Self::from_source_with(FlowSource::new(source))
    }

    /// A flow of the messages of a connector. A message is settled when everything that was made of it is emitted and confirmed: when its windows have fired, and
    /// the results have reached the end. So each message takes effect at least once.
    ///
    /// With [snapshots](Self::snapshots), a message is also settled when its effect is in a saved state.
    ///
    /// The source must be the only one of its flow.
    pub fn from_source_with<S>(source: FlowSource<S>) -> Self
    where
        S: Source<Producer: SourceProducer<Item = T>>,
    {
        Self::from_inputs([self::source(AckedSource::new(source))])
    }

    pub(crate) fn from_inputs(inputs: impl IntoIterator<Item = Input>) -> Self {
        let mut inputs: Vec<_> = inputs.into_iter().collect();
        if inputs.is_empty() {
            // A segment ends with its last input, so it needs one.
            inputs.push(source(IterSource::new(std::iter::empty::<T>())));
        }
        let is_bounded = inputs.iter().all(|input| match input {
            Input::Source(source) => source.info().is_bounded,
            Input::Segment(segment) | Input::Between { segment, .. } => segment.plan.is_bounded,
        });
        let plan = SegmentPlan {
            boundary: "source",
            is_bounded,
            ..SegmentPlan::default()
        };
        Self::at(OpenSegment::new(inputs, plan), Options::default())
    }
}

pub(crate) fn source(source: impl StartSource + 'static) -> Input {
    Input::Source(Box::new(source))
}
