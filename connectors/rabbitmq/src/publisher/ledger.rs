//! What became of the messages of a call: a value that decides, and never waits.

use broadway_core::{Outgoing, PublishError};
use lapin::{Confirmation, Error, ErrorKind, message::BasicReturnMessage, protocol::AMQPErrorKind};

use super::message::Entry;
use crate::trouble::ACCESS_REFUSED;

/// The results of a call as they come in.
pub(crate) struct Ledger {
    results: Vec<Option<Result<(), PublishError>>>,
    /// What the broker sent back, and why. Whose they are is found at the end.
    returned: Vec<BasicReturnMessage>,
    /// Those whose confirmation ended with the channel.
    lost: Vec<usize>,
    /// Why the channel takes no more.
    broken: Option<Error>,
}

impl Ledger {
    pub(crate) fn new(n: usize) -> Self {
        Self {
            results: (0..n).map(|_| None).collect(),
            returned: Vec::new(),
            lost: Vec::new(),
            broken: None,
        }
    }

    pub(crate) fn refuse(&mut self, at: usize, why: String) {
        self.results[at] = Some(Err(PublishError::refused(why)));
    }

    /// The answer to this message, which may bring another one back.
    pub(crate) fn land(&mut self, at: usize, answer: lapin::Result<Confirmation>) {
        let result = match &answer {
            Ok(Confirmation::Ack(_)) => Ok(()),
            Ok(Confirmation::Nack(_)) => Err(PublishError::unconfirmed(
                "the broker could not take responsibility for it (nack): see its log",
            )),
            Ok(Confirmation::NotRequested) => Err(PublishError::unconfirmed(
                "the channel does not confirm: a defect of the connector",
            )),
            Err(error) => {
                self.broken.get_or_insert_with(|| error.clone());
                self.lost.push(at);
                return;
            }
        };
        self.results[at] = Some(result);
        let returned = answer.ok().and_then(Confirmation::take_message);
        self.returned.extend(returned);
    }

    pub(crate) fn is_landed(&self, at: usize) -> bool {
        self.results[at].is_some()
    }

    /// Whether nothing more can be sent on the channel.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// What was sent (the first `sent`) and has no answer fails with `why`, or with what broke the channel; what was not sent
    /// says so.
    pub(crate) fn results(
        mut self,
        messages: &[Outgoing],
        entry: impl Fn(&Outgoing) -> Option<Entry>,
        sent: usize,
        why: Option<&str>,
    ) -> Vec<Result<(), PublishError>> {
        self.refuse_returned(messages, entry);
        let broken = self.broken.as_ref().map(explain);
        let why = why.or(broken.as_deref()).unwrap_or("there was no answer");
        // One message alone on a channel that the broker closes is what the broker objects to.
        let is_culprit = self.lost.len() == 1 && self.broken.as_ref().is_some_and(is_objection);
        let results = self.results.into_iter().enumerate();
        results
            .map(|(at, result)| match result {
                Some(result) => result,
                None if at >= sent => {
                    Err(PublishError::unconfirmed(format!("it was not sent: {why}")))
                }
                None if is_culprit => Err(PublishError::refused(why.to_owned())),
                None => Err(PublishError::unconfirmed(why.to_owned())),
            })
            .collect()
    }

    /// Finds whose they are: of messages that are alike, in the order sent. Which of them is meant makes no difference.
    fn refuse_returned(
        &mut self,
        messages: &[Outgoing],
        entry: impl Fn(&Outgoing) -> Option<Entry>,
    ) {
        for BasicReturnMessage {
            delivery,
            reply_text,
            ..
        } in std::mem::take(&mut self.returned)
        {
            let why = format!(
                "the broker returned it: {reply_text} (exchange `{}`, routing key `{}`); bind a queue for it, or open the publisher with mandatory(false)",
                delivery.exchange, delivery.routing_key
            );
            let found = (0..messages.len()).find(|at| {
                matches!(self.results[*at], Some(Ok(())))
                    && messages[*at].payload().map_or(&[][..], |payload| payload)
                        == &delivery.data[..]
                    && entry(&messages[*at]).is_some_and(|entry| {
                        entry.routing_key == delivery.routing_key
                            && entry.properties == delivery.properties
                    })
            });
            if let Some(at) = found {
                self.refuse(at, why);
                continue;
            }
            // It was changed on its way, so that any may be the one.
            for result in self.results.iter_mut().flatten() {
                if result.is_ok() {
                    *result = Err(PublishError::unconfirmed(format!("one of its call: {why}")));
                }
            }
        }
    }
}

/// Whether the broker closed the channel over something that was asked of it.
fn is_objection(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(said) if matches!(said.kind(), AMQPErrorKind::Soft(_)))
}

/// Why a channel or its connection ended, in words.
pub(crate) fn explain(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(said) if said.get_id() == ACCESS_REFUSED => format!(
            "the broker closed the channel: {}; grant the user the permission `write` for the exchange",
            said.get_message()
        ),
        ErrorKind::ProtocolError(said) if is_objection(error) => {
            format!("the broker closed the channel: {}", said.get_message())
        }
        ErrorKind::ProtocolError(said) => {
            format!("the broker closed the connection: {}", said.get_message())
        }
        _ => format!("the connection was lost: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::PublishErrorKind;
    use lapin::{
        message::Delivery,
        protocol::{AMQPError, AMQPHardError, AMQPSoftError},
    };

    use super::*;
    use crate::publisher::message::Rules;

    fn entry(message: &Outgoing) -> Option<Entry> {
        let rules = Rules {
            routing_key: "q".to_owned(),
            persistent: true,
            bytes_max: 100,
        };
        rules.entry(message, 4_096).ok()
    }

    fn messages(n: usize) -> Vec<Outgoing> {
        (0..n).map(|n| Outgoing::new(n.to_string())).collect()
    }

    /// As the broker sends it back.
    fn back(message: &Outgoing) -> BasicReturnMessage {
        let Entry {
            routing_key,
            properties,
        } = entry(message).unwrap();
        let payload = message.payload().unwrap().to_vec();
        let mut delivery = Delivery::mock(0, "x".into(), routing_key, false, payload);
        delivery.properties = properties;
        BasicReturnMessage {
            delivery,
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
        }
    }

    fn kinds(results: &[Result<(), PublishError>]) -> Vec<Option<PublishErrorKind>> {
        let kind =
            |result: &Result<(), PublishError>| result.as_ref().err().map(PublishError::kind);
        results.iter().map(kind).collect()
    }

    #[test]
    fn a_returned_message_is_refused_whoever_was_told() {
        let messages = messages(3);
        let mut ledger = Ledger::new(3);
        ledger.land(0, Ok(Confirmation::Ack(Some(back(&messages[2])))));
        ledger.land(2, Ok(Confirmation::Ack(None)));
        ledger.land(1, Ok(Confirmation::Ack(None)));
        let results = ledger.results(&messages, entry, 3, None);
        assert_eq!(
            kinds(&results),
            [None, None, Some(PublishErrorKind::Refused)]
        );
        let said = results[2].as_ref().unwrap_err().to_string();
        assert!(said.contains("NO_ROUTE"), "{said}");
    }

    #[test]
    fn of_two_alike_each_return_refuses_one() {
        let messages = vec![
            Outgoing::new("a"),
            Outgoing::new("a").header("h", "1"),
            Outgoing::new("a"),
        ];
        let mut ledger = Ledger::new(3);
        ledger.land(0, Ok(Confirmation::Ack(Some(back(&messages[1])))));
        ledger.land(1, Ok(Confirmation::Ack(Some(back(&messages[0])))));
        ledger.land(2, Ok(Confirmation::Ack(None)));
        let results = ledger.results(&messages, entry, 3, None);
        let refused = Some(PublishErrorKind::Refused);
        assert_eq!(kinds(&results), [refused, refused, None]);
    }

    #[test]
    fn a_return_that_nobody_knows_leaves_none_confirmed() {
        let messages = messages(2);
        let mut ledger = Ledger::new(2);
        ledger.land(
            0,
            Ok(Confirmation::Ack(Some(back(&Outgoing::new("other"))))),
        );
        ledger.land(1, Ok(Confirmation::Ack(None)));
        let results = ledger.results(&messages, entry, 2, None);
        assert_eq!(kinds(&results), [Some(PublishErrorKind::Unconfirmed); 2]);
    }

    #[test]
    fn a_lost_connection_leaves_what_was_confirmed() {
        let messages = messages(3);
        let mut ledger = Ledger::new(3);
        let said = AMQPError::new(AMQPHardError::CONNECTIONFORCED.into(), "go away".into());
        ledger.land(1, Ok(Confirmation::Ack(None)));
        ledger.land(0, Err(ErrorKind::ProtocolError(said).into()));
        assert!(ledger.is_broken());
        let results = ledger.results(&messages, entry, 2, None);
        let unconfirmed = Some(PublishErrorKind::Unconfirmed);
        assert_eq!(kinds(&results), [unconfirmed, None, unconfirmed]);
        assert!(
            results[0]
                .as_ref()
                .unwrap_err()
                .to_string()
                .contains("go away")
        );
        assert!(
            results[2]
                .as_ref()
                .unwrap_err()
                .to_string()
                .contains("not sent")
        );
    }

    #[test]
    fn what_the_broker_objects_to_is_refused_when_it_is_alone() {
        let said = AMQPError::new(AMQPSoftError::PRECONDITIONFAILED.into(), "too large".into());
        let objection: Error = ErrorKind::ProtocolError(said).into();
        for (n, kind) in [
            (1, PublishErrorKind::Refused),
            (2, PublishErrorKind::Unconfirmed),
        ] {
            let messages = messages(n);
            let mut ledger = Ledger::new(n);
            (0..n).for_each(|at| ledger.land(at, Err(objection.clone())));
            let results = ledger.results(&messages, entry, n, None);
            assert_eq!(kinds(&results), vec![Some(kind); n]);
        }
    }
}
