//! What to say when two members claim one `instance_id`.

use rdkafka::error::RDKafkaErrorCode;

use crate::{client::Client, config::Kafka, ffi};

/// What to add to a fatal error, and whether the source must not be opened again.
pub(super) fn advice(code: RDKafkaErrorCode, source: &Kafka, producer: usize) -> (String, bool) {
    let Some(id) = &source.instance_id else {
        return (String::new(), false);
    };
    let group = &source.group;
    match code {
        RDKafkaErrorCode::FencedInstanceId => {
            let goes_on = if source.reclaim_instance_id {
                "it claims the name again, as `reclaim_instance_id` says"
            } else {
                "it does not claim the name again, for then the two would take turns; set `reclaim_instance_id` if it should take the name back"
            };
            let text = format!(
                "; another member of group `{group}` has joined with `instance_id` = {id:?} (producer {producer}), and \
                 this one is out: give each process a name of its own; {goes_on}"
            );
            (text, !source.reclaim_instance_id)
        }
        RDKafkaErrorCode::UnreleasedInstanceId => {
            let text = format!(
                "; another member of group `{group}` holds `instance_id` = {id:?} (producer {producer}): give each process \
                 a name of its own, or wait until the session of one that was killed has run out"
            );
            (text, false)
        }
        _ => (String::new(), false),
    }
}

/// The same for a member that was not let in.
pub(super) fn claimed(client: &Client, source: &Kafka, producer: usize) -> Option<String> {
    let (code, _) = ffi::fatal_error(client)?;
    Some(advice(code, source, producer).0).filter(|text| !text.is_empty())
}
