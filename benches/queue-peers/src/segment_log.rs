//! The least that a log of our own would do: a file that blocks of messages are appended to, and `fdatasync`.

use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use crate::{BoxError, bare::BATCH};

/// Appends blocks, each with a length and a checksum as a log needs them.
pub(crate) fn append(folder: &Path, messages: u64, bytes: usize) -> Result<Duration, BoxError> {
    let mut file = File::create(folder.join("log"))?;
    let payload = vec![b'x'; bytes];
    let began = Instant::now();
    for first in (0..messages).step_by(BATCH as usize) {
        let mut block = Vec::new();
        for number in first..(first + BATCH).min(messages) {
            block.extend((payload.len() as u32).to_le_bytes());
            block.extend(number.to_le_bytes());
            block.extend_from_slice(&payload);
        }
        // As costly as a checksum in hardware, without a crate for it.
        let sum = block.chunks_exact(8).fold(0_u64, |sum, word| {
            sum.rotate_left(5)
                ^ u64::from_le_bytes([
                    word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
                ])
        });
        block.extend(sum.to_le_bytes());
        file.write_all(&block)?;
        file.sync_data()?;
    }
    Ok(began.elapsed())
}
