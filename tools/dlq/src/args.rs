//! The arguments.

use std::{fmt, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::filter::Filter;

/// Lists, shows and replays the dead letters of broadway.
///
/// Exit codes: 0 if all was done, 1 if messages failed or a broker could not be reached, 2 for wrong arguments.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print one line for each dead letter. Nothing is removed.
    List {
        #[command(flatten)]
        from: From,
        #[command(flatten)]
        which: Which,
    },
    /// Print one dead letter with its headers and its payload. Nothing is removed.
    Show {
        /// The id, as `list` prints it, or its beginning; or the origin, such as `orders[3]@88127`
        id: String,
        #[command(flatten)]
        from: From,
        #[command(flatten)]
        which: Which,
    },
    /// Send the messages of dead letters again. A dead letter is removed once its message is confirmed.
    Replay {
        #[command(flatten)]
        from: From,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        how: How,
    },
}

/// Where the dead letters are. One broker is required.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct From {
    /// Read Kafka at these bootstrap servers, such as localhost:9092
    #[arg(long, value_name = "BROKERS", group = "broker", required_unless_present_any = ["rabbitmq", "sqs", "pubsub"], requires = "topic")]
    pub(crate) kafka: Option<String>,
    /// The Kafka topic of the dead letters
    #[arg(long, value_name = "TOPIC", requires = "kafka")]
    pub(crate) topic: Option<String>,
    /// The Kafka consumer group. A replay has its own for each topic, filter and destination, and continues where the same replay
    /// ended; a list has a new one each time
    #[arg(long, value_name = "GROUP", requires = "kafka")]
    pub(crate) group: Option<String>,
    /// A property of the Kafka client, such as security.protocol=SASL_SSL. May be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "kafka", value_parser = property)]
    pub(crate) properties: Vec<(String, String)>,
    /// Read RabbitMQ at this URI, such as amqp://guest:guest@localhost:5672/%2f
    #[arg(long, value_name = "URI", group = "broker", requires = "queue")]
    pub(crate) rabbitmq: Option<String>,
    /// The RabbitMQ queue of the dead letters
    #[arg(long, value_name = "QUEUE", requires = "rabbitmq")]
    pub(crate) queue: Option<String>,
    /// Read the SQS queue with this URL. Credentials come from the environment, as for the AWS command line
    #[arg(long, value_name = "URL", group = "broker")]
    pub(crate) sqs: Option<String>,
    /// The AWS region. Defaults to the region of the environment
    #[arg(long, value_name = "REGION", requires = "sqs")]
    pub(crate) region: Option<String>,
    /// Read this Pub/Sub subscription: projects/PROJECT/subscriptions/NAME. Credentials are the application default ones
    #[arg(long, value_name = "SUBSCRIPTION", group = "broker")]
    pub(crate) pubsub: Option<String>,
    /// The URL of the SQS or Pub/Sub service, such as an emulator
    #[arg(long, value_name = "URL", conflicts_with_all = ["kafka", "rabbitmq"])]
    pub(crate) endpoint: Option<String>,
}

/// Which dead letters, and until when.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Which {
    /// Only dead letters with this property. The pattern may have `*` for any text. Names: class, id, origin, pipeline, reason, stage.
    /// If it is repeated, all must match
    #[arg(long = "filter", value_name = "NAME=PATTERN")]
    pub(crate) filters: Vec<Filter>,
    /// At most this number of dead letters. Defaults to 1000 for a list, and to all for a replay
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max: Option<u64>,
    /// End when nothing has come for this number of seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) idle: Duration,
    /// Hold at most this number of dead letters of a queue that stay. Reading ends there
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) hold: u32,
    /// Print JSON, one object on each line
    #[arg(long)]
    pub(crate) json: bool,
}

/// How messages are sent again.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct How {
    /// The destination: a topic of Kafka, a queue or (with --exchange) a routing key of RabbitMQ, the URL of an SQS queue, or a topic of
    /// Pub/Sub. Required for SQS and Pub/Sub. Defaults to where the message came from
    #[arg(long, value_name = "DESTINATION")]
    pub(crate) to: Option<String>,
    /// Send to this exchange of RabbitMQ. Defaults to the default exchange
    #[arg(long, value_name = "EXCHANGE", requires_all = ["rabbitmq", "to"])]
    pub(crate) exchange: Option<String>,
    /// Send at most this number of messages a second
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Send the time of the original record along. By default, the broker dates the message when it arrives
    #[arg(long)]
    pub(crate) keep_times: bool,
    /// Count what would be sent, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask before sending
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Arguments that contradict each other, found after parsing.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see broadway-dlq --help)", self.0)
    }
}

impl std::error::Error for Usage {}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "is not a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("must be more than 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn one_broker_is_required_and_two_are_refused() {
        let parse = |line: &str| Args::try_parse_from(line.split(' ')).map(|_| ());
        assert!(parse("broadway-dlq list --kafka a:1 --topic t").is_ok());
        assert!(parse("broadway-dlq show 0a --sqs http://q --endpoint http://s").is_ok());
        for wrong in [
            "broadway-dlq list",
            "broadway-dlq list --kafka a:1",
            "broadway-dlq list --topic t",
            "broadway-dlq list --kafka a:1 --topic t --sqs http://q",
            "broadway-dlq list --sqs http://q --filter colour=red",
            "broadway-dlq replay --sqs http://q --rate 0",
            "broadway-dlq list --sqs http://q --idle -1",
        ] {
            let error = parse(wrong).expect_err(wrong);
            assert_eq!(error.exit_code(), 2, "{wrong}");
        }
    }
}
