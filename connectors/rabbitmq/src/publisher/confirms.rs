//! What became of the messages of a call: a value that decides, and never waits. A call has one round on a channel, and further ones
//! when the broker has closed that channel over one of the messages.

use std::collections::BTreeMap;

use broadway_core::{Outgoing, PublishError};
use lapin::{
    BasicProperties, Confirmation, Error, ErrorKind, message::BasicReturnMessage,
    protocol::AMQPErrorKind,
};

use super::convert::AmqpMessage;
use crate::error::ACCESS_REFUSED;

/// The results of a call as they come in.
pub(crate) struct Confirms {
    results: Vec<Option<Result<(), PublishError>>>,
    /// What the broker sent back, and why. Whose they are is found at the end.
    returned: Vec<BasicReturnMessage>,
    /// Those whose confirmation ended with the channel.
    lost: Vec<usize>,
    /// Why the channel takes no more.
    broken: Option<Error>,
}

/// How a channel ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChannelEnd {
    /// It lives, and each message on it has an answer.
    Whole,
    /// The broker closed it over a message: one of these, in the order sent, which have no answer. None where it is known which one.
    Objected(Vec<usize>),
    /// It was lost with its connection, and why.
    Lost(String),
}

impl Confirms {
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

    /// The channel is used no more: nothing is on its way.
    pub(crate) fn end_round(
        &mut self,
        messages: &[Outgoing],
        entry: impl Fn(&Outgoing) -> Option<AmqpMessage>,
    ) -> ChannelEnd {
        self.refuse_returned(messages, entry);
        let mut lost = std::mem::take(&mut self.lost);
        lost.sort_unstable();
        match self.broken.take() {
            None => ChannelEnd::Whole,
            Some(error) if !is_objection(&error) => ChannelEnd::Lost(explain(&error)),
            Some(error) => {
                if let [culprit] = lost[..] {
                    self.refuse(culprit, explain(&error));
                    lost.clear();
                }
                ChannelEnd::Objected(lost)
            }
        }
    }

    /// What has no answer is unconfirmed, because of `why`; what was never sent, from `unsent` on, says so.
    pub(crate) fn results(self, unsent: usize, why: Option<&str>) -> Vec<Result<(), PublishError>> {
        let why = why.unwrap_or("there was no answer");
        let results = self.results.into_iter().enumerate();
        results
            .map(|(at, result)| match result {
                Some(result) => result,
                None if at >= unsent => {
                    Err(PublishError::unconfirmed(format!("it was not sent: {why}")))
                }
                None => Err(PublishError::unconfirmed(why.to_owned())),
            })
            .collect()
    }

    /// Finds whose they are: of messages that are alike, in the order sent. Which of them is meant makes no difference.
    fn refuse_returned(
        &mut self,
        messages: &[Outgoing],
        entry: impl Fn(&Outgoing) -> Option<AmqpMessage>,
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
            let is_it = |at: &usize| {
                messages[*at].payload().map_or(&[][..], |payload| payload) == &delivery.data[..]
                    && entry(&messages[*at]).is_some_and(|entry| {
                        entry.routing_key == delivery.routing_key
                            && are_alike(&entry.properties, &delivery.properties)
                    })
            };
            let confirmed = |at: &usize| matches!(self.results[*at], Some(Ok(())));
            let found = (0..messages.len()).find(|at| confirmed(at) && is_it(at));
            if let Some(at) = found {
                self.refuse(at, why);
                continue;
            }
            // It came back before its answer, which was lost with the channel.
            if self.lost.iter().any(is_it) {
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

/// Whether the broker would have made these of those: it takes `BCC` away.
fn are_alike(sent: &BasicProperties, back: &BasicProperties) -> bool {
    if sent == back {
        return true;
    }
    let mut sent = sent.clone();
    if let Some(headers) = sent.headers() {
        let others = headers
            .inner()
            .iter()
            .filter(|(name, _)| name.as_str() != "BCC");
        let others: BTreeMap<_, _> = others
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        sent = sent.with_headers(others.into());
    }
    // Written out, a number that is none is like another.
    format!("{sent:?}") == format!("{back:?}")
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
    use crate::publisher::convert::Converter;

    fn entry(message: &Outgoing) -> Option<AmqpMessage> {
        let converter = Converter {
            routing_key: "q".to_owned(),
            persistent: true,
            bytes_max: 100,
        };
        converter.entry(message, 4_096).ok()
    }

    fn messages(n: usize) -> Vec<Outgoing> {
        (0..n).map(|n| Outgoing::new(n.to_string())).collect()
    }

    /// As the broker sends it back.
    fn back(message: &Outgoing) -> BasicReturnMessage {
        let AmqpMessage {
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

    /// The round's end, and what the results are if nothing more comes.
    fn ended(
        mut confirms: Confirms,
        messages: &[Outgoing],
    ) -> (ChannelEnd, Vec<Result<(), PublishError>>) {
        let round = confirms.end_round(messages, entry);
        (round, confirms.results(messages.len(), None))
    }

    fn objection() -> Error {
        let said = AMQPError::new(AMQPSoftError::PRECONDITIONFAILED.into(), "too large".into());
        ErrorKind::ProtocolError(said).into()
    }

    #[test]
    fn a_returned_message_is_refused_whoever_was_told() {
        let messages = messages(3);
        let mut confirms = Confirms::new(3);
        confirms.land(0, Ok(Confirmation::Ack(Some(back(&messages[2])))));
        confirms.land(2, Ok(Confirmation::Ack(None)));
        confirms.land(1, Ok(Confirmation::Ack(None)));
        let (round, results) = ended(confirms, &messages);
        assert_eq!(round, ChannelEnd::Whole);
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
        let mut confirms = Confirms::new(3);
        confirms.land(0, Ok(Confirmation::Ack(Some(back(&messages[1])))));
        confirms.land(1, Ok(Confirmation::Ack(Some(back(&messages[0])))));
        confirms.land(2, Ok(Confirmation::Ack(None)));
        let (_, results) = ended(confirms, &messages);
        let refused = Some(PublishErrorKind::Refused);
        assert_eq!(kinds(&results), [refused, refused, None]);
    }

    #[test]
    fn a_return_that_nobody_knows_leaves_none_confirmed() {
        let messages = messages(2);
        let mut confirms = Confirms::new(2);
        confirms.land(
            0,
            Ok(Confirmation::Ack(Some(back(&Outgoing::new("other"))))),
        );
        confirms.land(1, Ok(Confirmation::Ack(None)));
        let (_, results) = ended(confirms, &messages);
        assert_eq!(kinds(&results), [Some(PublishErrorKind::Unconfirmed); 2]);
    }

    #[test]
    fn a_return_whose_answer_was_lost_with_the_channel_leaves_the_others_confirmed() {
        let messages = messages(3);
        let mut confirms = Confirms::new(3);
        confirms.land(0, Ok(Confirmation::Ack(Some(back(&messages[1])))));
        confirms.land(2, Err(objection()));
        confirms.land(1, Err(objection()));
        let (round, results) = ended(confirms, &messages);
        assert_eq!(round, ChannelEnd::Objected(vec![1, 2]));
        assert_eq!(kinds(&results)[0], None);
    }

    #[test]
    fn a_lost_connection_leaves_what_was_confirmed() {
        let messages = messages(3);
        let mut confirms = Confirms::new(3);
        let said = AMQPError::new(AMQPHardError::CONNECTIONFORCED.into(), "go away".into());
        confirms.land(1, Ok(Confirmation::Ack(None)));
        confirms.land(0, Err(ErrorKind::ProtocolError(said).into()));
        assert!(confirms.is_broken());
        let ChannelEnd::Lost(why) = confirms.end_round(&messages, entry) else {
            panic!("it is lost");
        };
        assert!(why.contains("go away"), "{why}");
        let results = confirms.results(2, Some(&why));
        let unconfirmed = Some(PublishErrorKind::Unconfirmed);
        assert_eq!(kinds(&results), [unconfirmed, None, unconfirmed]);
        let said = |at: usize| results[at].as_ref().unwrap_err().to_string();
        assert!(said(0).contains("go away") && !said(0).contains("not sent"));
        assert!(said(2).contains("not sent"));
    }

    #[test]
    fn what_the_broker_objects_to_is_refused_when_it_is_alone_and_searched_for_otherwise() {
        let refused = Some(PublishErrorKind::Refused);
        let messages = messages(2);
        let mut confirms = Confirms::new(2);
        confirms.land(1, Err(objection()));
        confirms.land(0, Err(objection()));
        assert_eq!(
            confirms.end_round(&messages, entry),
            ChannelEnd::Objected(vec![0, 1])
        );
        // Alone, on the next channel.
        confirms.land(0, Ok(Confirmation::Ack(None)));
        assert_eq!(confirms.end_round(&messages, entry), ChannelEnd::Whole);
        confirms.land(1, Err(objection()));
        let (round, results) = ended(confirms, &messages);
        assert_eq!(round, ChannelEnd::Objected(Vec::new()));
        assert_eq!(kinds(&results), [None, refused]);
    }
}
