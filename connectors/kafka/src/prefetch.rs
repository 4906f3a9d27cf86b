//! How much the client may hold of each partition, so that all of them together stay within a limit. The client knows only limits
//! for one partition, and only those that it was made with.

use rdkafka::ClientConfig;

use crate::settings::Settings;

const KBYTES: &str = "queued.max.messages.kbytes";
const MESSAGES: &str = "queued.min.messages";
const FETCH: &str = "fetch.message.max.bytes";
const FETCH_ALIAS: &str = "max.partition.fetch.bytes";

/// What the client keeps of a message besides its bytes, at most.
const OVERHEAD: usize = 512;

/// The limits of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefetch {
    /// Fetching pauses above this; in units of 1,000 bytes, as the client counts.
    kbytes: usize,
    /// Fetching pauses above this, too.
    messages: usize,
    /// The most that one fetch brings, after the last look at the two above.
    fetch: usize,
}

impl Prefetch {
    /// The client's own.
    const DEFAULT: Self = Self {
        kbytes: 65_536,
        messages: 100_000,
        fetch: 1_048_576,
    };

    /// What the user has set, else the client's own. `None` if the client will not accept it.
    fn told(settings: &Settings) -> Option<Self> {
        let told = |name, otherwise| {
            settings
                .get(name)
                .map_or(Some(otherwise), |text| text.parse().ok())
        };
        Some(Self {
            kbytes: told(KBYTES, Self::DEFAULT.kbytes)?,
            messages: told(MESSAGES, Self::DEFAULT.messages)?,
            fetch: told(FETCH, told(FETCH_ALIAS, Self::DEFAULT.fetch)?)?,
        })
    }

    /// The limits of each of so many partitions that together hold at most `bytes`, and none above what the user has set.
    fn within(self, bytes: usize, partitions: usize) -> Self {
        let share = bytes / partitions.max(1);
        let fetch = self.fetch.min(share / 2).max(1_024);
        Self {
            kbytes: self.kbytes.min(share.saturating_sub(fetch) / 1_000).max(1),
            messages: self.messages.min(share / OVERHEAD).max(1),
            fetch,
        }
    }
}

/// Sets the limits of each of so many partitions. `None`: the client has them already.
pub(crate) fn limit(
    config: &mut ClientConfig,
    settings: &Settings,
    bytes: usize,
    partitions: usize,
) -> Option<Prefetch> {
    let told = Prefetch::told(settings)?;
    let limits = told.within(bytes, partitions);
    if limits == told {
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

    /// What the client may hold of one partition.
    fn bytes(limits: Prefetch) -> usize {
        limits.kbytes * 1_000 + limits.fetch
    }

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
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
                bytes(limits) * partitions <= CAP,
                "{partitions}: {limits:?}"
            );
            assert!(limits.messages * OVERHEAD * partitions <= CAP, "{limits:?}");
        }
    }

    #[test]
    fn one_or_two_partitions_need_no_limit_below_the_clients() {
        for partitions in [0, 1, 2] {
            let mut config = ClientConfig::new();
            assert_eq!(limit(&mut config, &settings(&[]), CAP, partitions), None);
        }
    }

    #[test]
    fn what_the_user_has_set_is_only_lowered() {
        let small = settings(&[(KBYTES, "100"), (FETCH_ALIAS, "5000"), (MESSAGES, "10")]);
        let mut config = ClientConfig::new();
        assert_eq!(limit(&mut config, &small, CAP, 100), None);
        let large = settings(&[(KBYTES, "1000000"), (FETCH_ALIAS, "50000000")]);
        config.set(FETCH_ALIAS, "50000000");
        let limits = limit(&mut config, &large, CAP, 4).unwrap();
        assert!(bytes(limits) * 4 <= CAP);
        assert_eq!(config.get(FETCH_ALIAS), None, "one of the two names");
        assert_eq!(config.get(FETCH), Some("16777216"));
    }

    #[test]
    fn what_the_client_will_refuse_is_left_to_it() {
        let wrong = settings(&[(KBYTES, "many")]);
        assert_eq!(limit(&mut ClientConfig::new(), &wrong, CAP, 100), None);
    }
}
