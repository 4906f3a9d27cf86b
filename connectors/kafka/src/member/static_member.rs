//! Explains errors of static members: two members claim one `instance_id`.

use rdkafka::error::RDKafkaErrorCode;

use crate::{client::MemberClient, config::Kafka, ffi};

/// The end of the error text for a fatal error, and whether the source must not be opened again.
///
/// A fenced member does not join again by default. It would fence the other member in turn, and the two would repeat each other's work for
/// as long as both live.
pub(super) fn claim_help(
    code: RDKafkaErrorCode,
    source: &Kafka,
    producer: usize,
) -> (String, bool) {
    let Some(id) = &source.instance_id else {
        return (String::new(), false);
    };
    let group = &source.group;
    match code {
        RDKafkaErrorCode::FencedInstanceId => {
            let next = if source.reclaim_instance_id {
                "this one claims the ID again, because `reclaim_instance_id` is set"
            } else {
                "this one does not claim the ID again, because the two would take turns; set `reclaim_instance_id` if it should take the ID back"
            };
            let text = format!(
                "; another member of group `{group}` has joined with `instance_id` = {id:?} (producer {producer}) and \
                 has fenced this one: give each process an ID of its own; {next}"
            );
            (text, !source.reclaim_instance_id)
        }
        RDKafkaErrorCode::UnreleasedInstanceId => {
            let text = format!(
                "; another member of group `{group}` holds `instance_id` = {id:?} (producer {producer}): give each process \
                 an ID of its own, or wait until the session of a killed process has expired"
            );
            (text, false)
        }
        _ => (String::new(), false),
    }
}

/// The help for a member that could not join, if its client has failed permanently.
pub(super) fn claim_help_of(
    client: &MemberClient,
    source: &Kafka,
    producer: usize,
) -> Option<String> {
    let (code, _) = ffi::fatal_error(client)?;
    Some(claim_help(code, source, producer).0).filter(|text| !text.is_empty())
}
