//! Limits how much the client prefetches for each partition, and how much of that is read ahead of the pipeline's demand, so that all
//! partitions together stay within a limit. librdkafka has limits per partition only, and fixes them when a client is created.

use rdkafka::ClientConfig;

use crate::{ffi::ReadAhead, settings::ClientSettings};

const KBYTES: &str = "queued.max.messages.kbytes";
const MESSAGES: &str = "queued.min.messages";
const FETCH: &str = "fetch.message.max.bytes";
const FETCH_ALIAS: &str = "max.partition.fetch.bytes";

/// The client's overhead per message, at most, in bytes.
const OVERHEAD: usize = 512;

/// The most messages of a partition that are read ahead. More make no difference, because the cost of a read is shared by all of them.
const AHEAD_MESSAGES: usize = 1_000;

/// The most bytes of a partition that are read ahead, besides a part of its share.
const AHEAD_BYTES: usize = 512 << 10;

/// The limits of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefetch {
    /// Fetching pauses above this; in units of 1,000 bytes, as the client counts.
    kbytes: usize,
    /// Fetching pauses above this number, too.
    messages: usize,
    /// The size of one fetch, which may come on top of the two limits above.
    fetch: usize,
}

impl Prefetch {
    /// The defaults of librdkafka.
    const DEFAULT: Self = Self {
        kbytes: 65_536,
        messages: 100_000,
        fetch: 1_048_576,
    };

    /// The user's settings, with librdkafka's defaults. `None` if librdkafka will reject them.
    fn configured(settings: &ClientSettings) -> Option<Self> {
        let configured = |name, otherwise| {
            settings
                .get(name)
                .map_or(Some(otherwise), |text| text.parse().ok())
        };
        Some(Self {
            kbytes: configured(KBYTES, Self::DEFAULT.kbytes)?,
            messages: configured(MESSAGES, Self::DEFAULT.messages)?,
            fetch: configured(FETCH, configured(FETCH_ALIAS, Self::DEFAULT.fetch)?)?,
        })
    }

    /// The limits for each of `partitions` partitions that together hold at most `bytes`. None exceeds the user's settings.
    fn within(self, bytes: usize, partitions: usize) -> Self {
        let share = bytes / partitions.max(1);
        let fetch = self.fetch.min(share / 2).max(1_024);
        let queued = share.saturating_sub(fetch + ahead_bytes(share));
        Self {
            kbytes: self.kbytes.min(queued / 1_000).max(1),
            messages: self.messages.min(share / OVERHEAD).max(1),
            fetch,
        }
    }
}

/// How many bytes are read ahead of a partition for which `bytes` may be prefetched.
fn ahead_bytes(bytes: usize) -> usize {
    AHEAD_BYTES.min(bytes / 16)
}

/// How much may be read ahead of each of `partitions` partitions. It is a part of `bytes`, and small if the user's settings are.
pub(crate) fn read_ahead(settings: &ClientSettings, bytes: usize, partitions: usize) -> ReadAhead {
    let configured = Prefetch::configured(settings).unwrap_or(Prefetch::DEFAULT);
    let share = bytes / partitions.max(1);
    ReadAhead {
        messages: AHEAD_MESSAGES.min(configured.messages),
        bytes: ahead_bytes(share.min(configured.kbytes.saturating_mul(1_000))),
    }
}

/// Sets the limits for each of `partitions` partitions. Returns `None` if the settings are within them already.
pub(crate) fn limit(
    config: &mut ClientConfig,
    settings: &ClientSettings,
    bytes: usize,
    partitions: usize,
) -> Option<Prefetch> {
    let configured = Prefetch::configured(settings)?;
    let limits = configured.within(bytes, partitions);
    if limits == configured {
        return None;
    }
    config.set(KBYTES, limits.kbytes.to_string());
    config.set(MESSAGES, limits.messages.to_string());
    config.remove(FETCH_ALIAS);
    config.set(FETCH, limits.fetch.to_string());
    Some(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: usize = 128 << 20;

    /// How much may be held of each of `partitions` partitions.
    fn bytes(limits: Prefetch, settings: &ClientSettings, partitions: usize) -> usize {
        limits.kbytes * 1_000 + limits.fetch + read_ahead(settings, CAP, partitions).bytes
    }

    fn settings(pairs: &[(&str, &str)]) -> ClientSettings {
        let mut settings = ClientSettings::default();
        for (name, value) in pairs {
            settings.insert((*name).to_owned(), (*value).to_owned());
        }
        settings
    }

    #[test]
    fn all_partitions_together_stay_within_the_limit() {
        for partitions in [1, 2, 3, 12, 100, 1_000, 50_000] {
            let limits = Prefetch::DEFAULT.within(CAP, partitions);
            assert!(
                bytes(limits, &settings(&[]), partitions) * partitions <= CAP,
                "{partitions}: {limits:?}"
            );
            assert!(limits.messages * OVERHEAD * partitions <= CAP, "{limits:?}");
        }
    }

    #[test]
    fn one_or_two_partitions_keep_the_clients_limits() {
        for partitions in [0, 1, 2] {
            let mut config = ClientConfig::new();
            assert_eq!(limit(&mut config, &settings(&[]), CAP, partitions), None);
        }
    }

    #[test]
    fn settings_of_the_user_are_only_lowered() {
        let small = settings(&[(KBYTES, "100"), (FETCH_ALIAS, "5000"), (MESSAGES, "10")]);
        let mut config = ClientConfig::new();
        assert_eq!(limit(&mut config, &small, CAP, 100), None);
        let large = settings(&[(KBYTES, "1000000"), (FETCH_ALIAS, "50000000")]);
        config.set(FETCH_ALIAS, "50000000");
        let limits = limit(&mut config, &large, CAP, 4).unwrap();
        assert!(bytes(limits, &large, 4) * 4 <= CAP);
        assert_eq!(config.get(FETCH_ALIAS), None, "one of the two names");
        assert_eq!(config.get(FETCH), Some("16777216"));
    }

    #[test]
    fn less_is_read_ahead_where_little_is_prefetched() {
        let ahead = |pairs, partitions| read_ahead(&settings(pairs), CAP, partitions);
        let (messages, bytes) = (AHEAD_MESSAGES, AHEAD_BYTES);
        assert_eq!(ahead(&[], 1), ReadAhead { messages, bytes });
        assert_eq!(ahead(&[], 1_000).bytes, CAP / 1_000 / 16);
        assert_eq!(ahead(&[(KBYTES, "160")], 1).bytes, 10_000);
        assert_eq!(ahead(&[(MESSAGES, "10")], 1).messages, 10);
    }

    #[test]
    fn values_that_the_client_rejects_are_left_unchanged() {
        let wrong = settings(&[(KBYTES, "many")]);
        assert_eq!(limit(&mut ClientConfig::new(), &wrong, CAP, 100), None);
    }
}
