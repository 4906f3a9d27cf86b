//! Whether a stream's connection is alive, judged by when the stream's future wakes and what it returns: [`Liveness`].
//!
//! The client reopens a broken stream automatically and does not report it. Two faults it does not notice: a server that accepts
//! every connection and closes it at once, to which it reconnects thousands of times a second; and a connection that died
//! without being closed, since it sends no keep-alive. Both show in the wakes of the stream's future. [`Liveness`] is a pure value: it
//! never reads a clock.

use std::time::{Duration, Instant};

/// This number of wakes without a message within [`STORM_WITHIN`] is a reconnect storm. A large message that arrives in pieces has
/// fewer: one of 10 MB about 640.
const STORM_WAKES: u32 = 2_000;
const STORM_WITHIN: Duration = Duration::from_secs(30);
/// A wake without a message after this silence is a heartbeat of the service.
const HEARTBEAT_AFTER: Duration = Duration::from_secs(5);
/// A service that sends heartbeats sends one at least every 30 seconds. After this silence its connection is dead.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(120);

/// When a stream woke, and whether it returned messages.
#[derive(Debug)]
pub(crate) struct Liveness {
    is_reading: bool,
    last_wake: Instant,
    /// Whether this service sends heartbeats. Emulators do not.
    has_heartbeats: bool,
    empty_wakes: u32,
    empty_since: Instant,
    receives: u64,
}

impl Liveness {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            is_reading: false,
            last_wake: now,
            has_heartbeats: false,
            empty_wakes: 0,
            empty_since: now,
            receives: 0,
        }
    }

    /// Reading starts.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.is_reading = true;
        self.last_wake = now;
    }

    /// Reading pauses, for want of room: silence means nothing now.
    pub(crate) fn pause(&mut self) {
        self.is_reading = false;
    }

    /// The stream returned messages.
    pub(crate) fn on_messages(&mut self, now: Instant) {
        self.last_wake = now;
        self.empty_wakes = 0;
        self.receives += 1;
    }

    /// How often the stream has returned messages. A caller that keeps it sees whether it has since.
    pub(crate) fn receives(&self) -> u64 {
        self.receives
    }

    /// The stream woke without a message. Returns whether this is a reconnect storm.
    pub(crate) fn on_empty_wake(&mut self, now: Instant) -> bool {
        if now.duration_since(self.last_wake) >= HEARTBEAT_AFTER {
            self.has_heartbeats = true;
        }
        self.last_wake = now;
        if self.empty_wakes == 0 || now.duration_since(self.empty_since) > STORM_WITHIN {
            self.empty_wakes = 0;
            self.empty_since = now;
        }
        self.empty_wakes += 1;
        self.empty_wakes >= STORM_WAKES
    }

    /// Whether the stream was silent for so long that its connection must be dead.
    pub(crate) fn is_dead(&self, now: Instant) -> bool {
        self.is_reading && self.has_heartbeats && now.duration_since(self.last_wake) >= SILENCE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn silence_means_a_dead_connection_only_after_heartbeats() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.resume(start);
        liveness.on_messages(start);
        assert!(
            !liveness.is_dead(start + 60 * MINUTE),
            "emulators send no heartbeats"
        );
        assert!(!liveness.on_empty_wake(start + MINUTE));
        assert!(!liveness.is_dead(start + MINUTE + SILENCE_MAX - Duration::from_millis(1)));
        assert!(liveness.is_dead(start + MINUTE + SILENCE_MAX));
    }

    #[test]
    fn a_paused_stream_is_not_dead() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        liveness.resume(start);
        liveness.on_empty_wake(start + MINUTE);
        liveness.pause();
        assert!(!liveness.is_dead(start + 60 * MINUTE));
        liveness.resume(start + 60 * MINUTE);
        assert!(!liveness.is_dead(start + 61 * MINUTE));
        assert!(liveness.is_dead(start + 62 * MINUTE));
    }

    #[test]
    fn empty_wakes_are_a_storm_only_when_they_are_close_together() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        let rarely = (0..STORM_WAKES * 2).map(|n| start + Duration::from_millis(20) * n);
        assert!(!rarely.fold(false, |storm, at| storm | liveness.on_empty_wake(at)));
        let later = start + 60 * MINUTE;
        let often = (0..STORM_WAKES).map(|n| later + Duration::from_micros(400) * n);
        assert_eq!(often.filter(|at| liveness.on_empty_wake(*at)).count(), 1);
    }

    #[test]
    fn messages_end_a_storm() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        for _ in 0..STORM_WAKES * 3 {
            assert!(!liveness.on_empty_wake(start));
            liveness.on_messages(start);
        }
    }
}
