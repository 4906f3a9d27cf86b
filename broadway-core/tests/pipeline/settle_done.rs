//! `Acknowledger::settle_done`: the messages of a group that all succeeded come as tokens; all others come with their outcomes.

use std::{num::NonZeroUsize, sync::Arc};

use broadway_core::{
    Acknowledger, Batching, BoxError, Delivery, Next, OpenContext, Outcome, Pipeline, Processors,
    Produced, Settled, Source, SourceExt, SourceProducer,
    telemetry::{Event, MessageInfo, Observer},
    testing::Collector,
};

use crate::common::{SECOND, Script, Sink};

/// The group of a call: which function was called, and the tokens, with a minus if the message failed.
type Call = (&'static str, Vec<i64>);

/// Delivers the numbers 0..40.
struct Numbers<A>(Arc<A>);

impl<A> Clone for Numbers<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> Source for Numbers<A>
where
    A: Acknowledger<Token = u64>,
{
    type Producer = NumbersProducer<A>;

    async fn open(&self, _: &OpenContext) -> Result<NumbersProducer<A>, BoxError> {
        Ok(NumbersProducer {
            next: 0,
            acknowledger: Arc::clone(&self.0),
        })
    }
}

struct NumbersProducer<A> {
    next: u64,
    acknowledger: Arc<A>,
}

impl<A: Acknowledger<Token = u64>> SourceProducer for NumbersProducer<A> {
    type Item = u64;
    type Acknowledger = A;

    fn acknowledger(&self) -> Arc<A> {
        Arc::clone(&self.acknowledger)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<u64, u64>>,
    ) -> Result<Produced, BoxError> {
        let end = (self.next + demand.get() as u64).min(40);
        out.extend((self.next..end).map(|number| Delivery::new(number, number)));
        self.next = end;
        Ok(match end {
            40 => Produced::End,
            _ => Produced::More,
        })
    }
}

fn numbers<A>(acknowledger: &Arc<A>) -> Numbers<A> {
    Numbers(Arc::clone(acknowledger))
}

fn keep(calls: &Collector<Call>, settled: &mut Vec<Settled<u64>>) {
    let group = settled.drain(..).map(|settled| {
        let token = i64::try_from(settled.token).unwrap();
        match settled.outcome {
            Outcome::Done => token,
            _ => -token,
        }
    });
    calls.push(("settle", group.collect()));
}

/// An acknowledger as most are: it has `settle` alone.
#[derive(Default)]
struct OnlySettle(Collector<Call>);

impl Acknowledger for OnlySettle {
    type Token = u64;

    async fn settle(&self, settled: &mut Vec<Settled<u64>>) -> Result<(), BoxError> {
        keep(&self.0, settled);
        Ok(())
    }
}

/// An acknowledger with both.
#[derive(Default)]
struct Both(Collector<Call>);

impl Acknowledger for Both {
    type Token = u64;

    async fn settle(&self, settled: &mut Vec<Settled<u64>>) -> Result<(), BoxError> {
        keep(&self.0, settled);
        Ok(())
    }

    async fn settle_done(&self, done: &mut Vec<u64>) -> Result<(), BoxError> {
        let group = done.drain(..).map(|token| i64::try_from(token).unwrap());
        self.0.push(("settle_done", group.collect()));
        Ok(())
    }
}

/// Fails the numbers 13 and 27, one in the handler and one in its batch. Odd numbers go into batches.
fn two_failures() -> Script<u64> {
    let script = Script::new().message(|message| match message.data() {
        13 => Err("unlucky".into()),
        n if n % 2 == 1 => Ok(Next::batch(Sink::One, *n)),
        _ => Ok(Next::Ack),
    });
    script.batch(|_, batch| {
        let row = batch.rows().find(|row| ***row == 27).map(|row| row.id());
        if let Some(row) = row {
            batch.fail(row, "three cubed");
        }
        Ok(())
    })
}

async fn calls_of<S>(source: S, calls: &Collector<Call>) -> Vec<Call>
where
    S: Source<Producer: SourceProducer<Item = u64>>,
{
    let pipeline = Pipeline::new(source, two_failures())
        .processors(Processors::new(1).max_demand(10))
        .batchers(|_| Batching::new(4, SECOND).concurrency(1));
    let topology = pipeline.start().await.unwrap();
    let totals = topology.wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (38, 2));
    calls.all()
}

fn check_tokens(calls: &[Call]) {
    let mut tokens: Vec<_> = calls.iter().flat_map(|(_, group)| group.clone()).collect();
    tokens.sort_unstable_by_key(|token| token.abs());
    let expected = (0..40).map(|n| if n == 13 || n == 27 { -n } else { n });
    assert_eq!(tokens, expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_acknowledger_with_settle_alone_gets_every_message() {
    let acknowledger = Arc::new(OnlySettle::default());
    let calls = calls_of(numbers(&acknowledger), &acknowledger.0).await;
    assert!(
        calls
            .iter()
            .all(|(call, group)| *call == "settle" && !group.is_empty())
    );
    check_tokens(&calls);
}

#[tokio::test(start_paused = true)]
async fn a_group_in_which_all_succeeded_goes_to_settle_done_and_any_other_to_settle_as_a_whole() {
    for is_boxed in [false, true] {
        let acknowledger = Arc::new(Both::default());
        let source = numbers(&acknowledger);
        let calls = match is_boxed {
            false => calls_of(source, &acknowledger.0).await,
            true => calls_of(source.boxed(), &acknowledger.0).await,
        };
        check_tokens(&calls);
        for (call, group) in &calls {
            let has_failures = group.iter().any(|token| *token < 0);
            assert_eq!(*call == "settle", has_failures, "{calls:?}");
        }
        // The batch of number 27 is settled as a whole: those that succeeded before and after it, in the order of the batch.
        let mixed = calls
            .iter()
            .find(|(_, group)| group.contains(&-27))
            .unwrap();
        assert_eq!(mixed.1.len(), 4, "{calls:?}");
    }
}

/// Fails or panics with the odd messages left, in `settle`.
struct FailsInSettle {
    panics: bool,
}

/// As [`FailsInSettle`], in `settle_done`.
struct FailsInSettleDone {
    panics: bool,
}

fn fail(panics: bool) -> Result<(), BoxError> {
    match panics {
        true => panic!("not coordinator"),
        false => Err("not coordinator".into()),
    }
}

fn name(token: &u64) -> MessageInfo {
    MessageInfo::new(format!("number {token}"))
}

impl Acknowledger for FailsInSettle {
    type Token = u64;

    async fn settle(&self, settled: &mut Vec<Settled<u64>>) -> Result<(), BoxError> {
        settled.retain(|settled| settled.token % 2 == 1);
        fail(self.panics)
    }

    fn describe(&self, token: &u64) -> MessageInfo {
        name(token)
    }
}

impl Acknowledger for FailsInSettleDone {
    type Token = u64;

    async fn settle(&self, _: &mut Vec<Settled<u64>>) -> Result<(), BoxError> {
        unreachable!("no message fails")
    }

    async fn settle_done(&self, done: &mut Vec<u64>) -> Result<(), BoxError> {
        done.retain(|token| token % 2 == 1);
        fail(self.panics)
    }

    fn describe(&self, token: &u64) -> MessageInfo {
        name(token)
    }
}

/// Keeps the reason, the number of messages and the names of each failed acknowledgement.
#[derive(Clone, Default)]
struct Reports(Collector<(String, usize, Vec<String>)>);

impl Observer for Reports {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        if let Event::AckFailed {
            count,
            reason,
            affected,
            ..
        } = event
        {
            let names = affected.iter().map(|info| info.to_string()).collect();
            self.0.push((reason.to_string(), *count, names));
        }
    }
}

async fn reports_of<S>(source: S) -> Vec<(String, usize, Vec<String>)>
where
    S: Source<Producer: SourceProducer<Item = u64>>,
{
    let reports = Reports::default();
    let pipeline = Pipeline::new(source, Script::new())
        .processors(Processors::new(1).max_demand(10))
        .observe(reports.clone());
    let totals = pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!(totals.done, 40);
    reports.0.all()
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_settle_done_is_reported_as_one_of_settle_with_the_messages_that_it_left() {
    for panics in [false, true] {
        let (one, other) = (FailsInSettle { panics }, FailsInSettleDone { panics });
        let (one, other) = (numbers(&Arc::new(one)), numbers(&Arc::new(other)));
        let expected = reports_of(one.clone()).await;
        assert_eq!(reports_of(other.clone()).await, expected);
        assert_eq!(reports_of(one.boxed()).await, expected);
        assert_eq!(reports_of(other.boxed()).await, expected);
        assert_eq!(expected.iter().map(|report| report.1).sum::<usize>(), 40);
        let names: Vec<_> = expected.into_iter().flat_map(|report| report.2).collect();
        let odd = (0..40).filter(|number| number % 2 == 1);
        assert_eq!(
            names,
            odd.map(|number| format!("number {number}"))
                .collect::<Vec<_>>()
        );
    }
}
