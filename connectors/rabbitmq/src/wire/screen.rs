//! Finds the frames in a stream of bytes, whose reads can end anywhere, and mends those that the client could not parse.
//!
//! This type never waits. Bodies, which are most of the bytes, are passed on in place. Other frames are checked in place if they are
//! complete, and kept until they are otherwise.

use super::{MendedDelivery, greeting, mend};

/// Type, channel and length of the payload.
const FRAME_HEAD_BYTES: usize = 7;
/// The frame-end octet.
const FRAME_END_BYTES: usize = 1;
const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
/// Longer frames are passed on unchecked, since a frame that is checked has to be kept as a whole. RabbitMQ's largest frame has 128 KiB by
/// default, and the client accepts none beyond the size that it has negotiated.
const CHECKED_BYTES_MAX: usize = 16 << 20;

/// Splits the bytes of a broker into frames.
#[derive(Debug, Default)]
pub(super) struct FrameScreen {
    /// The beginning of a frame whose end has not arrived.
    incomplete: Vec<u8>,
    /// Checked bytes that the client gets before all others, from `ready_start` on.
    ready: Vec<u8>,
    ready_start: usize,
    /// The bytes still to arrive of a frame that is passed on unchecked.
    unchecked: usize,
    /// The stream is not AMQP, so everything is passed on, for the client to reject.
    is_off: bool,
    /// The last `basic.deliver`: its channel, its tag, and its flaw. The content header that follows belongs to it.
    delivery: Option<(u16, u64, Option<String>)>,
    mended: Vec<MendedDelivery>,
    last_tag: u64,
    /// The major version of the broker, until it is taken.
    broker_major: Option<u32>,
}

impl FrameScreen {
    /// Takes the next bytes of the stream. The returned number of bytes, from the first on, are checked and for the client now; the others
    /// follow through [`take_ready`](Self::take_ready).
    pub(super) fn push(&mut self, bytes: &mut [u8]) -> usize {
        // Kept bytes are older, so nothing may overtake them.
        if !self.incomplete.is_empty() || self.ready_start < self.ready.len() {
            self.push_kept(bytes);
            return 0;
        }
        let end = self.check_frames(bytes);
        self.incomplete.extend_from_slice(&bytes[end..]);
        end
    }

    /// Moves checked bytes into `buffer`, and returns their number.
    pub(super) fn take_ready(&mut self, buffer: &mut [u8]) -> usize {
        let rest = &self.ready[self.ready_start..];
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        self.ready_start += n;
        if self.ready_start == self.ready.len() {
            self.ready.clear();
            self.ready_start = 0;
        }
        n
    }

    /// Removes the deliveries that were mended since the last call.
    pub(super) fn take_mended(&mut self) -> std::vec::Drain<'_, MendedDelivery> {
        self.mended.drain(..)
    }

    pub(super) fn has_mended(&self) -> bool {
        !self.mended.is_empty()
    }

    /// The major version of the broker, once after its first frame.
    pub(super) fn take_broker_major(&mut self) -> Option<u32> {
        self.broker_major.take()
    }

    /// The tag of the last delivery that began, on any channel; 0 before the first. A source has one channel with deliveries on its
    /// connection, so this is the tag on that channel.
    pub(super) fn last_tag(&self) -> u64 {
        self.last_tag
    }

    /// Appends to the bytes that are kept, and moves complete frames to `ready`.
    fn push_kept(&mut self, bytes: &[u8]) {
        let mut kept = std::mem::take(&mut self.incomplete);
        kept.extend_from_slice(bytes);
        let end = self.check_frames(&mut kept);
        self.ready.extend_from_slice(&kept[..end]);
        kept.drain(..end);
        self.incomplete = kept;
    }

    /// Checks the complete frames in `bytes`. Returns where the first incomplete frame begins that has to be kept.
    fn check_frames(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        loop {
            let n = self.unchecked.min(bytes.len() - at);
            self.unchecked -= n;
            at += n;
            if self.is_off {
                return bytes.len();
            }
            let Some(&head) = bytes[at..].first_chunk::<FRAME_HEAD_BYTES>() else {
                return at;
            };
            let [kind, c1, c2, size @ ..] = head;
            let size = u32::from_be_bytes(size) as usize;
            match kind {
                METHOD | CONTENT_HEADER if size <= CHECKED_BYTES_MAX => {
                    let end = at + FRAME_HEAD_BYTES + size + FRAME_END_BYTES;
                    if end > bytes.len() {
                        return at;
                    }
                    let channel = u16::from_be_bytes([c1, c2]);
                    let payload = &mut bytes[at + FRAME_HEAD_BYTES..end - FRAME_END_BYTES];
                    self.check(kind == METHOD, channel, payload);
                    at = end;
                }
                METHOD | CONTENT_HEADER | BODY | HEARTBEAT => {
                    self.unchecked = FRAME_HEAD_BYTES + size + FRAME_END_BYTES;
                }
                _ => self.is_off = true,
            }
        }
    }

    /// Mends one frame. A flaw of `basic.deliver` is kept for the content header, which follows it on the same channel: only then is the
    /// delivery complete for the client.
    fn check(&mut self, is_method: bool, channel: u16, payload: &mut [u8]) {
        if is_method {
            let flaw = mend::method(payload);
            if let Some(tag) = mend::delivery_tag(payload) {
                self.last_tag = tag;
                self.delivery = Some((channel, tag, flaw));
            } else if channel == 0
                && let Some(major) = greeting::broker_major(payload)
            {
                self.broker_major = Some(major);
            }
            return;
        }
        let flaw = mend::content_header(payload);
        if let Some((of_channel, tag, method_flaw)) = self.delivery.take()
            && of_channel == channel
            && let Some(flaw) = method_flaw.or(flaw)
        {
            self.mended.push(MendedDelivery { channel, tag, flaw });
        }
    }
}

#[cfg(test)]
mod tests;
