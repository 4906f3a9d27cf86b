//! All metrics: name, type, unit, labels and meaning. `docs/telemetry.md` shows the same as a table.

use ::metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};

/// One metric. Label names are defined here only.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: InstrumentKind,
    pub(super) unit: Unit,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InstrumentKind {
    Counter,
    Gauge,
    Histogram,
}

impl Metric {
    pub(super) fn counter(&self, values: &[&str]) -> Counter {
        debug_assert_eq!(self.kind, InstrumentKind::Counter, "{}", self.name);
        counter!(self.name, self.labels(values))
    }

    pub(super) fn gauge(&self, values: &[&str]) -> Gauge {
        debug_assert_eq!(self.kind, InstrumentKind::Gauge, "{}", self.name);
        gauge!(self.name, self.labels(values))
    }

    pub(super) fn histogram(&self, values: &[&str]) -> Histogram {
        debug_assert_eq!(self.kind, InstrumentKind::Histogram, "{}", self.name);
        histogram!(self.name, self.labels(values))
    }

    fn labels(&self, values: &[&str]) -> Vec<Label> {
        assert_eq!(self.labels.len(), values.len(), "labels of {}", self.name);
        self.labels
            .iter()
            .zip(values)
            .map(|(name, value)| Label::new(*name, (*value).to_owned()))
            .collect()
    }
}

/// Describes every metric to the recorder.
pub(super) fn describe() {
    for &Metric {
        name,
        kind,
        unit,
        help,
        ..
    } in ALL
    {
        match kind {
            InstrumentKind::Counter => describe_counter!(name, unit, help),
            InstrumentKind::Gauge => describe_gauge!(name, unit, help),
            InstrumentKind::Histogram => describe_histogram!(name, unit, help),
        }
    }
}

/// Declares the metrics and the list of all of them, so that none can be missing from the list.
macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal $unit:ident [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $constant: Metric = Metric {
            name: $name,
            kind: InstrumentKind::$kind,
            unit: Unit::$unit,
            labels: &[$($label),*],
            help: $help,
        };)*

        pub(super) const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    MESSAGES = Counter "broadway_messages_total" Count ["pipeline", "stage", "result"]
        "messages that left a stage (processors, or batcher:NAME), by result: ok, failed, forwarded";
    PRODUCED = Counter "broadway_produced_total" Count ["pipeline", "producer"]
        "messages delivered by a producer; pushed messages have the producer `pushed`";
    SETTLED = Counter "broadway_settled_total" Count ["pipeline", "producer", "result"]
        "messages passed to a producer's acknowledger, by result: ok, failed, resolved, released, delayed";
    RETURNED = Counter "broadway_returned_total" Count ["pipeline"]
        "messages returned by a processor whose handler had to wait, for other processors to take";
    RETRIES = Counter "broadway_retries_total" Count ["pipeline", "stage"]
        "messages that failed and wait to be handled again, by stage (processors, or batcher:NAME)";
    IN_FLIGHT = Gauge "broadway_in_flight" Count ["pipeline"]
        "messages delivered and not settled yet";
    RUNNING = Gauge "broadway_pipeline_running" Count ["pipeline"]
        "1 from the start of the topology to its end, then 0";
    DRAINING = Gauge "broadway_pipeline_draining" Count ["pipeline"]
        "1 while the topology drains";
    PAUSED = Gauge "broadway_pipeline_paused" Count ["pipeline"]
        "1 while the producers are paused";
    CHUNK_SIZE = Histogram "broadway_chunk_size" Count ["pipeline"]
        "messages in a chunk taken by a processor";
    CHUNK_SECONDS = Histogram "broadway_chunk_duration_seconds" Seconds ["pipeline"]
        "time from taking a chunk to having handled and settled it";
    BUSY_SECONDS = Counter "broadway_processor_busy_seconds_total" Seconds ["pipeline", "processor"]
        "time that a processor spent on chunks, in whole seconds";
    BATCH_SIZE = Histogram "broadway_batch_size" Count ["pipeline", "batcher"]
        "messages in a batch";
    BATCH_BYTES = Histogram "broadway_batch_bytes" Bytes ["pipeline", "batcher"]
        "bytes of a batch, if the batcher measures them";
    BATCH_FLUSH = Counter "broadway_batch_flush_total" Count ["pipeline", "batcher", "reason"]
        "completed batches, by trigger: size, bytes, timeout, idle, flush, split, limit, drain";
    BATCH_SECONDS = Histogram "broadway_batch_duration_seconds" Seconds ["pipeline", "batcher"]
        "time from beginning a batch to having handled it, and settled it unless other small batches followed at once";
    BATCH_FAILURES = Counter "broadway_batch_failures_total" Count ["pipeline", "batcher"]
        "batches that failed as a whole";
    HANDLE_FAILED_SECONDS = Histogram "broadway_handle_failed_duration_seconds" Seconds ["pipeline"]
        "time in a call of handle_failed";
    HANDLER_PANICS = Counter "broadway_handler_panics_total" Count ["pipeline", "callback"]
        "messages, batches and calls that failed because of a panic, by callback";
    END_TO_END = Histogram "broadway_end_to_end_seconds" Seconds ["pipeline"]
        "time from a message's delivery to its settlement, if enabled";
    HANDLERS_BLOCKED = Counter "broadway_handlers_blocked_total" Count ["pipeline"]
        "times that a handler was observed to block its thread";
    RATE_LIMITED_SECONDS = Counter "broadway_rate_limited_seconds_total" Seconds ["pipeline", "producer"]
        "time that a producer waited for the rate limit, in whole seconds";
    ACK_FAILURES = Counter "broadway_ack_failures_total" Count ["pipeline", "producer"]
        "failed calls of a producer's acknowledger";
    ACK_FAILED_MESSAGES = Counter "broadway_ack_failed_messages_total" Count ["pipeline", "producer"]
        "messages in failed calls of a producer's acknowledger, which are delivered again";
    CLOSE_FAILURES = Counter "broadway_close_failures_total" Count ["pipeline", "producer"]
        "times that a producer could not close";
    PRODUCER_FAILURES = Counter "broadway_producer_failures_total" Count ["pipeline", "producer", "callback"]
        "failures of a producer, by callback";
    PRODUCER_RESTARTS = Counter "broadway_producer_restarts_total" Count ["pipeline", "producer"]
        "times that a failed producer delivered again";
    DROPPED_UNSETTLED = Counter "broadway_dropped_unsettled_total" Count ["pipeline"]
        "messages that were not settled when a topology ended, which are delivered again";
    PARTS = Gauge "broadway_source_parts" Count ["pipeline"]
        "parts (partitions) that are assigned to the pipeline";
    ASSIGNED = Counter "broadway_parts_assigned_total" Count ["pipeline"]
        "parts assigned to a producer";
    REVOKED = Counter "broadway_parts_revoked_total" Count ["pipeline", "settled"]
        "parts taken away, by whether all work on them had ended: true, false";
    LAG = Gauge "broadway_source_lag" Count ["pipeline", "part"]
        "messages of a part that are at the broker and not settled; NaN while unknown; 0 once it is revoked";
    OLDEST = Gauge "broadway_source_oldest_seconds" Seconds ["pipeline", "part"]
        "age of the oldest message of a part that is at the broker and not settled; NaN while unknown; 0 without one";
    COMMITTED_POSITION = Gauge "broadway_source_committed_position" Count ["pipeline", "part"]
        "the last committed position of a part, at which reading resumes after a restart, the offset of the last settled message + 1";
    HALTED = Gauge "broadway_source_halted" Count ["pipeline", "part"]
        "1 while a part is halted by a failure; 0 once it is committed past the failure, resumed, assigned again or revoked";
    LOST = Counter "broadway_source_lost_total" Count ["pipeline", "part"]
        "positions of a part that were deleted at the source before they were read";
    COMMITS = Counter "broadway_commits_total" Count ["pipeline", "result"]
        "commits at the source, by result: ok, failed";
    SOURCE_ERRORS = Counter "broadway_source_errors_total" Count ["pipeline", "producer"]
        "connection failures that a source reported and recovered from";
    LATE_RESULTS = Counter "broadway_late_results_total" Count ["pipeline", "producer"]
        "messages whose results arrived after the source had lost its claim on them";
    DEAD_LETTERS = Counter "broadway_dead_letters_total" Count ["pipeline", "result"]
        "dead letters, by result: ok (confirmed), refused (the message stays failed)";
    DEAD_LETTERS_HELD = Gauge "broadway_dead_letters_held" Count ["pipeline"]
        "dead letters that were not confirmed and wait to be sent again";
    PUBLISHED = Counter "broadway_published_total" Count ["publisher", "result"]
        "messages sent by an observed publisher, by result: ok (confirmed), failed";
    PUBLISH_SECONDS = Histogram "broadway_publish_duration_seconds" Seconds ["publisher"]
        "time from passing messages to an observed publisher to the last confirmation";
    STAGE_RUNNING = Gauge "broadway_stage_running" Count ["stage"]
        "stages of this name that were started and have not ended; those that wait for a restart count";
    STAGE_RECEIVED = Counter "broadway_stage_events_received_total" Count ["stage"]
        "events that a stage received";
    STAGE_EMITTED = Counter "broadway_stage_events_emitted_total" Count ["stage"]
        "events that a stage emitted";
    STAGE_DISCARDED = Counter "broadway_stage_events_discarded_total" Count ["stage"]
        "emitted events that were discarded because the buffer was full";
    STAGE_DROPPED = Counter "broadway_stage_events_dropped_total" Count ["stage"]
        "emitted events that the dispatcher's function discarded";
    STAGE_LOST = Counter "broadway_stage_events_lost_total" Count ["stage"]
        "received events that were lost when a callback failed";
    STAGE_DEMAND = Gauge "broadway_stage_demand" Count ["stage"]
        "events that consumers have requested and the stage has not emitted";
    STAGE_BUFFERED = Gauge "broadway_stage_buffered" Count ["stage"]
        "emitted events that wait in the buffer for demand";
    STAGE_SUBSCRIPTIONS = Gauge "broadway_stage_subscriptions" Count ["stage"]
        "subscriptions of a stage to producers";
    STAGE_CONSUMERS = Gauge "broadway_stage_consumers" Count ["stage"]
        "subscriptions of consumers to a stage";
    STAGE_CHUNK_SIZE = Histogram "broadway_stage_chunk_size" Count ["stage"]
        "events in a chunk that a stage received and handled";
    STAGE_CALLBACK_SECONDS = Histogram "broadway_stage_callback_duration_seconds" Seconds ["stage", "callback"]
        "time in a call of a callback, by callback: handle_events, handle_demand, receive, handle_timer, handle_subscription";
    STAGE_BUSY_SECONDS = Counter "broadway_stage_busy_seconds_total" Seconds ["stage"]
        "time that a stage spent in these callbacks, in whole seconds";
    STAGE_FAILURES = Counter "broadway_stage_failures_total" Count ["stage", "callback"]
        "failures of a stage, errors and panics, by callback";
    STAGE_RESTARTS = Counter "broadway_stage_restarts_total" Count ["stage"]
        "times that a failed stage ran again";
}
