//! Settings passed through to librdkafka: which of them are ours alone, and which must not be shown.
//!
//! Some settings decide whether messages are lost; those have an option of their own or a fixed value, and setting them
//! by name is refused with the reason. Everything else is passed on as it is.

use std::{collections::BTreeMap, fmt};

use broadway_core::Problem;
use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError};

/// Settings by name, in the words of librdkafka. `Debug` masks what is secret.
#[derive(Clone, Default)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
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

    /// Which lines of its log the client gives us. `tracing` chooses among them, so this is all that the client would write by
    /// itself: it says nowhere else why a broker hung up.
    pub(crate) fn log_level(&self) -> RDKafkaLogLevel {
        match self.get("debug") {
            Some(_) => RDKafkaLogLevel::Debug,
            None => RDKafkaLogLevel::Info,
        }
    }

    /// A problem for each setting that is not the user's to set, that the client does not know, or whose value it does not take.
    pub(crate) fn problems(&self, side: Side) -> impl Iterator<Item = Problem> {
        let refused = self.0.keys().filter_map(move |name| {
            side.refusal(name)
                .map(|why| Problem::new(name.as_str(), why))
        });
        let unknown = self.0.iter().filter_map(move |(name, value)| {
            let is_ours = side.refusal(name).is_some();
            (!is_ours).then(|| not_taken(name, value)).flatten()
        });
        refused.chain(unknown).chain(self.without_tokens())
    }

    /// Without OIDC there is nobody to fetch tokens, and the client would wait for one for ever.
    fn without_tokens(&self) -> Option<Problem> {
        let name = ["sasl.mechanism", "sasl.mechanisms"]
            .into_iter()
            .find(|name| self.get(name) == Some("OAUTHBEARER"))?;
        let is_unsecured = self.get("enable.sasl.oauthbearer.unsecure.jwt") == Some("true");
        let is_oidc = self.get("sasl.oauthbearer.method") == Some("oidc");
        (!is_unsecured && !is_oidc).then(|| {
            let why = "is OAUTHBEARER, for which tokens have to come from somewhere: set `sasl.oauthbearer.method` to oidc";
            Problem::new(name, why)
        })
    }
}

/// A setting that the client refuses by itself. It names only the first of several, so each is tried alone.
fn not_taken(name: &str, value: &str) -> Option<Problem> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    let why = match config.create_native_config().err()? {
        KafkaError::ClientConfig(_, why, ..) => why,
        other => other.to_string(),
    };
    // The reason may hold the value, but not where there is no such setting, or this build lacks a part.
    let is_about_name = [
        "No such configuration property",
        "not supported in this build",
    ]
    .iter()
    .any(|mark| why.contains(mark));
    let is_shown = !is_secret(name) || is_about_name;
    let message = match (is_secret(name), is_shown) {
        (false, _) => format!("is {value:?}, which the Kafka client does not accept: {why}"),
        (true, true) => format!("is not accepted by the Kafka client: {why}"),
        (true, false) => "has a value that the Kafka client does not accept".to_owned(),
    };
    Some(Problem::new(name, message))
}

/// Whose settings these are: each side has options and promises of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Publisher,
}

impl Side {
    /// Why a setting is refused, and what to use in its place.
    fn refusal(self, name: &str) -> Option<&'static str> {
        if name == "log.queue" {
            return Some("logs go to `tracing`, under the target broadway_kafka");
        }
        match self {
            Self::Source => refused_by_source(name),
            Self::Publisher => refused_by_publisher(name),
        }
    }
}

impl fmt::Debug for Settings {
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

fn refused_by_source(name: &str) -> Option<&'static str> {
    Some(match name {
        "bootstrap.servers" | "metadata.broker.list" => "use Kafka::brokers",
        "group.id" => "use Kafka::group",
        "group.instance.id" => "use Kafka::instance_id, which makes one for each producer",
        "group.protocol" | "partition.assignment.strategy" => "use Kafka::protocol",
        "auto.offset.reset" | "topic.auto.offset.reset" => {
            "use Kafka::begin, and Kafka::on_lost for a position that no longer exists"
        }
        "enable.auto.commit" | "auto.commit.enable" | "auto.commit.interval.ms" => {
            "only what is settled may be committed, and this connector does it: use Kafka::commit_interval"
        }
        "enable.auto.offset.store" => {
            "only what is settled may be committed, and this connector does it"
        }
        "enable.partition.eof" => "a partition has no end for a pipeline",
        "offset.store.method" | "offset.store.path" | "offset.store.sync.interval.ms" => {
            "offsets are stored in the group, at the broker"
        }
        _ => return None,
    })
}

fn refused_by_publisher(name: &str) -> Option<&'static str> {
    Some(match name {
        "bootstrap.servers" | "metadata.broker.list" => "use KafkaPublisherBuilder::brokers",
        "message.timeout.ms" | "delivery.timeout.ms" => {
            "use KafkaPublisherBuilder::confirm_timeout"
        }
        "linger.ms" | "queue.buffering.max.ms" => "use KafkaPublisherBuilder::linger",
        "enable.idempotence" => {
            "it is always on: without it a retry could send twice or out of order"
        }
        "acks" | "request.required.acks" => {
            "it is always `all`: less would confirm what a broker can still lose"
        }
        "enable.gapless.guarantee" => {
            "it would end the publisher at the first message that times out"
        }
        "transactional.id" => "this publisher has no transactions",
        "delivery.report.only.error" => "each message is owed its confirmation",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_the_rest_is_shown() {
        let mut settings = Settings::default();
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
    fn what_would_break_a_guarantee_is_refused_by_name() {
        let mut settings = Settings::default();
        for name in [
            "enable.auto.commit",
            "enable.auto.offset.store",
            "auto.offset.reset",
            "client.id",
        ] {
            settings.insert(name.to_owned(), "true".to_owned());
        }
        let refused: Vec<_> = settings
            .problems(Side::Source)
            .map(|problem| problem.option().to_owned())
            .collect();
        assert_eq!(
            refused,
            [
                "auto.offset.reset",
                "enable.auto.commit",
                "enable.auto.offset.store"
            ]
        );
    }

    #[test]
    fn a_publisher_keeps_its_own_promises_and_takes_what_is_only_the_sources() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("acks", "1"),
            ("enable.idempotence", "false"),
            ("auto.offset.reset", "earliest"),
            ("partitioner", "random"),
        ] {
            settings.insert(name.to_owned(), value.to_owned());
        }
        let refused: Vec<_> = settings
            .problems(Side::Publisher)
            .map(|problem| problem.option().to_owned())
            .collect();
        assert_eq!(refused, ["acks", "enable.idempotence"]);
    }

    #[test]
    fn every_setting_that_the_client_does_not_take_is_listed_and_no_secret_is_shown() {
        let mut settings = Settings::default();
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
        let problems: Vec<_> = settings.problems(Side::Source).collect();
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
