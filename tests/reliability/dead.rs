//! The queue of dead letters: reads all of them, and checks whether each carries everything that its message did.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use broadway::{
    BoxError, Message, Pipeline, Record, Topology, handler_fn,
    publisher::{Header, HeaderName},
};

use crate::{
    broker::{Broker, ItemOf},
    checker::Letter,
    plan::{Plan, id_of},
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

    /// Returns for how many messages there is a dead letter.
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

fn letter<R: Record>(record: &R, plan: Plan) -> Result<Letter, BoxError> {
    let id = id_of(record)?;
    let origin = record.header("broadway-origin").ok_or("no origin")?;
    let sent = plan.message(id);
    let mut came = Vec::new();
    record.for_each_header(&mut |header| came.push(header));
    let values = |headers: &[Header], name: &HeaderName| {
        let same = headers.iter().filter(|header| header.name == *name);
        same.map(|header| header.value.clone()).collect::<Vec<_>>()
    };
    let headers = sent.headers();
    let mut names = headers.iter().map(|header| &header.name);
    let payload = (!record.is_tombstone()).then(|| record.payload());
    Ok(Letter {
        id,
        origin: std::str::from_utf8(origin)?.to_owned(),
        is_intact: payload == sent.payload().map(|payload| &payload[..])
            && record.key() == sent.message_key().map(|key| &key[..])
            && names.all(|name| values(&came, name) == values(headers, name)),
    })
}
