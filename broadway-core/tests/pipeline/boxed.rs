//! A boxed source settles, releases, describes and closes as the source in it does; a boxed publisher publishes as the publisher in it.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{
    Acknowledger, BoxError, BoxPublisher, BoxSource, Callback, Delivery, Header, Message, Next,
    OpenContext, Outcome, Outgoing, Pipeline, Problem, Processors, Produced, PublishError,
    PublishErrorKind, Publisher, Reason, Record, Settled, Source, SourceExt, SourceProducer,
    StartError, handler_fn, source,
    telemetry::{Event, MessageInfo, Observer},
    testing::{
        Collector, Fault, Faults, Feed, ProducerCall, Recorder, RecordingPublisher, drained,
        manual_source,
    },
};
use futures_util::FutureExt;
use proptest::prelude::*;

use crate::common::{SECOND, Script, Wait, outcomes};

fn boxed() -> (BoxSource<u64>, Feed<u64>) {
    let (source, feed) = manual_source::<u64>();
    (source.redelivers().boxed(), feed)
}

#[tokio::test(start_paused = true)]
async fn each_message_of_a_boxed_source_is_settled_once() {
    let (source, feed) = boxed();
    let script = Script::new().message(|message| match message.data() % 3 {
        0 => Err("a multiple of three".into()),
        _ => Ok(Next::Ack),
    });
    let receipts = feed.push_all(0..1_000);
    feed.end();
    let pipeline = Pipeline::new(source, script).producers(3);
    let totals = pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (666, 334));
    for (number, outcome) in outcomes(receipts).await.into_iter().enumerate() {
        assert_eq!(outcome.is_failed(), number % 3 == 0, "message {number}");
    }
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn results_of_a_failed_producer_reach_the_acknowledger_that_they_began_with() {
    let (source, feed) = boxed();
    let slow = Script::<u64>::new().wait(|n| Wait::For(SECOND / 100 * (*n as u32 % 7)));
    for n in 0..10 {
        feed.push_all(n * 20..(n + 1) * 20);
        feed.fail("the connection is gone");
    }
    feed.push_all(200..220);
    feed.end();
    let pipeline = Pipeline::new(source, slow).processors(Processors::new(4).max_demand(20));
    let totals = pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!(totals.done, 220);
    let opened = |step: &ProducerCall| matches!(step, ProducerCall::Opened(_));
    assert_eq!(
        feed.producer_calls()
            .iter()
            .filter(|step| opened(step))
            .count(),
        11
    );
    // Tokens name the opening, and the ledger of the feed compares it with the acknowledger's.
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_releases_what_no_handler_of_a_boxed_source_has_begun() {
    let (source, feed) = boxed();
    let script = Script::<u64>::new().wait(|_| Wait::For(SECOND));
    let receipts = feed.push_all(0..100);
    let pipeline = Pipeline::new(source, script).processors(Processors::new(1).max_demand(10));
    let topology = pipeline.start().await.unwrap();
    feed.wait_delivered(10).await;
    let totals = drained(&topology).await;
    assert!(totals.released > 0, "{totals:?}");
    assert_eq!(totals.done + totals.released, totals.received);
    drop(receipts);
    let steps = feed.producer_calls();
    assert!(steps.contains(&ProducerCall::Stopped(0)) && steps.contains(&ProducerCall::Closed(0)));
    feed.assert_contract();
}

#[tokio::test(start_paused = true)]
async fn stale_messages_of_a_boxed_source_are_released_unhandled() {
    let (source, feed) = boxed();
    let (script, plan) = Faults::of(Script::<u64>::new());
    plan.at(Callback::HandleMessage, 0, Fault::Hang);
    let pipeline = Pipeline::new(source, script).processors(Processors::new(1));
    let topology = pipeline.start().await.unwrap();
    let stale = feed.push_all(0..10);
    plan.wait_hanging(1).await;
    feed.wait_delivered(10).await;
    feed.make_stale();
    plan.release();
    let stale = outcomes(stale).await;
    assert!(stale[0].is_done());
    let is_released = |outcome: &Outcome| matches!(outcome, Outcome::Released);
    assert!(stale[1..].iter().all(is_released), "{stale:?}");
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_failed_acknowledgement_of_a_boxed_source_is_an_event_and_leaves_nothing_behind() {
    let recorder = Recorder::new();
    let (source, feed) = boxed();
    feed.faults()
        .at(Callback::Settle, 0, Fault::panic("no connection"));
    let pipeline = Pipeline::new(source, Script::<u64>::new()).observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    outcomes(feed.push_all(0..5)).await;
    outcomes(feed.push_all(5..10)).await;
    drained(&topology).await;
    assert_eq!(recorder.count("ack_failed"), 1);
    feed.assert_settled_once();
}

/// A source whose tokens are texts, which says everything that a source can say.
#[derive(Clone, Default)]
struct Texts {
    next: Arc<Mutex<u64>>,
    ends: Collector<(String, &'static str, Option<u8>)>,
    notes: Collector<(String, i64)>,
    problem: Option<&'static str>,
}

#[derive(Debug)]
struct Line(u64);

impl Record for Line {
    type AckOptions = u8;

    fn payload(&self) -> &[u8] {
        b"line"
    }

    fn for_each_header(&self, _: &mut dyn FnMut(Header)) {}

    fn id(&self) -> String {
        format!("line {}", self.0)
    }
}

impl Source for Texts {
    type Producer = Self;

    fn check(&self) -> Vec<Problem> {
        let problem = self.problem.map(|text| Problem::new("texts", text));
        problem.into_iter().collect()
    }

    async fn open(&self, _: &OpenContext) -> Result<Self, BoxError> {
        Ok(self.clone())
    }
}

impl SourceProducer for Texts {
    type Item = Line;
    type Acknowledger = Self;

    fn acknowledger(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<Line, String>>,
    ) -> Result<Produced, BoxError> {
        let mut next = self.next.lock().unwrap();
        for _ in 0..demand.get() {
            out.push(Delivery::new(Line(*next), format!("token {next}")));
            *next += 1;
        }
        match *next {
            next if next >= 1_000_000 => Err("too far".into()),
            _ => Ok(Produced::More),
        }
    }

    fn describe(item: &Line) -> MessageInfo {
        MessageInfo::of_record(item).attempt(7)
    }
}

impl Acknowledger for Texts {
    type Token = String;

    const WANTS_BEGIN: bool = true;

    fn begin<'a>(&self, tokens: impl Iterator<Item = &'a String>) {
        for token in tokens {
            self.ends.push((token.clone(), "begun", None));
        }
    }

    /// Leaves those with a 9 in them.
    async fn settle(&self, settled: &mut Vec<Settled<String>>) -> Result<(), BoxError> {
        let mut left = Vec::new();
        for one in settled.drain(..) {
            if one.token.contains('9') {
                left.push(one);
                continue;
            }
            let end = match one.outcome {
                Outcome::Done => "done",
                Outcome::Failed(_) => "failed",
                Outcome::Delayed(SECOND) => "delayed by a second",
                Outcome::Parked {
                    pause: SECOND,
                    attempts: 3,
                } => "parked after 3 attempts",
                _ => "released",
            };
            let options = one.options().copied();
            self.ends.push((one.token, end, options));
        }
        *settled = left;
        match settled.is_empty() {
            true => Ok(()),
            false => Err("no nines".into()),
        }
    }

    fn is_stale(&self, token: &String) -> bool {
        token.ends_with('3')
    }

    fn redelivers(&self, token: &String) -> bool {
        token.ends_with('4')
    }

    fn delay_max(&self, token: &String) -> Option<Duration> {
        token.ends_with('5').then_some(SECOND)
    }

    fn parks(&self, token: &String, pause: Duration) -> bool {
        token.ends_with('6') && pause == SECOND
    }

    fn attempts(&self, token: &String) -> u32 {
        u32::from(token.ends_with('7'))
    }

    fn keeps_progress(&self) -> bool {
        true
    }

    fn progress(&self, token: &String) -> Option<i64> {
        token.ends_with('8').then_some(-8)
    }

    fn set_progress(&self, token: &String, progress: i64) {
        self.notes.push((token.clone(), progress));
    }

    fn describe(&self, token: &String) -> MessageInfo {
        MessageInfo::new(token.clone())
    }

    fn generation(&self) -> u64 {
        11
    }

    fn repeats(&self) -> u64 {
        12
    }
}

#[derive(Debug, Clone)]
enum Action {
    Produce(usize),
    /// Settles up to this number of messages, beginning at this index.
    Settle(usize, usize, u8),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (1..20_usize).prop_map(Action::Produce),
        (0..40_usize, 1..20_usize, 0..6_u8).prop_map(|(from, n, end)| Action::Settle(from, n, end)),
    ]
}

/// The end of messages that are settled with `settle_done`.
const SETTLED_AS_DONE: u8 = 5;

fn outcome(end: u8) -> (Outcome, &'static str) {
    match end {
        0 => (Outcome::Done, "done"),
        1 => {
            let reason = Reason::error(Callback::HandleMessage, "no");
            (Outcome::Failed(reason), "failed")
        }
        2 => (Outcome::Delayed(SECOND), "delayed by a second"),
        3 => {
            let (pause, attempts) = (SECOND, 3);
            let parked = Outcome::Parked { pause, attempts };
            (parked, "parked after 3 attempts")
        }
        _ => (Outcome::Released, "released"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The model: a map from the item's number to its erased token. Whatever the order in which messages end, each token that comes
    /// to the acknowledger is the one that was given with its item.
    #[test]
    fn each_erased_token_stands_for_the_token_that_its_item_came_with(
        actions in prop::collection::vec(action(), 1..40),
    ) {
        let texts = Texts::default();
        let source = texts.clone().boxed();
        let cx = OpenContext::for_test();
        let mut producer = source.open(&cx).now_or_never().unwrap().unwrap();
        let acknowledger = producer.acknowledger();
        let (mut in_flight, mut expected) = (BTreeMap::new(), Vec::new());
        for action in actions {
            match action {
                Action::Produce(demand) => {
                    let mut out = Vec::new();
                    let demand = NonZeroUsize::new(demand).unwrap();
                    producer.produce(demand, &mut out).now_or_never().unwrap().unwrap();
                    prop_assert_eq!(out.len(), demand.get());
                    in_flight.extend(out.into_iter().map(|one| (one.item.0, one.token)));
                }
                Action::Settle(from, n, end) => {
                    let numbers: Vec<u64> = in_flight.keys().copied().skip(from).take(n).collect();
                    let (mut group, mut done) = (Vec::new(), Vec::new());
                    let mut left = Vec::new();
                    for number in numbers {
                        let token = in_flight.remove(&number).unwrap();
                        let (end, options) = if end == SETTLED_AS_DONE {
                            done.push(token);
                            ("done", None)
                        } else {
                            let (outcome, end) = outcome(end);
                            let options = end.len() as u8;
                            group.push(Settled::for_test(token, outcome).with_options(options));
                            (end, Some(options))
                        };
                        let typed = format!("token {number}");
                        match typed.contains('9') {
                            true => left.push(typed),
                            false => expected.push((typed, end, options)),
                        }
                    }
                    let result = match done.is_empty() {
                        true => acknowledger.settle(&mut group).now_or_never(),
                        false => acknowledger.settle_done(&mut done).now_or_never(),
                    };
                    prop_assert_eq!(result.unwrap().is_err(), !left.is_empty());
                    // What is left can still be named, and then be dropped.
                    let tokens = group.iter().map(|one| &one.token).chain(&done);
                    let named: Vec<_> =
                        tokens.map(|token| acknowledger.describe(token).id).collect();
                    prop_assert_eq!(named, left);
                }
            }
            for (number, token) in &in_flight {
                prop_assert_eq!(acknowledger.describe(token).id, format!("token {number}"));
                prop_assert_eq!(acknowledger.is_stale(token), number % 10 == 3);
                prop_assert_eq!(acknowledger.redelivers(token), number % 10 == 4);
                let delay_max = (number % 10 == 5).then_some(SECOND);
                prop_assert_eq!(acknowledger.delay_max(token), delay_max);
                prop_assert_eq!(acknowledger.parks(token, SECOND), number % 10 == 6);
                prop_assert!(!acknowledger.parks(token, Duration::ZERO));
                prop_assert_eq!(acknowledger.attempts(token), u32::from(number % 10 == 7));
                prop_assert_eq!(acknowledger.progress(token), (number % 10 == 8).then_some(-8));
            }
        }
        prop_assert!(acknowledger.keeps_progress());
        for (number, token) in &in_flight {
            acknowledger.set_progress(token, *number as i64);
        }
        let notes = in_flight.keys().map(|number| (format!("token {number}"), *number as i64));
        prop_assert_eq!(texts.notes.all(), notes.collect::<Vec<_>>());
        prop_assert_eq!(texts.ends.all(), expected);
        acknowledger.begin(in_flight.values());
        let begun: Vec<_> = texts.ends.all().into_iter().filter(|end| end.1 == "begun").collect();
        prop_assert_eq!(begun.len(), in_flight.len());
        prop_assert_eq!((acknowledger.generation(), acknowledger.repeats()), (11, 12));
    }
}

#[tokio::test(start_paused = true)]
async fn a_boxed_source_names_its_items_and_takes_their_acknowledgement_options() {
    let texts = Texts::default();
    let names = Names::default();
    let handler = handler_fn(|message: &mut Message<Line>| {
        message.configure_ack(message.data().0 as u8);
        match message.data().0 {
            5 => Err("five".into()),
            _ => Ok(()),
        }
    });
    let pipeline = Pipeline::new(texts.clone().boxed(), handler)
        .processors(Processors::new(1).max_demand(8))
        .observe(names.clone());
    let topology = pipeline.start().await.unwrap();
    while texts.ends.len() < 16 {
        tokio::time::sleep(SECOND / 1_000).await;
    }
    drop(topology.abort().await);
    let ends = texts.ends.all();
    assert!(ends.contains(&("token 5".to_owned(), "failed", Some(5))));
    assert!(ends.contains(&("token 6".to_owned(), "done", Some(6))));
    assert!(ends.contains(&("token 6".to_owned(), "begun", None)));
    assert_eq!(names.0.all()[0], "line 5 (attempt 7)");
    // The first that its acknowledger left, and that it named.
    assert!(names.0.all().contains(&"token 9".to_owned()));
}

/// Keeps what logs would call the messages that failed, and those whose acknowledgement did.
#[derive(Clone, Default)]
struct Names(Collector<String>);

impl Observer for Names {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        if let Event::MessageFailed { affected, .. } | Event::AckFailed { affected, .. } = event {
            affected
                .iter()
                .for_each(|info| self.0.push(info.to_string()));
        }
    }
}

#[tokio::test]
async fn problems_of_a_boxed_source_are_listed_at_the_start() {
    let texts = Texts {
        problem: Some("is empty"),
        ..Texts::default()
    };
    let handler = handler_fn(|_: &mut Message<Line>| Ok(()));
    let started = Pipeline::new(texts.boxed(), handler).start().await;
    let Err(StartError::Invalid(problems)) = started else {
        panic!("it has started");
    };
    assert_eq!(problems[0].to_string(), "source.texts: is empty");
}

#[tokio::test]
async fn one_of_several_sources_is_chosen_at_run_time() {
    for (kind, expected) in [("numbers", 3), ("words", 2)] {
        let source: BoxSource<String> = match kind {
            "numbers" => source::from_iter(|_| 0..3_u64)
                .map(|n| n.to_string())
                .boxed(),
            _ => source::from_iter(|_| ["a", "b"]).map(str::to_owned).boxed(),
        };
        assert!(format!("{source:?}").starts_with("BoxSource("));
        let handler = handler_fn(|_: &mut Message<String>| Ok(()));
        let totals = Pipeline::new(source, handler).start().await.unwrap();
        assert_eq!(totals.wait().await.unwrap().done, expected, "{kind}");
    }
}

#[tokio::test]
async fn a_boxed_publisher_publishes_flushes_and_closes_the_publisher_in_it() {
    let outbox = RecordingPublisher::new();
    let publisher: BoxPublisher = outbox.clone().boxed();
    outbox.fail_next(PublishError::unconfirmed("the line went dead"));
    let results = publisher
        .clone()
        .publish(vec![Outgoing::new("first"), Outgoing::new("second")])
        .await;
    assert!(results[0].is_err() && results[1].is_ok());
    publisher.publish_one(Outgoing::new("third")).await.unwrap();
    assert_eq!(
        outbox.sent().all(),
        [Outgoing::new("second"), Outgoing::new("third")]
    );
    publisher.flush().await.unwrap();
    publisher.close().await.unwrap();
    let error = outbox.publish_one(Outgoing::new("late")).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Closed);
    assert!(format!("{publisher:?}").starts_with("BoxPublisher("));
}
