//! The box of dead letters: reads them all, and looks whether each carries what its message did.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use broadway::{Message, Pipeline, Record, Topology, handler_fn};

use crate::{
    broker::{Broker, ItemOf},
    checker::Letter,
    plan::{ID, Plan},
};

pub(crate) struct DeadBox<B: Broker> {
    topology: Topology<ItemOf<B>>,
    letters: Arc<Mutex<Vec<Letter>>>,
}

impl<B: Broker> DeadBox<B> {
    pub(crate) async fn open(broker: &B, place: &str, plan: Plan) -> Self {
        let letters: Arc<Mutex<Vec<Letter>>> = Arc::default();
        let all = Arc::clone(&letters);
        let handler = handler_fn(move |message: &mut Message<ItemOf<B>>| {
            all.lock().unwrap().push(letter(message.data(), plan)?);
            Ok(())
        });
        let source = broker.source(place, None);
        let topology = Pipeline::new(source, handler).start().await.unwrap();
        Self { topology, letters }
    }

    pub(crate) fn len(&self) -> usize {
        self.letters.lock().unwrap().len()
    }

    /// How many messages there is a letter of.
    pub(crate) fn distinct(&self) -> u64 {
        let letters = self.letters.lock().unwrap();
        let ids: BTreeSet<_> = letters.iter().map(|letter| letter.id).collect();
        ids.len() as u64
    }

    pub(crate) async fn close(self) -> Vec<Letter> {
        self.topology.drain().await.unwrap();
        std::mem::take(&mut *self.letters.lock().unwrap())
    }
}

fn letter<R: Record>(record: &R, plan: Plan) -> Result<Letter, broadway::BoxError> {
    let text = |name| {
        let value = record.header(name).ok_or(format!("no header `{name}`"))?;
        Ok::<_, broadway::BoxError>(std::str::from_utf8(value)?.to_owned())
    };
    let id: u64 = text(ID)?.parse()?;
    let sent = plan.message(id);
    let has = |name: &str, value: &[u8]| record.header(name) == Some(value);
    let headers = sent.headers();
    Ok(Letter {
        id,
        origin: text("broadway-origin")?,
        is_intact: record.payload() == &sent.payload()[..]
            && headers.iter().all(|(name, value)| has(name, value)),
    })
}
