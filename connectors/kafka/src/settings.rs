//! Settings that are passed through to librdkafka: which of them are rejected, and whose values are never shown.
//!
//! Some settings decide whether messages are lost. These have a fixed value or an option of their own, and setting them by name is
//! rejected with the reason. All others are passed on unchanged.

use std::{collections::BTreeMap, fmt};

use broadway_core::Problem;
use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError};

/// Settings by their librdkafka name. `Debug` masks the values of secrets.
#[derive(Clone, Default)]
pub(crate) struct ClientSettings(BTreeMap<String, String>);

impl ClientSettings {
    pub(crate) fn insert(&mut self, name: String, value: String) {
        self.0.insert(name, value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The level from which the client logs. `tracing` filters the lines, so this is the most verbose level that is useful: only the
    /// log has the reason why a broker closed a connection.
    pub(crate) fn log_level(&self) -> RDKafkaLogLevel {
        match self.get("debug") {
            Some(_) => RDKafkaLogLevel::Debug,
            None => RDKafkaLogLevel::Info,
        }
    }

    /// A problem for each setting that is reserved, that the client does not know, or whose value it does not accept.
    pub(crate) fn problems(&self, role: ClientRole) -> impl Iterator<Item = Problem> {
        let reserved = self.0.keys().filter_map(move |name| {
            role.rejection(name)
                .map(|why| Problem::new(name.as_str(), why))
        });
        let unknown = self.0.iter().filter_map(move |(name, value)| {
            let is_reserved = role.rejection(name).is_some();
            (!is_reserved).then(|| not_accepted(name, value)).flatten()
        });
        reserved.chain(unknown).chain(self.without_tokens())
    }

    /// OAUTHBEARER without OIDC has no source of tokens: the client would wait for one indefinitely.
    fn without_tokens(&self) -> Option<Problem> {
        let name = ["sasl.mechanism", "sasl.mechanisms"]
            .into_iter()
            .find(|name| self.get(name) == Some("OAUTHBEARER"))?;
        let is_unsecured = self.get("enable.sasl.oauthbearer.unsecure.jwt") == Some("true");
        let is_oidc = self.get("sasl.oauthbearer.method") == Some("oidc");
        (!is_unsecured && !is_oidc).then(|| {
            let why = "is OAUTHBEARER, which needs a source of tokens: set `sasl.oauthbearer.method` to oidc";
            Problem::new(name, why)
        })
    }
}

/// The problem with a setting that the client rejects. Each setting is tried alone, because the client names only the first one of
/// several.
fn not_accepted(name: &str, value: &str) -> Option<Problem> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    let why = match config.create_native_config().err()? {
        KafkaError::ClientConfig(_, why, ..) => why,
        other => other.to_string(),
    };
    // The reason may quote the value, except when it is about the name: an unknown setting, or a feature that this build lacks.
    let is_unknown = why.contains("No such configuration property");
    let is_about_name = is_unknown || why.contains("not supported in this build");
    // The value of an unknown setting is not shown: the name may be a misspelt `sasl.password`.
    let is_secret = is_secret(name) || is_unknown;
    let is_shown = !is_secret || is_about_name;
    let message = match (is_secret, is_shown) {
        (false, _) => format!("is {value:?}, which the Kafka client does not accept: {why}"),
        (true, true) => format!("is not accepted by the Kafka client: {why}"),
        (true, false) => "has a value that the Kafka client does not accept".to_owned(),
    };
    Some(Problem::new(name, message))
}

/// What a client is used for: the two roles reserve different settings and need different permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientRole {
    Source,
    Publisher,
}

impl ClientRole {
    /// Why a setting is rejected, and what to use instead.
    fn rejection(self, name: &str) -> Option<&'static str> {
        if name == "log.queue" {
            return Some("logs go to `tracing`, under the target broadway_kafka");
        }
        match self {
            Self::Source => reserved_by_source(name),
            Self::Publisher => reserved_by_publisher(name),
        }
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(name, value)| {
                (
                    name,
                    if is_secret(name) {
                        "***"
                    } else {
                        value.as_str()
                    },
                )
            }))
            .finish()
    }
}

/// Whether the value of this setting must never be shown.
pub(crate) fn is_secret(name: &str) -> bool {
    const MARKS: [&str; 7] = [
        "password",
        "secret",
        "token",
        "key.pem",
        "private.key",
        "jaas",
        "oauthbearer.config",
    ];
    let name = name.to_ascii_lowercase();
    MARKS.iter().any(|mark| name.contains(mark))
        || (name.starts_with("sasl.oauthbearer") && name != "sasl.oauthbearer.method")
}

fn reserved_by_source(name: &str) -> Option<&'static str> {
    Some(match name {
        "bootstrap.servers" | "metadata.broker.list" => "use Kafka::brokers",
        "group.id" => "use Kafka::group",
        "group.instance.id" => "use Kafka::instance_id, which makes one for each producer",
        "group.protocol" | "partition.assignment.strategy" => "use Kafka::protocol",
        "auto.offset.reset" | "topic.auto.offset.reset" => {
            "use Kafka::start_offset, and Kafka::on_lost for an offset that no longer exists"
        }
        "enable.auto.commit" | "auto.commit.enable" | "auto.commit.interval.ms" => {
            "the connector commits settled offsets only: use Kafka::commit_interval"
        }
        "enable.auto.offset.store" => "the connector commits settled offsets only",
        "enable.partition.eof" => "a pipeline reads partitions without an end",
        "offset.store.method" | "offset.store.path" | "offset.store.sync.interval.ms" => {
            "offsets are stored at the broker, in the group"
        }
        _ => return None,
    })
}

fn reserved_by_publisher(name: &str) -> Option<&'static str> {
    Some(match name {
        "bootstrap.servers" | "metadata.broker.list" => "use KafkaPublisherBuilder::brokers",
        "message.timeout.ms" | "delivery.timeout.ms" => {
            "use KafkaPublisherBuilder::confirm_timeout"
        }
        "linger.ms" | "queue.buffering.max.ms" => "use KafkaPublisherBuilder::linger",
        "enable.idempotence" => {
            "it is always on: without it a retry could duplicate or reorder messages"
        }
        "acks" | "request.required.acks" => {
            "it is always `all`: less would confirm messages that a broker can still lose"
        }
        "enable.gapless.guarantee" => {
            "it would break the publisher at the first message that times out"
        }
        "transactional.id" => "the publisher does not use transactions",
        "delivery.report.only.error" => "the publisher reports a confirmation for each message",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_the_rest_is_shown() {
        let mut settings = ClientSettings::default();
        for name in [
            "sasl.password",
            "ssl.key.pem",
            "ssl.key.password",
            "sasl.oauthbearer.client.secret",
        ] {
            settings.insert(name.to_owned(), "canary".to_owned());
        }
        settings.insert("sasl.username".to_owned(), "alice".to_owned());
        let shown = format!("{settings:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(
            shown.contains("alice") && shown.contains("sasl.password"),
            "{shown}"
        );
    }

    #[test]
    fn settings_that_would_break_a_guarantee_are_rejected_by_name() {
        let mut settings = ClientSettings::default();
        for name in [
            "enable.auto.commit",
            "enable.auto.offset.store",
            "auto.offset.reset",
            "client.id",
        ] {
            settings.insert(name.to_owned(), "true".to_owned());
        }
        let rejected: Vec<_> = settings
            .problems(ClientRole::Source)
            .map(|problem| problem.option().to_owned())
            .collect();
        assert_eq!(
            rejected,
            [
                "auto.offset.reset",
                "enable.auto.commit",
                "enable.auto.offset.store"
            ]
        );
    }

    #[test]
    fn a_publisher_reserves_its_own_settings_and_accepts_those_of_the_source() {
        let mut settings = ClientSettings::default();
        for (name, value) in [
            ("acks", "1"),
            ("enable.idempotence", "false"),
            ("auto.offset.reset", "earliest"),
            ("partitioner", "random"),
        ] {
            settings.insert(name.to_owned(), value.to_owned());
        }
        let rejected: Vec<_> = settings
            .problems(ClientRole::Publisher)
            .map(|problem| problem.option().to_owned())
            .collect();
        assert_eq!(rejected, ["acks", "enable.idempotence"]);
    }

    #[test]
    fn the_value_of_an_unknown_setting_is_not_shown() {
        let mut settings = ClientSettings::default();
        settings.insert("sasl.pasword".to_owned(), "canary".to_owned());
        let problems: Vec<_> = settings.problems(ClientRole::Source).collect();
        let shown = format!("{problems:?}");
        assert!(
            shown.contains("sasl.pasword") && !shown.contains("canary"),
            "{shown}"
        );
    }

    #[test]
    fn every_setting_that_the_client_rejects_is_listed_and_no_secret_is_shown() {
        let mut settings = ClientSettings::default();
        for (name, value) in [
            ("no.such.setting", "1"),
            ("fetch.min.bytes", "many"),
            ("fetch.wait.max.ms", "100"),
            ("compression.type", "shrink"),
            ("enable.auto.commit", "perhaps"),
            ("sasl.passwords", "canary"),
            ("ssl.key.pem", "canary"),
        ] {
            settings.insert(name.to_owned(), value.to_owned());
        }
        let problems: Vec<_> = settings.problems(ClientRole::Source).collect();
        let options: Vec<_> = problems.iter().map(Problem::option).collect();
        let expected = [
            "enable.auto.commit",
            "compression.type",
            "fetch.min.bytes",
            "no.such.setting",
            "sasl.passwords",
        ];
        assert_eq!(&options[..5], expected);
        let text = problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n");
        assert!(text.contains("\"many\""), "{text}");
        assert!(
            text.contains("No such configuration property: \"sasl.passwords\""),
            "{text}"
        );
        assert!(!text.contains("canary"), "{text}");
    }
}
