//! The answers to the messages of a call. This type decides and never waits.
//!
//! A call uses one channel, and further ones after the broker has closed a channel over one of its messages.

use std::collections::BTreeMap;

use broadway_core::{Outgoing, PublishError};
use lapin::{BasicProperties, Confirmation, Error, message::BasicReturnMessage};

use super::{
    convert::AmqpMessage,
    error::{explain, is_channel_error, is_late_frame, is_not_sent},
};

/// The answers that have arrived.
pub(crate) struct Confirms {
    results: Vec<Option<Result<(), PublishError>>>,
    /// Messages that the broker returned. Which of the call's they are is found when the channel ends.
    returned: Vec<BasicReturnMessage>,
    /// Messages whose confirmation ended with the channel.
    unanswered: Vec<usize>,
    /// Why the channel accepts no more messages.
    channel_error: Option<Error>,
}

/// How the use of a channel ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChannelEnd {
    /// The channel is open, and each message that was sent on it has an answer.
    Intact,
    /// The broker closed the channel over one of these messages, which have no answer, in the order sent. Empty if it is known which one:
    /// that one is refused.
    ClosedOverMessage(Vec<usize>),
    /// The broker closed the connection over frames on a channel that it had closed over a message. It is not known whether one of these
    /// messages, which have no answer, is to blame.
    LateFrames(Vec<usize>),
    /// The channel was closed before the client sent these messages.
    NotSent(Vec<usize>),
    /// The channel was lost with its connection, for this reason.
    ConnectionLost(String),
}

impl Confirms {
    pub(crate) fn new(n: usize) -> Self {
        Self {
            results: (0..n).map(|_| None).collect(),
            returned: Vec::new(),
            unanswered: Vec::new(),
            channel_error: None,
        }
    }

    pub(crate) fn refuse(&mut self, at: usize, reason: String) {
        self.results[at] = Some(Err(PublishError::refused(reason)));
    }

    /// Records the answer to this message, which may hand over a returned message, of this or another index.
    pub(crate) fn record(&mut self, at: usize, answer: lapin::Result<Confirmation>) {
        let result = match &answer {
            Ok(Confirmation::Ack(_)) => Ok(()),
            Ok(Confirmation::Nack(_)) => Err(PublishError::unconfirmed(
                "the broker could not take responsibility for it (nack): see its log",
            )),
            Ok(Confirmation::NotRequested) => Err(PublishError::unconfirmed(
                "the channel does not confirm messages, which is a bug in the connector: report it",
            )),
            Err(error) => {
                // The error of a message that was not sent may come first, and does not have the cause.
                if self.channel_error.as_ref().is_none_or(is_not_sent) {
                    self.channel_error = Some(error.clone());
                }
                self.unanswered.push(at);
                return;
            }
        };
        self.results[at] = Some(result);
        let returned = answer.ok().and_then(Confirmation::take_message);
        self.returned.extend(returned);
    }

    pub(crate) fn is_answered(&self, at: usize) -> bool {
        self.results[at].is_some()
    }

    /// Whether nothing more can be sent on the channel.
    pub(crate) fn is_channel_closed(&self) -> bool {
        self.channel_error.is_some()
    }

    /// Evaluates the answers on a channel. No other answer may still arrive on it.
    pub(crate) fn end_channel(
        &mut self,
        messages: &[Outgoing],
        convert: impl Fn(&Outgoing) -> Option<AmqpMessage>,
    ) -> ChannelEnd {
        self.refuse_returned(messages, convert);
        let mut unanswered = std::mem::take(&mut self.unanswered);
        unanswered.sort_unstable();
        match self.channel_error.take() {
            None => ChannelEnd::Intact,
            Some(error) if is_late_frame(&error) => ChannelEnd::LateFrames(unanswered),
            Some(error) if is_not_sent(&error) => ChannelEnd::NotSent(unanswered),
            Some(error) if !is_channel_error(&error) => ChannelEnd::ConnectionLost(explain(&error)),
            Some(error) => {
                if let [culprit] = unanswered[..] {
                    self.refuse(culprit, explain(&error));
                    unanswered.clear();
                }
                ChannelEnd::ClosedOverMessage(unanswered)
            }
        }
    }

    /// The results of the call. Messages without an answer are unconfirmed, for `reason`; those from `unsent` on were never sent.
    pub(crate) fn into_results(
        self,
        unsent: usize,
        reason: Option<&str>,
    ) -> Vec<Result<(), PublishError>> {
        let reason = reason.unwrap_or("the broker did not answer");
        let results = self.results.into_iter().enumerate();
        results
            .map(|(at, result)| match result {
                Some(result) => result,
                None if at >= unsent => Err(PublishError::unconfirmed(format!(
                    "it was not sent: {reason}"
                ))),
                None => Err(PublishError::unconfirmed(reason.to_owned())),
            })
            .collect()
    }

    /// Refuses the messages that the broker returned.
    ///
    /// A returned message has no number, so it is compared with the messages of the call. Of equal messages the first one is refused:
    /// which of them is meant makes no difference.
    fn refuse_returned(
        &mut self,
        messages: &[Outgoing],
        convert: impl Fn(&Outgoing) -> Option<AmqpMessage>,
    ) {
        for BasicReturnMessage {
            delivery,
            reply_text,
            ..
        } in std::mem::take(&mut self.returned)
        {
            let reason = format!(
                "the broker returned it: {reply_text} (exchange `{}`, routing key `{}`); bind a queue for it, or open the publisher with mandatory(false)",
                delivery.exchange, delivery.routing_key
            );
            let is_returned = |at: &usize| {
                messages[*at].payload().map_or(&[][..], |payload| payload) == &delivery.data[..]
                    && convert(&messages[*at]).is_some_and(|sent| {
                        sent.routing_key == delivery.routing_key
                            && are_equal(&sent.properties, &delivery.properties)
                    })
            };
            let is_confirmed = |at: &usize| matches!(self.results[*at], Some(Ok(())));
            let found = (0..messages.len()).find(|at| is_confirmed(at) && is_returned(at));
            if let Some(at) = found {
                self.refuse(at, reason);
                continue;
            }
            // It was returned before it was confirmed, and the confirmation was lost with the channel.
            if self.unanswered.iter().any(is_returned) {
                continue;
            }
            // The broker changed it, so it can be any message of the call. None may count as confirmed then.
            for result in self.results.iter_mut().flatten() {
                if result.is_ok() {
                    let text = format!("one message of its call failed: {reason}");
                    *result = Err(PublishError::unconfirmed(text));
                }
            }
        }
    }
}

/// Whether the broker returns `sent` as `returned`: it removes the header `BCC`.
fn are_equal(sent: &BasicProperties, returned: &BasicProperties) -> bool {
    if sent == returned {
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
    // Compared as text, because a NaN is not equal to itself.
    format!("{sent:?}") == format!("{returned:?}")
}

#[cfg(test)]
mod tests {
    use broadway_core::PublishErrorKind;
    use lapin::{
        ChannelState, ErrorKind,
        message::Delivery,
        protocol::{AMQPError, AMQPHardError, AMQPSoftError},
    };

    use super::*;
    use crate::publisher::convert::Converter;

    fn converted(message: &Outgoing) -> Option<AmqpMessage> {
        let converter = Converter {
            routing_key: "q".to_owned(),
            persistent: true,
            bytes_max: 100,
        };
        converter.convert(message, 4_096).ok()
    }

    fn messages(n: usize) -> Vec<Outgoing> {
        (0..n).map(|n| Outgoing::new(n.to_string())).collect()
    }

    /// As the broker returns it.
    fn returned(message: &Outgoing) -> BasicReturnMessage {
        let AmqpMessage {
            routing_key,
            properties,
        } = converted(message).unwrap();
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

    /// The end of the channel, and the results if nothing more is answered.
    fn ended(
        mut confirms: Confirms,
        messages: &[Outgoing],
    ) -> (ChannelEnd, Vec<Result<(), PublishError>>) {
        let channel_end = confirms.end_channel(messages, converted);
        (channel_end, confirms.into_results(messages.len(), None))
    }

    fn channel_error() -> Error {
        let reply = AMQPError::new(AMQPSoftError::PRECONDITIONFAILED.into(), "too large".into());
        ErrorKind::ProtocolError(reply).into()
    }

    #[test]
    fn a_returned_message_is_refused_whichever_confirmation_hands_it_over() {
        let messages = messages(3);
        let mut confirms = Confirms::new(3);
        confirms.record(0, Ok(Confirmation::Ack(Some(returned(&messages[2])))));
        confirms.record(2, Ok(Confirmation::Ack(None)));
        confirms.record(1, Ok(Confirmation::Ack(None)));
        let (channel_end, results) = ended(confirms, &messages);
        assert_eq!(channel_end, ChannelEnd::Intact);
        assert_eq!(
            kinds(&results),
            [None, None, Some(PublishErrorKind::Refused)]
        );
        let reply = results[2].as_ref().unwrap_err().to_string();
        assert!(reply.contains("NO_ROUTE"), "{reply}");
    }

    #[test]
    fn of_equal_messages_each_return_refuses_one() {
        let messages = vec![
            Outgoing::new("a"),
            Outgoing::new("a").header("h", "1"),
            Outgoing::new("a"),
        ];
        let mut confirms = Confirms::new(3);
        confirms.record(0, Ok(Confirmation::Ack(Some(returned(&messages[1])))));
        confirms.record(1, Ok(Confirmation::Ack(Some(returned(&messages[0])))));
        confirms.record(2, Ok(Confirmation::Ack(None)));
        let (_, results) = ended(confirms, &messages);
        let refused = Some(PublishErrorKind::Refused);
        assert_eq!(kinds(&results), [refused, refused, None]);
    }

    #[test]
    fn an_unknown_returned_message_leaves_none_confirmed() {
        let messages = messages(2);
        let mut confirms = Confirms::new(2);
        confirms.record(
            0,
            Ok(Confirmation::Ack(Some(returned(&Outgoing::new("other"))))),
        );
        confirms.record(1, Ok(Confirmation::Ack(None)));
        let (_, results) = ended(confirms, &messages);
        assert_eq!(kinds(&results), [Some(PublishErrorKind::Unconfirmed); 2]);
    }

    #[test]
    fn a_returned_message_without_an_answer_leaves_the_others_confirmed() {
        let messages = messages(3);
        let mut confirms = Confirms::new(3);
        confirms.record(0, Ok(Confirmation::Ack(Some(returned(&messages[1])))));
        confirms.record(2, Err(channel_error()));
        confirms.record(1, Err(channel_error()));
        let (channel_end, results) = ended(confirms, &messages);
        assert_eq!(channel_end, ChannelEnd::ClosedOverMessage(vec![1, 2]));
        assert_eq!(kinds(&results)[0], None);
    }

    #[test]
    fn a_lost_connection_leaves_confirmed_messages_confirmed() {
        let messages = messages(3);
        let mut confirms = Confirms::new(3);
        let reply = AMQPError::new(AMQPHardError::CONNECTIONFORCED.into(), "go away".into());
        confirms.record(1, Ok(Confirmation::Ack(None)));
        confirms.record(0, Err(ErrorKind::ProtocolError(reply).into()));
        assert!(confirms.is_channel_closed());
        let ChannelEnd::ConnectionLost(reason) = confirms.end_channel(&messages, converted) else {
            panic!("the connection is lost");
        };
        assert!(reason.contains("go away"), "{reason}");
        let results = confirms.into_results(2, Some(&reason));
        let unconfirmed = Some(PublishErrorKind::Unconfirmed);
        assert_eq!(kinds(&results), [unconfirmed, None, unconfirmed]);
        let text = |at: usize| results[at].as_ref().unwrap_err().to_string();
        assert!(text(0).contains("go away") && !text(0).contains("not sent"));
        assert!(text(2).contains("not sent"));
    }

    #[test]
    fn a_connection_that_is_closed_over_late_frames_refuses_no_message() {
        let messages = messages(2);
        let reply = AMQPError::new(AMQPHardError::CHANNELERROR.into(), "expected open".into());
        let late_frame = Error::from(ErrorKind::ProtocolError(reply));
        let mut confirms = Confirms::new(2);
        confirms.record(0, Ok(Confirmation::Ack(None)));
        confirms.record(1, Err(late_frame));
        let (channel_end, results) = ended(confirms, &messages);
        assert_eq!(channel_end, ChannelEnd::LateFrames(vec![1]));
        assert_eq!(kinds(&results), [None, Some(PublishErrorKind::Unconfirmed)]);
    }

    #[test]
    fn a_message_that_the_client_did_not_send_does_not_hide_why_the_channel_was_closed() {
        let messages = messages(3);
        let not_sent = || {
            Error::from(ErrorKind::InvalidChannelState(
                ChannelState::Closing,
                "basic.publish",
            ))
        };
        let mut confirms = Confirms::new(3);
        confirms.record(2, Err(not_sent()));
        confirms.record(1, Err(channel_error()));
        confirms.record(0, Err(channel_error()));
        assert_eq!(
            confirms.end_channel(&messages, converted),
            ChannelEnd::ClosedOverMessage(vec![0, 1, 2])
        );
        // Without another error, it is sent again.
        confirms.record(2, Err(not_sent()));
        assert_eq!(
            confirms.end_channel(&messages, converted),
            ChannelEnd::NotSent(vec![2])
        );
    }

    #[test]
    fn a_message_that_closes_its_channel_is_refused_if_alone_and_searched_for_otherwise() {
        let refused = Some(PublishErrorKind::Refused);
        let messages = messages(2);
        let mut confirms = Confirms::new(2);
        confirms.record(1, Err(channel_error()));
        confirms.record(0, Err(channel_error()));
        assert_eq!(
            confirms.end_channel(&messages, converted),
            ChannelEnd::ClosedOverMessage(vec![0, 1])
        );
        // Alone, on the next channel.
        confirms.record(0, Ok(Confirmation::Ack(None)));
        assert_eq!(
            confirms.end_channel(&messages, converted),
            ChannelEnd::Intact
        );
        confirms.record(1, Err(channel_error()));
        let (channel_end, results) = ended(confirms, &messages);
        assert_eq!(channel_end, ChannelEnd::ClosedOverMessage(Vec::new()));
        assert_eq!(kinds(&results), [None, refused]);
    }
}
