//! The pulse of a stream: what can be told about its connection from when it wakes and what it brings.
//!
//! The client mends a broken stream by itself, and says nothing. Two troubles it does not notice: a server that takes
//! every connection and drops it again, to which it connects thousands of times a second; and a connection that is dead without
//! having been closed, since it sends no keep-alive that would find out. Both show in the wakes of its future. A plain value that
//! is told the time.

use std::time::{Duration, Instant};

/// So many wakes without a message within [`STORM_WITHIN`] are not a large message that arrives in pieces: one of 10 MB has some
/// 640 of them.
const STORM_WAKES: u32 = 2_000;
const STORM_WITHIN: Duration = Duration::from_secs(30);
/// A wake after so much silence that brings no message is a heartbeat of the service.
const HEARTBEAT_AFTER: Duration = Duration::from_secs(5);
/// A service that sends heartbeats sends one at least every 30 seconds: after so long the connection is dead.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(120);

/// When a stream woke, and whether that brought something.
#[derive(Debug)]
pub(crate) struct Pulse {
    is_reading: bool,
    last: Instant,
    /// Whether this service sends heartbeats at all. Emulators do not.
    has_heartbeats: bool,
    empty_wakes: u32,
    empty_since: Instant,
    times_brought: u64,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            is_reading: false,
            last: now,
            has_heartbeats: false,
            empty_wakes: 0,
            empty_since: now,
            times_brought: 0,
        }
    }

    /// The stream is read from now on.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.is_reading = true;
        self.last = now;
    }

    /// It is not read, and so silent for reasons of ours.
    pub(crate) fn pause(&mut self) {
        self.is_reading = false;
    }

    /// It brought messages.
    pub(crate) fn brought(&mut self, now: Instant) {
        self.last = now;
        self.empty_wakes = 0;
        self.times_brought += 1;
    }

    /// How often it brought messages: who remembers it sees whether it did since.
    pub(crate) fn times_brought(&self) -> u64 {
        self.times_brought
    }

    /// It woke for nothing. Whether it does so all the time: connections break as soon as they are made.
    pub(crate) fn woke(&mut self, now: Instant) -> bool {
        if now.duration_since(self.last) >= HEARTBEAT_AFTER {
            self.has_heartbeats = true;
        }
        self.last = now;
        if self.empty_wakes == 0 || now.duration_since(self.empty_since) > STORM_WITHIN {
            self.empty_wakes = 0;
            self.empty_since = now;
        }
        self.empty_wakes += 1;
        self.empty_wakes >= STORM_WAKES
    }

    /// Whether nothing was heard for so long that the connection must be dead.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        self.is_reading && self.has_heartbeats && now.duration_since(self.last) >= SILENCE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn silence_is_death_only_where_there_were_heartbeats() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.resume(start);
        pulse.brought(start);
        assert!(
            !pulse.is_silent(start + 60 * MINUTE),
            "an emulator is silent by nature"
        );
        assert!(!pulse.woke(start + MINUTE));
        assert!(!pulse.is_silent(start + MINUTE + SILENCE_MAX - Duration::from_millis(1)));
        assert!(pulse.is_silent(start + MINUTE + SILENCE_MAX));
    }

    #[test]
    fn a_stream_that_nobody_reads_is_not_silent() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.resume(start);
        pulse.woke(start + MINUTE);
        pulse.pause();
        assert!(!pulse.is_silent(start + 60 * MINUTE));
        pulse.resume(start + 60 * MINUTE);
        assert!(!pulse.is_silent(start + 61 * MINUTE));
        assert!(pulse.is_silent(start + 62 * MINUTE));
    }

    #[test]
    fn wakes_for_nothing_are_a_storm_only_when_they_come_close_together() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        let rarely = (0..STORM_WAKES * 2).map(|n| start + Duration::from_millis(20) * n);
        assert!(!rarely.fold(false, |storm, at| storm | pulse.woke(at)));
        let later = start + 60 * MINUTE;
        let often = (0..STORM_WAKES).map(|n| later + Duration::from_micros(400) * n);
        assert_eq!(often.filter(|at| pulse.woke(*at)).count(), 1);
    }

    #[test]
    fn messages_end_a_storm() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        for _ in 0..STORM_WAKES * 3 {
            assert!(!pulse.woke(start));
            pulse.brought(start);
        }
    }
}
