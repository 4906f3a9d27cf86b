//! The sources of a pipeline: their names, and how many producers each of them opens.

use super::{Options, Pipeline};
use crate::{
    handler::Handler,
    source::{Source, SourceProducer},
};

/// The name of a source that was given none.
const DEFAULT_NAME: &str = "source";

/// The names and the numbers of producers of a pipeline's sources, in the order in which they were added.
pub(in crate::pipeline) struct SourceNames {
    pub(in crate::pipeline) names: Vec<String>,
    /// By name. A name may be set before its source is added; [`validate`](super::super::validate) finds those without a source.
    pub(in crate::pipeline) producers: Vec<(String, usize)>,
}

impl Default for SourceNames {
    fn default() -> Self {
        Self {
            names: vec![DEFAULT_NAME.to_owned()],
            producers: Vec::new(),
        }
    }
}

impl SourceNames {
    /// Returns how many producers each source opens: `default` unless it was set.
    pub(in crate::pipeline) fn producers_of_each(&self, default: usize) -> Vec<usize> {
        let producers_of = |name: &String| {
            let set = self.producers.iter().rev().find(|(of, _)| of == name);
            set.map_or(default, |(_, producers)| *producers)
        };
        self.names.iter().map(producers_of).collect()
    }
}

impl<H: Handler> Options<H> {
    /// Returns how many producers all sources open together.
    pub(in crate::pipeline) fn producers_of_all(&self) -> usize {
        let each = self.sources.producers_of_each(self.producers);
        each.into_iter().fold(0, usize::saturating_add)
    }
}

impl<S, H> Pipeline<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Sets the name of the first source, for [`Topology::pause_source`](crate::Topology::pause_source) and in
    /// [`Topology::describe`](crate::Topology::describe). Defaults to `"source"`.
    pub fn source_name(mut self, name: impl Into<String>) -> Self {
        self.options.sources.names[0] = name.into();
        self
    }

    /// Adds a source: at most 64 in a pipeline, each with a name of its own. All deliver to the same processors.
    ///
    /// The sources have the same type. For sources of different brokers, make each a [`BoxSource`](crate::source::BoxSource) with
    /// [`boxed`](crate::source::SourceExt::boxed). Each opens [`producers`](Self::producers) producers, unless
    /// [`source_producers`](Self::source_producers) sets another number. The indices of producers run through: the producers of the
    /// second source follow the producers of the first.
    ///
    /// When one source ends, the others go on; the pipeline ends when all have. A source that fails for good ends the pipeline.
    /// With [`Processors::partition_by`](crate::Processors::partition_by), equal keys of two sources are one key: their messages are
    /// handled one at a time, and the order between the sources is the order of arrival.
    ///
    /// ```
    /// # use broadway_core::{Message, Pipeline, handler_fn, source};
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// # let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    /// // Sources of different types become one with `boxed`. These two are made by one function.
    /// let numbers = |first: u64| source::from_iter(move |_| first..first + 100);
    /// let pipeline = Pipeline::new(numbers(0), handler).source_name("orders").source("replayed", numbers(200));
    /// let topology = pipeline.start().await?;
    /// topology.pause_source("replayed")?;
    /// topology.resume_source("replayed")?;
    /// assert_eq!(topology.wait().await?.done, 200);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn source(mut self, name: impl Into<String>, source: S) -> Self {
        self.options.sources.names.push(name.into());
        self.sources.push(source);
        self
    }

    /// Sets how many producers the source of this name opens: 1 to 1,024. Defaults to [`producers`](Self::producers). All sources
    /// together open at most 1,024.
    ///
    /// A name that no source has makes [`start`](Self::start) fail.
    pub fn source_producers(mut self, name: impl Into<String>, producers: usize) -> Self {
        self.options
            .sources
            .producers
            .push((name.into(), producers));
        self
    }
}
