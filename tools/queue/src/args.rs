//! The arguments.

use std::{fmt, path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::brokers::Target;

/// Lists, checks, exports, imports and moves the records of an embedded queue of broadway.
///
/// One process at a time can open a folder: end the program that uses it first. Opening a folder starts its upkeep, as in any program:
/// records that are no longer kept are deleted, and delayed ones that are due are appended.
///
/// Exit codes: 0 if all was done, 1 if something was found or failed (corrupt records, a line that was not imported, records that were
/// not moved, a folder that cannot be opened), 2 for wrong arguments.
#[derive(Debug, Parser)]
#[command(name = "broadway-queue", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print one line for each topic: partitions, records, bytes, groups
    Ls {
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        output: Output,
    },
    /// Print the partitions and groups of topics, and the bytes on disk
    Stat {
        #[command(flatten)]
        folder: Folder,
        /// Only this topic
        topic: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Print records with their keys, headers, times and the beginning of their payloads. Exit code 1 if some cannot be read
    Peek(Peek),
    /// Read all records and check each. Prints the offsets that cannot be read; exit code 1 if there are some
    Verify {
        #[command(flatten)]
        folder: Folder,
        #[command(flatten)]
        output: Output,
    },
    /// Write the records of a topic as JSON lines. Exit code 1 if some cannot be read; the others are written
    #[command(after_long_help = FORMAT)]
    Export(Export),
    /// Publish JSON lines, as `export` writes them. Ends at the first line that cannot be published, with exit code 1
    #[command(after_long_help = FORMAT)]
    Import(Import),
    /// Delete records of a topic, and free their space
    Purge {
        #[command(flatten)]
        folder: Folder,
        /// The topic
        topic: String,
        /// Delete the records that all groups have acknowledged, also if the topic keeps them. A topic without groups keeps all
        #[arg(long)]
        acked: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Move the backlog of a topic to a broker: each record is published, confirmed, and then acknowledged in the queue
    ///
    /// Records are delivered at least once: after an interruption, the same command goes on, and may repeat the last ones. Consumers drop
    /// repeats by the headers broadway-queue-topic, broadway-queue-partition and broadway-queue-offset. The records of a key keep their
    /// order. Ctrl-C ends it in order. Exit code 1 if records are left.
    Move(Move),
}

const FORMAT: &str = "\
One JSON object on each line: topic, partition, offset, time (milliseconds since 1970), key, headers (a list of pairs of name and value) \
and payload. Bytes that are UTF-8 are strings, others are {\"base64\": …}; null stands for a key, a payload or a value that is missing. Headers with \
other values: true, 7, {\"float\": \"1.5\"}, {\"decimal\": [scale, value]}, {\"time\": milliseconds or [seconds, nanoseconds]}, {\"list\": \
[…]}, {\"table\": [[name, value], …]}. Only the bits of a float that is not a number are lost. `import` ignores topic and offset, and all \
but the payload may be missing.";

#[derive(Debug, ClapArgs)]
pub(crate) struct Folder {
    /// The folder of the queue
    #[arg(value_name = "FOLDER")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Output {
    /// Print JSON, one object on each line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Peek {
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// The topic
    pub(crate) topic: String,
    /// Only this partition. Defaults to all, one after the other
    #[arg(long, value_name = "NUMBER")]
    pub(crate) partition: Option<u32>,
    /// Begin at this offset. Defaults to the first record that is kept
    #[arg(long, value_name = "NUMBER", requires = "partition")]
    pub(crate) offset: Option<u64>,
    /// At most this number of records
    #[arg(short = 'n', long = "max", value_name = "NUMBER", default_value_t = 10)]
    pub(crate) max: usize,
    /// At most this number of bytes of each payload
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    pub(crate) max_bytes: usize,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// The topic
    pub(crate) topic: String,
    /// Only this partition. Defaults to all, one after the other
    #[arg(long, value_name = "NUMBER")]
    pub(crate) partition: Option<u32>,
    /// Only the records that this group has not settled
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Write to this file, which is replaced. Defaults to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Import {
    /// The folder of the queue, which is created if it is missing
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// The topic, which is created if it is missing
    pub(crate) topic: String,
    /// The file to read; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: PathBuf,
    /// The number of partitions of the topic. A topic that exists gets more, and never fewer. Defaults to 8 for a new topic
    #[arg(long, value_name = "NUMBER")]
    pub(crate) partitions: Option<u32>,
    /// Publish each record to the partition that its line names. By default, the key chooses it
    #[arg(long)]
    pub(crate) keep_partitions: bool,
    /// Pass over this number of lines
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) skip: u64,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Move {
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// The topic
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) to: Destination,
    /// The consumer group that keeps how far it came. As any group, it holds back the deletion of records that it has not settled
    #[arg(long, value_name = "GROUP", default_value = "move")]
    pub(crate) group: String,
    /// Go on with records that are appended later. By default, it ends with those that are there at the start
    #[arg(long)]
    pub(crate) follow: bool,
    /// Do not add the headers with the topic, partition and offset in the queue
    #[arg(long)]
    pub(crate) no_origin: bool,
    /// Pass over records that cannot be read. By default, their partitions stop before them
    #[arg(long)]
    pub(crate) skip_corrupt: bool,
    /// End if nothing was confirmed for this number of seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, conflicts_with = "follow")]
    pub(crate) give_up: Duration,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Where records are moved to.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Destination {
    /// kafka://BROKERS/TOPIC, amqp://… or amqps://… (with --queue or --exchange), the URL of an SQS queue, or
    /// projects/PROJECT/topics/TOPIC of Pub/Sub
    #[arg(long, value_name = "URI")]
    pub(crate) to: Target,
    /// The RabbitMQ queue
    #[arg(long, value_name = "QUEUE", conflicts_with = "exchange")]
    pub(crate) queue: Option<String>,
    /// The RabbitMQ exchange
    #[arg(long, value_name = "EXCHANGE")]
    pub(crate) exchange: Option<String>,
    /// The routing key of all messages to the exchange. Empty by default
    #[arg(long, value_name = "KEY", requires = "exchange")]
    pub(crate) routing_key: Option<String>,
    /// A property of the Kafka client, such as security.protocol=SASL_SSL. May be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = property)]
    pub(crate) properties: Vec<(String, String)>,
    /// The AWS region. Defaults to the region of the environment
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// The URL of the SQS or Pub/Sub service, such as an emulator
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
}

/// Arguments that contradict each other, found after parsing.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see broadway-queue --help)", self.0)
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
    fn arguments_that_contradict_each_other_are_refused() {
        let parse = |line: &str| Args::try_parse_from(line.split(' ')).map(|_| ());
        assert!(parse("broadway-queue move f t --to kafka://a:1,b:1/t").is_ok());
        assert!(parse("broadway-queue import f t").is_ok());
        for wrong in [
            "broadway-queue ls",
            "broadway-queue peek f t --offset 3",
            "broadway-queue move f t",
            "broadway-queue move f t --to redis://a:1",
            "broadway-queue move f t --to kafka://a:1",
            "broadway-queue move f t --to amqp://a --queue q --exchange e",
            "broadway-queue move f t --to amqp://a --routing-key k",
            "broadway-queue move f t --to kafka://a:1/t --give-up 0",
        ] {
            let error = parse(wrong).expect_err(wrong);
            assert_eq!(error.exit_code(), 2, "{wrong}");
        }
    }
}
