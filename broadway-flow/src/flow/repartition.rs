//! More than one machine: [`Flow::repartition_through`].

use broadway_core::{Outgoing, Publisher, Source, SourceProducer, source::ItemOf};

use super::{Flow, sources::source};
use crate::{
    FlowSource,
    chain::Chain,
    graph::{OpenSegment, SegmentPlan},
    run::{FirstPart, Options, RunningPart},
    source::AckedSource,
};

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Ends this part of the flow in a topic of a broker, and begins the next one there, so that several instances of the program share the work: the broker
    /// assigns partitions of the topic to them.
    ///
    /// `publisher` publishes the messages that `message` makes of events. Their key decides their partition, so it must be the key of the
    /// aggregation behind. `from` reads the same topic, in one consumer group for all instances; it needs [`positions`](FlowSource::positions), whose input is the
    /// partition.
    ///
    /// ```text
    ///  instance 1   source ─▶ map ─▶ publish ─┐  topic, by key  ┌─▶ event_time ─▶ window ─▶ …
    ///  instance 2   source ─▶ map ─▶ publish ─┤ ═══ p0 p1 p2 ═══┤─▶ event_time ─▶ window ─▶ …
    ///  instance 3   source ─▶ map ─▶ publish ─┘                 └─▶ event_time ─▶ window ─▶ …
    /// ```
    ///
    /// Behind it, each partition has its own operators, clock and state, which stay with the partition up to the end of the flow: there is no further
    /// `partition`, `shuffle`, `merge` or join, and [`partition`](Self::partition) only groups. One aggregation is allowed, in fixed or sliding windows
    /// in event time without lateness, and no state behind it: results that are out are not made again when a partition moves. For a second
    /// aggregation, put another `repartition_through` between them, or aggregate further where the results arrive.
    ///
    /// The flow does not start with a state that cannot be rebuilt or is of all partitions together: session windows, whose first events may
    /// be older than results that are out, `uniq`, `take_sort`, `departition`, and [`snapshots`](Self::snapshots).
    ///
    /// # When a partition moves
    ///
    /// State follows its partition by being rebuilt. Messages are settled up to the oldest event of a window that is not out, and with them goes the watermark up to
    /// which results are out. The instance that takes over reads from there, and leaves out events of windows that are out. So no result is missing or
    /// incomplete; results that were emitted after the last commit are emitted again, with the same value. Without a crash that is
    /// nearly none, and after a crash the results within [`settle_every`](FlowSource::settle_every) and the commit interval of the source.
    ///
    /// The part in front publishes at least once: after a crash, events may be in the topic twice, and later than events of other instances. If they may not
    /// count twice, aggregate them by an id. So that they are not late, run the part in front with one worker, which keeps the order of its source, and set
    /// [`inputs`](crate::EventTime::inputs) and [`expect_inputs`](crate::EventTime::expect_inputs) to the partition that they come from.
    ///
    /// A source whose commits cannot carry a watermark is refused at the start.
    pub fn repartition_through<P, S>(
        self,
        publisher: P,
        message: impl FnMut(T) -> Outgoing + Send + 'static,
        from: FlowSource<S>,
    ) -> Flow<ItemOf<S>>
    where
        P: Publisher,
        S: Source<Producer: SourceProducer<Item: Send>>,
    {
        let name = self.options.flow_name();
        let first = FirstPart::new(move || {
            Box::pin(async move {
                let running = self.into_publisher(publisher, message).await?;
                Ok(Box::new(running) as Box<dyn RunningPart>)
            })
        });
        let plan = SegmentPlan {
            boundary: "repartition",
            is_sharded: true,
            ..SegmentPlan::default()
        };
        let input = source(AckedSource::new(from.sharded()));
        let options = Options {
            name: Some(name),
            first: Some(first),
            ..Options::default()
        };
        Flow::at(OpenSegment::sharded(input, plan), options)
    }
}
