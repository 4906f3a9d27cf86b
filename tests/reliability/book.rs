//! The book of a run, a file that every worker appends to: one line for each handling, written before the message is
//! acknowledged.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
    sync::Mutex,
};

use broadway::BoxError;

/// One handling of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    /// Whether the message was as planned.
    pub(crate) is_intact: bool,
}

/// The writing end.
pub(crate) struct Book(Mutex<File>);

impl Book {
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::options().append(true).create(true).open(path);
        Self(Mutex::new(file.unwrap()))
    }

    /// All or nothing: one call to the kernel. A line that is written before a kill stays.
    pub(crate) fn write<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<(), BoxError> {
        let mut lines = String::new();
        for Entry { id, is_intact } in entries {
            let mark = if *is_intact { "" } else { "!" };
            lines.push_str(&format!("{mark}{id}\n"));
        }
        let mut file = self.0.lock().unwrap_or_else(|error| error.into_inner());
        Ok(file.write_all(lines.as_bytes())?)
    }
}

/// The reading end. Continues where it stopped.
pub(crate) struct Reading {
    file: File,
    /// The beginning of an incomplete line.
    torn: String,
}

impl Reading {
    pub(crate) fn open(path: &Path) -> Self {
        Self {
            file: File::open(path).unwrap(),
            torn: String::new(),
        }
    }

    /// Returns the lines written since the last call.
    pub(crate) fn news(&mut self) -> Vec<Entry> {
        let mut text = std::mem::take(&mut self.torn);
        self.file.read_to_string(&mut text).unwrap();
        let end = text.rfind('\n').map_or(0, |at| at + 1);
        self.torn = text.split_off(end);
        text.lines().map(entry).collect()
    }
}

fn entry(line: &str) -> Entry {
    let digits = line.trim_start_matches('!');
    Entry {
        id: digits.parse().unwrap(),
        is_intact: digits.len() == line.len(),
    }
}
