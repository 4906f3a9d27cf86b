//! Progress notes reach the acknowledger of the source through those that wrap it.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use broadway_core::{
    Acknowledger, BoxError, Delivery, NoopAcknowledger, OpenContext, Outcome, Produced, Settled,
    Source, SourceProducer, source::SourceExt,
};

/// Numbers from two inputs: the even ones and the odd ones.
#[derive(Clone, Default)]
struct TwoInputs {
    next: u64,
    notes: Arc<Mutex<[Option<i64>; 2]>>,
}

impl Source for TwoInputs {
    type Producer = Self;

    async fn open(&self, _: &OpenContext) -> Result<Self, BoxError> {
        Ok(self.clone())
    }
}

impl SourceProducer for TwoInputs {
    type Item = u64;
    type Acknowledger = Self;

    fn acknowledger(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<u64, usize>>,
    ) -> Result<Produced, BoxError> {
        for _ in 0..demand.get() {
            out.push(Delivery::new(self.next, (self.next % 2) as usize));
            self.next += 1;
        }
        Ok(Produced::More)
    }
}

impl Acknowledger for TwoInputs {
    type Token = usize;

    async fn settle(&self, settled: &mut Vec<Settled<usize>>) -> Result<(), BoxError> {
        settled.clear();
        Ok(())
    }

    fn keeps_progress(&self) -> bool {
        true
    }

    fn progress(&self, input: &usize) -> Option<i64> {
        self.notes.lock().unwrap()[*input]
    }

    fn set_progress(&self, input: &usize, progress: i64) {
        self.notes.lock().unwrap()[*input] = Some(progress);
    }
}

/// Opens a source with the numbers 0 and 1, one of each input, and sets and reads the note of the second.
async fn note_passes(source: impl Source<Producer: SourceProducer<Item = u64>>) {
    let mut producer = source.open(&OpenContext::for_test()).await.unwrap();
    let acknowledger = producer.acknowledger();
    assert!(acknowledger.keeps_progress());
    let mut out = Vec::new();
    while out.len() < 2 {
        producer.produce(NonZeroUsize::MIN, &mut out).await.unwrap();
    }
    let tokens: Vec<_> = out.into_iter().map(|one| (one.item, one.token)).collect();
    let [(0, first), (1, second)] = &tokens[..] else {
        panic!("two numbers");
    };
    assert_eq!(acknowledger.progress(second), None);
    acknowledger.set_progress(second, -7);
    assert_eq!(acknowledger.progress(second), Some(-7));
    assert_eq!(acknowledger.progress(first), None);
    let settled = tokens.into_iter().map(|(_, token)| token);
    let mut settled = settled
        .map(|token| Settled::for_test(token, Outcome::Done))
        .collect();
    acknowledger.settle(&mut settled).await.unwrap();
}

#[tokio::test]
async fn notes_pass_through_wrapped_acknowledgers() {
    note_passes(TwoInputs::default()).await;
    note_passes(TwoInputs::default().map(|number| number)).await;
    note_passes(TwoInputs::default().boxed()).await;
    note_passes(TwoInputs::default().split(|number| [number])).await;
    note_passes(TwoInputs::default().split(|number| [number]).boxed()).await;
}

#[tokio::test]
async fn parts_have_the_note_of_the_input_of_their_item() {
    let source = TwoInputs::default();
    let notes = Arc::clone(&source.notes);
    let source = source.split(|number| [number * 10, number * 10 + 1]);
    let mut producer = source.open(&OpenContext::for_test()).await.unwrap();
    let acknowledger = producer.acknowledger();
    let mut out = Vec::new();
    while out.len() < 4 {
        producer.produce(NonZeroUsize::MIN, &mut out).await.unwrap();
    }
    acknowledger.set_progress(&out[2].token, 5);
    assert_eq!(*notes.lock().unwrap(), [None, Some(5)]);
    let read = out.iter().map(|part| acknowledger.progress(&part.token));
    let read: Vec<_> = read.collect();
    assert_eq!(read, [None, None, Some(5), Some(5)]);
}

#[test]
fn a_source_keeps_no_notes_unless_it_implements_them() {
    NoopAcknowledger.set_progress(&(), 5);
    assert_eq!(NoopAcknowledger.progress(&()), None);
    assert!(!NoopAcknowledger.keeps_progress());
}
