//! [`Lines`]: a flow of borrowed text.

use std::{fmt, path::PathBuf, sync::Arc};

use broadway_core::BoxError;

use super::{
    chain::{EachLine, TextChain, TextOperation, TextThen},
    count::{CountSink, OfTexts, TextCrossing},
    map::{TextFilterMap, TextFlatMap, TextMap, TextTryMap},
    operations::{Split, TextFilter, TextInspect, TextSplit},
};
use crate::{
    Flow, Windows,
    aggregate::Count,
    graph::{Input, OpenSegment, Segment, SegmentPlan},
    group::{CombineSink, KeyRoute, LateOutput, STATES_MAX, Share, Volatile, WindowSink, behind},
    machine::windows::{Combiner, WindowState},
    plan::Plan,
    run::Options,
    sink::{OperatorInfo, OutboxSink, Seat},
    source::{Block, FilesSource},
};

/// A flow of borrowed text: the lines of files, and what [`split`](Self::split) makes of them.
///
/// Files are read in blocks of 256 KiB, and text is borrowed from the block, so a line or a word costs no allocation. [`map`](Self::map) and its relatives
/// lead to a [`Flow`] of events that last.
///
/// ```
/// use broadway_flow::Lines;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("poem.txt");
/// # std::fs::write(&path, "the sea the sky\nthe shore\n")?;
/// let words = Lines::files([path]).split(str::split_ascii_whitespace);
/// let mut counts = words.count().collect().await?;
/// counts.sort();
/// assert_eq!(counts[0], ("sea".to_owned(), 1));
/// assert_eq!(counts[3], ("the".to_owned(), 3));
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
/// ```
///
/// # Limits
///
/// A worker holds up to 5 blocks. A line may have 64 MiB; a longer one, and text that is not UTF-8, ends the flow with an error that names the file.
#[must_use = "a flow does nothing until it is run"]
pub struct Lines<C: TextChain = EachLine> {
    open: OpenSegment<Block>,
    chain: C,
    options: Options,
}

impl Lines {
    /// The lines of files, without their ends: `\n`, or `\r\n`. Files are read one after the other.
    pub fn files<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        let paths = paths.into_iter().map(Into::into).collect();
        let plan = SegmentPlan {
            boundary: "source",
            is_bounded: true,
            ..SegmentPlan::default()
        };
        let source = Input::Source(Box::new(FilesSource::new(paths)));
        Self {
            open: OpenSegment::new(vec![source], plan),
            chain: EachLine,
            options: Options::default(),
        }
    }
}

impl<C: TextChain> Lines<C> {
    /// As [`Flow::name`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into().into());
        self
    }

    /// As [`Flow::workers`].
    pub fn workers(mut self, workers: usize) -> Self {
        self.open.workers = Some(workers);
        self
    }

    /// As [`Flow::named`].
    pub fn named(self, name: impl Into<String>) -> Self {
        if let Some(info) = self.open.plan.operators.last() {
            // The first name stays.
            let _ = info.name.set(name.into().into());
        }
        self
    }

    /// Keeps the texts for which `f` returns true.
    pub fn filter<F>(self, f: F) -> Lines<TextThen<C, TextFilter<F>>>
    where
        F: FnMut(&str) -> bool + Clone + Send + 'static,
    {
        self.then("filter", |info| TextFilter::new(f, info))
    }

    /// Calls `f` with each text, and passes it on.
    pub fn inspect<F>(self, f: F) -> Lines<TextThen<C, TextInspect<F>>>
    where
        F: FnMut(&str) + Clone + Send + 'static,
    {
        self.then("inspect", |info| TextInspect::new(f, info))
    }

    /// Replaces each text with parts of it. `f` is the name of a function, such as `str::split_whitespace`, since the compiler does not accept a closure that
    /// returns what it borrows. With a closure, use [`flat_map`](Self::flat_map).
    pub fn split<F>(self, f: F) -> Lines<TextThen<C, TextSplit<F>>>
    where
        F: for<'a> Split<'a> + Clone + Send + 'static,
    {
        self.then("split", |info| TextSplit::new(f, info))
    }

    /// Replaces each text with an event.
    pub fn map<U, F>(self, f: F) -> Flow<U, TextMap<C, F>>
    where
        U: Send + 'static,
        F: FnMut(&str) -> U + Clone + Send + 'static,
    {
        self.lead("map", |chain, info| TextMap::new(chain, f, info))
    }

    /// Replaces each text with an event, or drops it.
    pub fn filter_map<U, F>(self, f: F) -> Flow<U, TextFilterMap<C, F>>
    where
        U: Send + 'static,
        F: FnMut(&str) -> Option<U> + Clone + Send + 'static,
    {
        self.lead("filter_map", |chain, info| {
            TextFilterMap::new(chain, f, info)
        })
    }

    /// Replaces each text with none, one or many events.
    pub fn flat_map<I, F>(self, f: F) -> Flow<I::Item, TextFlatMap<C, F>>
    where
        I: IntoIterator<Item: Send + 'static>,
        F: FnMut(&str) -> I + Clone + Send + 'static,
        TextFlatMap<C, F>: crate::Chain<In = Block, Out = I::Item>,
    {
        self.lead("flat_map", |chain, info| TextFlatMap::new(chain, f, info))
    }

    /// Replaces each text with an event, by a function that may fail. The first error ends the flow.
    pub fn try_map<U, E, F>(self, f: F) -> Flow<U, TextTryMap<C, F>>
    where
        U: Send + 'static,
        E: Into<BoxError>,
        F: FnMut(&str) -> Result<U, E> + Clone + Send + 'static,
        TextTryMap<C, F>: crate::Chain<In = Block, Out = U>,
    {
        self.lead("try_map", |chain, info| TextTryMap::new(chain, f, info))
    }

    /// Counts equal texts, in all workers together. Each worker counts its own first, up to 262,144 texts at a time, so only counts cross the
    /// partition.
    pub fn count(mut self) -> Flow<(String, u64)> {
        let windows = Windows::<()>::global();
        let before = Arc::new(OperatorInfo::new("combine"));
        self.open.plan.operators.push(Arc::clone(&before));
        let options = self.options.clone();
        let parts = windows.clone();
        let segment = self.finish(move |seat| {
            let combiner = Combiner::new(&parts, Count, STATES_MAX);
            let out = OutboxSink::<TextCrossing, _>::new(KeyRoute::new(), seat);
            CountSink::new(CombineSink::new(combiner, true, Arc::clone(&before), out))
        });
        let info = Arc::new(OperatorInfo::detailed("count", windows.to_string()));
        let counts = Arc::clone(&info);
        let mut open = behind::<TextCrossing>(segment, None, Vec::new()).with(move |seat, next| {
            let state = WindowState::new(&windows, Count, None);
            let info = Arc::clone(&counts);
            WindowSink::<_, _, _, OfTexts, Volatile>::new(
                state,
                Share::OfKeys,
                LateOutput::none(),
                info,
                seat,
                next,
            )
        });
        open.plan.operators.push(info);
        Flow::at(open, options)
    }

    /// Returns the plan, as [`Flow::explain`].
    #[must_use]
    pub fn explain(self) -> Plan {
        self.map(|_| ()).explain()
    }

    fn then<O: TextOperation>(
        mut self,
        kind: &'static str,
        operation: impl FnOnce(Arc<OperatorInfo>) -> O,
    ) -> Lines<TextThen<C, O>> {
        let info = self.open.plan.add(kind);
        Lines {
            open: self.open,
            chain: TextThen::new(self.chain, operation(info)),
            options: self.options,
        }
    }

    /// Leads to events that last.
    fn lead<D: crate::Chain<In = Block>>(
        mut self,
        kind: &'static str,
        operation: impl FnOnce(C, Arc<OperatorInfo>) -> D,
    ) -> Flow<D::Out, D> {
        let info = self.open.plan.add(kind);
        Flow {
            open: self.open,
            chain: operation(self.chain, info),
            options: self.options,
        }
    }

    /// Completes the segment with a last operator.
    fn finish<S: super::TextSink>(
        self,
        mut make: impl FnMut(&Seat) -> S + Send + 'static,
    ) -> Segment {
        let chain = self.chain;
        self.open.close(Box::new(move |seat| {
            let last = make(seat);
            Box::new(chain.clone().run(seat, last))
        }))
    }
}

impl<C: TextChain> fmt::Debug for Lines<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
