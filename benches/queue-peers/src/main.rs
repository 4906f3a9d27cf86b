//! One measurement of a store, for the benchmark `queue`: writes or reads messages in an empty folder, and prints the seconds that took.
//!
//! ```console
//! $ queue-peers PROGRAM FOLDER MESSAGES BYTES
//! ```

mod bare;
mod segment_log;
mod sqlite;

use std::{path::Path, process::ExitCode, time::Duration};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match measure() {
        Ok(took) => {
            println!("{}", took.as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("queue-peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<Duration, BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, folder, messages, bytes] = &arguments[..] else {
        return Err("it needs PROGRAM FOLDER MESSAGES BYTES".into());
    };
    let (folder, messages, bytes) = (Path::new(folder), messages.parse()?, bytes.parse()?);
    match program.as_str() {
        "sqlite_rows" => sqlite::insert_rows(folder, messages, bytes),
        "bare_fjall" => bare::fjall(folder, messages, bytes),
        "bare_fjall_scan" => bare::fjall_scan(folder, messages, bytes),
        "bare_rocksdb" => bare::rocksdb(folder, messages, bytes),
        "queue_on_rocksdb" => bare::queue_on_rocksdb(folder, messages, bytes),
        "segment_log" => segment_log::append(folder, messages, bytes),
        other => Err(format!("no program {other:?}").into()),
    }
}
