//! [`FilesSource`]: files as a source of blocks of whole lines.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
};

use broadway_core::{
    BoxError, Problem, StartError,
    stage::{self, Context, Producer},
};
use futures_util::future::BoxFuture;
use tokio::task;

use super::{SourceInfo, StartSource, Started};
use crate::{
    live::{FlowState, ProgressUnit},
    sink::{Events, Packet},
};

/// Whole lines of a file. The last line of a file may lack its line feed.
#[doc(hidden)]
#[derive(Debug)]
pub struct Block {
    pub(crate) text: String,
}

/// Bytes that are read at once. A block is longer if a line is.
const BLOCK_BYTES: usize = 256 * 1_024;

/// The longest line. A longer one is most likely another kind of file.
const LINE_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// Files as a source of blocks of whole lines.
pub(crate) struct FilesSource {
    paths: Vec<PathBuf>,
}

impl FilesSource {
    pub(crate) const fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths }
    }
}

impl StartSource for FilesSource {
    fn info(&self) -> SourceInfo {
        let lengths = self.paths.iter().map(std::fs::metadata);
        let total = lengths.map(|file| file.map_or(0, |file| file.len())).sum();
        SourceInfo {
            kind: "files",
            detail: match &*self.paths {
                [] => String::new(),
                [path] => path.display().to_string(),
                [path, others @ ..] => format!("{} and {} more", path.display(), others.len()),
            },
            is_bounded: true,
            is_acked: false,
            total: Some(total),
            unit: ProgressUnit::Bytes,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.paths.is_empty() {
            problems.push(Problem::new("files", "is empty: give at least one path"));
        }
        for path in &self.paths {
            match std::fs::metadata(path) {
                Ok(file) if file.is_dir() => {
                    let message = format!("{} is a directory", path.display());
                    problems.push(Problem::new("files", message));
                }
                Ok(_) => {}
                Err(error) => {
                    let message = format!("{}: {error}", path.display());
                    problems.push(Problem::new("files", message));
                }
            }
        }
        problems
    }

    fn start(
        self: Box<Self>,
        _targets: usize,
        state: Arc<FlowState>,
    ) -> BoxFuture<'static, Result<Started, StartError>> {
        Box::pin(async move {
            let reader = BlockReader {
                paths: self.paths.into(),
                open: None,
                rest: Vec::new(),
            };
            let producer = FilesProducer {
                reader: Some(reader),
                state: Arc::clone(&state),
            };
            let builder = stage::producer(producer).name(state.stage_name("source"));
            let handle = builder.accumulate().start().await?;
            Ok(Started::shared(handle))
        })
    }
}

struct FilesProducer {
    /// `None` only while it reads, or after an error.
    reader: Option<BlockReader>,
    state: Arc<FlowState>,
}

impl Producer for FilesProducer {
    type Event = Packet;

    async fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<Packet>,
    ) -> Result<(), BoxError> {
        for _ in 0..demand {
            let Some(mut reader) = self.reader.take() else {
                return Ok(());
            };
            // Reading may wait for a disk.
            let read =
                task::spawn_blocking(move || reader.next_block().map(|block| (reader, block)));
            let (reader, block) = match read.await? {
                Ok(read) => read,
                Err(error) => {
                    self.state.fail_stage("files", error.to_string());
                    return Err(error.into());
                }
            };
            let Some(block) = block else {
                cx.stop();
                return Ok(());
            };
            self.reader = Some(reader);
            self.state
                .count_source(block.text.len() as u64, ProgressUnit::Bytes);
            cx.emit(Packet::of(0, Events::plain(vec![block])));
        }
        Ok(())
    }
}

/// Cuts files into blocks of whole lines.
struct BlockReader {
    paths: VecDeque<PathBuf>,
    open: Option<(PathBuf, File)>,
    /// The beginning of a line whose end is not read.
    rest: Vec<u8>,
}

impl BlockReader {
    /// Reads the next block. `None` at the end of the last file.
    fn next_block(&mut self) -> io::Result<Option<Block>> {
        loop {
            let Some((path, mut file)) = self.open.take() else {
                let Some(path) = self.paths.pop_front() else {
                    return Ok(None);
                };
                let file = File::open(&path).map_err(|error| of_file(&path, &error))?;
                self.open = Some((path, file));
                continue;
            };
            let mut bytes = std::mem::take(&mut self.rest);
            let old = bytes.len();
            bytes.reserve(BLOCK_BYTES);
            let mut part = (&mut file).take(BLOCK_BYTES as u64);
            let read = part
                .read_to_end(&mut bytes)
                .map_err(|error| of_file(&path, &error))?;
            if read == 0 {
                // The end of this file is the end of its last line.
                if bytes.is_empty() {
                    continue;
                }
                return text(&path, bytes).map(Some);
            }
            match memchr::memrchr(b'\n', &bytes[old..]) {
                Some(end) => self.rest = bytes.split_off(old + end + 1),
                None if bytes.len() > LINE_BYTES_MAX => {
                    let message = format!("a line is longer than {LINE_BYTES_MAX} bytes");
                    return Err(of_file(&path, &io::Error::other(message)));
                }
                None => {
                    self.rest = bytes;
                    self.open = Some((path, file));
                    continue;
                }
            }
            self.open = Some((path, file));
            let (path, _) = self.open.as_ref().expect("just set");
            return text(path, bytes).map(Some);
        }
    }
}

fn text(path: &std::path::Path, bytes: Vec<u8>) -> io::Result<Block> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Block { text }),
        Err(error) => {
            let message = format!("is not UTF-8: {}", error.utf8_error());
            Err(of_file(path, &io::Error::other(message)))
        }
    }
}

fn of_file(path: &std::path::Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
