//! Frames out of bytes, in whatever pieces those come; with each frame that a client could not parse mended.
//!
//! Nothing here waits. Bodies, which are most of what comes, are passed on where they stand; other frames are looked at where they
//! stand, if they are there as a whole, and kept until they are otherwise.

use super::{MendedDelivery, mend};

/// Kind, channel, length.
const HEAD: usize = 7;
/// What ends a frame.
const TAIL: usize = 1;
const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
/// Longer frames of other kinds than a body are passed on as they are. The longest that RabbitMQ sends, unless it is told otherwise, has
/// 128 KiB, and the client takes no longer ones than it has agreed on.
const LOOKED_AT_MAX: usize = 16 << 20;

/// Cuts what a broker sends into frames.
#[derive(Debug, Default)]
pub(super) struct FrameScreen {
    /// The beginning of a frame whose end has not come yet.
    begun: Vec<u8>,
    /// What goes to the client before all else; `given` bytes of it have gone.
    ready: Vec<u8>,
    given: usize,
    /// Of a frame that nothing is done with, how many bytes are still to come.
    passing: usize,
    /// This is not AMQP: all passes.
    is_off: bool,
    /// The last delivery that began, by channel and tag, and what was wrong with it so far.
    delivery: Option<(u16, u64, Option<String>)>,
    mended: Vec<MendedDelivery>,
    /// The tag of the last delivery that began, on whatever channel.
    last_tag: u64,
}

impl FrameScreen {
    /// Takes the next bytes. The first so many are for the client now, as they stand; then comes what is [ready](Self::give).
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> usize {
        if !self.begun.is_empty() || self.given < self.ready.len() {
            self.keep(bytes);
            return 0;
        }
        let at = self.advance(bytes);
        self.begun.extend_from_slice(&bytes[at..]);
        at
    }

    /// Gives what is ready, as far as there is room for it.
    pub(super) fn give(&mut self, room: &mut [u8]) -> usize {
        let left = &self.ready[self.given..];
        let n = left.len().min(room.len());
        room[..n].copy_from_slice(&left[..n]);
        self.given += n;
        if self.given == self.ready.len() {
            self.ready.clear();
            self.given = 0;
        }
        n
    }

    /// Deliveries that were mended.
    pub(super) fn mended(&mut self) -> std::vec::Drain<'_, MendedDelivery> {
        self.mended.drain(..)
    }

    pub(super) fn has_marks(&self) -> bool {
        !self.mended.is_empty()
    }

    /// The tag of the last delivery that began; 0 before the first. The connection of a source has one channel with deliveries.
    pub(super) fn last_tag(&self) -> u64 {
        self.last_tag
    }

    /// Takes bytes that the client cannot have at once.
    fn keep(&mut self, bytes: &[u8]) {
        let mut begun = std::mem::take(&mut self.begun);
        begun.extend_from_slice(bytes);
        let at = self.advance(&mut begun);
        self.ready.extend_from_slice(&begun[..at]);
        begun.drain(..at);
        self.begun = begun;
    }

    /// Goes through the bytes, and says where the first frame begins whose end is missing.
    fn advance(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        loop {
            let n = self.passing.min(bytes.len() - at);
            self.passing -= n;
            at += n;
            if self.is_off {
                return bytes.len();
            }
            let Some(&head) = bytes[at..].first_chunk::<HEAD>() else {
                return at;
            };
            let [kind, c1, c2, size @ ..] = head;
            let size = u32::from_be_bytes(size) as usize;
            match kind {
                METHOD | CONTENT_HEADER if size <= LOOKED_AT_MAX => {
                    let end = at + HEAD + size + TAIL;
                    if end > bytes.len() {
                        return at;
                    }
                    let channel = u16::from_be_bytes([c1, c2]);
                    let payload = &mut bytes[at + HEAD..end - TAIL];
                    self.look(kind == METHOD, channel, payload);
                    at = end;
                }
                METHOD | CONTENT_HEADER | BODY | HEARTBEAT => self.passing = HEAD + size + TAIL,
                _ => self.is_off = true,
            }
        }
    }

    fn look(&mut self, is_method: bool, channel: u16, payload: &mut [u8]) {
        if is_method {
            let why = mend::method(payload);
            if let Some(tag) = mend::delivery_tag(payload) {
                self.last_tag = tag;
                self.delivery = Some((channel, tag, why));
            }
            return;
        }
        let why = mend::content_header(payload);
        if let Some((of, tag, before)) = self.delivery.take()
            && of == channel
            && let Some(why) = before.or(why)
        {
            self.mended.push(MendedDelivery { channel, tag, why });
        }
    }
}

#[cfg(test)]
mod tests;
