//! Opens the publisher of each broker, which a URI names.

use std::str::FromStr;

use broadway::{BoxError, publisher::BoxPublisher};

use crate::args::{Destination, Usage};

/// The place that a URI names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Kafka { brokers: String, topic: String },
    RabbitMq { uri: String },
    Sqs { url: String },
    PubSub { topic: String },
}

const FORMS: &str = "use kafka://BROKERS/TOPIC, amqp://…, amqps://…, the http(s) URL of an SQS queue, or projects/PROJECT/topics/TOPIC";

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("kafka://") {
            let parts = rest.split_once('/');
            let parts = parts.filter(|(brokers, topic)| !brokers.is_empty() && !topic.is_empty());
            let (brokers, topic) = parts.ok_or("names no topic: use kafka://BROKERS/TOPIC")?;
            return Ok(Self::Kafka {
                brokers: brokers.to_owned(),
                topic: topic.to_owned(),
            });
        }
        let begins = |with: &[&str]| with.iter().any(|with| text.starts_with(with));
        if begins(&["amqp://", "amqps://"]) {
            return Ok(Self::RabbitMq {
                uri: text.to_owned(),
            });
        }
        if begins(&["http://", "https://"]) {
            return Ok(Self::Sqs {
                url: text.to_owned(),
            });
        }
        if begins(&["projects/"]) && text.contains("/topics/") {
            return Ok(Self::PubSub {
                topic: text.to_owned(),
            });
        }
        Err(format!("is not a destination: {FORMS}"))
    }
}

/// Opens the publisher.
pub(crate) async fn open(to: &Destination) -> Result<BoxPublisher, BoxError> {
    check(to)?;
    match &to.to {
        #[cfg(feature = "kafka")]
        Target::Kafka { brokers, topic } => kafka(to, brokers, topic).await,
        #[cfg(feature = "rabbitmq")]
        Target::RabbitMq { uri } => rabbitmq(to, uri).await,
        #[cfg(feature = "sqs")]
        Target::Sqs { url } => sqs(to, url).await,
        #[cfg(feature = "pubsub")]
        Target::PubSub { topic } => pubsub(to, topic).await,
        #[allow(unreachable_patterns, reason = "unless all brokers are built in")]
        other => {
            let name = other.feature();
            Err(Usage(format!(
                "this build has no {name}: build it with `--features {name}`"
            ))
            .into())
        }
    }
}

impl Target {
    const fn feature(&self) -> &'static str {
        match self {
            Self::Kafka { .. } => "kafka",
            Self::RabbitMq { .. } => "rabbitmq",
            Self::Sqs { .. } => "sqs",
            Self::PubSub { .. } => "pubsub",
        }
    }
}

/// Checks that each option belongs to the broker.
fn check(to: &Destination) -> Result<(), Usage> {
    let name = to.to.feature();
    let has_place = to.queue.is_some() || to.exchange.is_some();
    let options = [
        ("--queue and --exchange", has_place, &["rabbitmq"][..]),
        ("--set", !to.properties.is_empty(), &["kafka"]),
        ("--region", to.region.is_some(), &["sqs"]),
        ("--endpoint", to.endpoint.is_some(), &["sqs", "pubsub"]),
    ];
    for (option, is_given, brokers) in options {
        if is_given && !brokers.contains(&name) {
            return Err(Usage(format!("{option} is not for {name}")));
        }
    }
    if name == "rabbitmq" && !has_place {
        return Err(Usage(
            "name the destination at RabbitMQ: --queue or --exchange".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(feature = "kafka")]
async fn kafka(to: &Destination, brokers: &str, topic: &str) -> Result<BoxPublisher, BoxError> {
    use broadway::{Publisher, kafka::KafkaPublisher};
    // Keys keep the partitions that they have in the queue, if the topic has as many. `--set` can choose another one.
    let mut publisher = KafkaPublisher::topic(topic)
        .brokers(brokers)
        .set("partitioner", "murmur2_random");
    for (name, value) in &to.properties {
        publisher = publisher.set(name, value);
    }
    Ok(publisher.open().await?.boxed())
}

#[cfg(feature = "rabbitmq")]
async fn rabbitmq(to: &Destination, uri: &str) -> Result<BoxPublisher, BoxError> {
    use broadway::{Publisher, rabbitmq::RabbitMqPublisher};
    let mut publisher = match (&to.exchange, &to.queue) {
        (Some(exchange), _) => RabbitMqPublisher::exchange(exchange),
        (None, queue) => RabbitMqPublisher::queue(queue.as_deref().unwrap_or_default()),
    };
    if let Some(key) = &to.routing_key {
        publisher = publisher.routing_key(key);
    }
    let publisher = publisher.uri(uri).connection_name("broadway-queue");
    Ok(publisher.open().await?.boxed())
}

#[cfg(feature = "sqs")]
async fn sqs(to: &Destination, url: &str) -> Result<BoxPublisher, BoxError> {
    use broadway::{Publisher, sqs::SqsPublisher};
    let mut publisher = SqsPublisher::queue(url);
    if let Some(region) = &to.region {
        publisher = publisher.region(region);
    }
    if let Some(endpoint) = &to.endpoint {
        publisher = publisher.endpoint(endpoint);
    }
    Ok(publisher.open().await?.boxed())
}

#[cfg(feature = "pubsub")]
async fn pubsub(to: &Destination, topic: &str) -> Result<BoxPublisher, BoxError> {
    use broadway::{Publisher, pubsub::PubSubPublisher};
    let mut publisher = PubSubPublisher::topic(topic);
    if let Some(endpoint) = &to.endpoint {
        publisher = publisher.endpoint(endpoint);
    }
    Ok(publisher.open().await?.boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_its_broker() {
        for (uri, name) in [
            ("kafka://a:9092,b:9092/orders", "kafka"),
            ("amqps://u:p@host/%2f", "rabbitmq"),
            ("https://sqs.eu-west-1.amazonaws.com/1/orders", "sqs"),
            ("projects/p/topics/orders", "pubsub"),
        ] {
            let target: Target = uri.parse().unwrap();
            assert_eq!(target.feature(), name, "{uri}");
        }
        for wrong in [
            "",
            "orders",
            "kafka://",
            "kafka://a:1/",
            "kafka:///t",
            "projects/p/subscriptions/s",
        ] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
