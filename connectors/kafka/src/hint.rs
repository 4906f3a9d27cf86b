//! What to do about what the client complains of: which setting to look at, and how it stands.
//!
//! By the client's words, for its codes say less: one of them covers everything that may be wrong with TLS, and a wrong
//! `security.protocol` is a broken connection.

use crate::settings::{Settings, Side};

/// What to add to these words of the client; nothing where they say enough, or nothing is known.
pub(crate) fn advice(words: &str, settings: &Settings, side: Side) -> String {
    let says = |any: &[&str]| any.iter().any(|mark| words.contains(mark));
    let value = |names: &[&str], otherwise: &str| {
        let given = names.iter().find_map(|name| settings.get(name));
        given.map_or_else(|| otherwise.to_owned(), |given| format!("{given:?}"))
    };
    let mechanism = || value(&["sasl.mechanism", "sasl.mechanisms"], "not set");
    if says(&["certificate verify failed"]) {
        let authorities = value(&["ssl.ca.location"], "not set: those of the system");
        return format!(
            "; `ssl.ca.location` ({authorities}) has to hold the authority that signed the certificate, and unless \
             `ssl.endpoint.identification.algorithm` is \"none\" the host in `brokers` has to be a name that it is for"
        );
    }
    if says(&[
        "PLAINTEXT broker listener",
        "SSL listener",
        "wrong version number",
        "might require SASL",
        // The other side hung up at the first words, or at the first question.
        "in state SSL_HANDSHAKE",
        "in state APIVERSION_QUERY",
        "in state UP",
    ]) {
        let protocol = value(&["security.protocol"], "not set: plaintext");
        return format!(
            "; perhaps `security.protocol` ({protocol}) is not what is spoken at that port (TLS or not, SASL or not)"
        );
    }
    if says(&["nsupported SASL mechanism"]) {
        return format!("; set `sasl.mechanism` ({}) to one of those", mechanism());
    }
    if says(&["Authentication", "SASL"]) {
        let user = value(&["sasl.username"], "not set");
        return format!(
            "; check `sasl.username` ({user}), `sasl.password` (not shown) and `sasl.mechanism` ({})",
            mechanism()
        );
    }
    grant(words, side).to_owned()
}

/// The same where only a permission can be missing.
pub(crate) fn grant(words: &str, side: Side) -> &'static str {
    let says = |mark| words.contains(mark);
    match side {
        _ if says("Group authorization failed") => {
            "; grant READ on the group to whom this client logs in as"
        }
        Side::Source if says("Topic authorization failed") => {
            "; grant READ and DESCRIBE on the topic to whom this client logs in as"
        }
        Side::Publisher if says("Topic authorization failed") => {
            "; grant WRITE and DESCRIBE on the topic to whom this client logs in as"
        }
        Side::Publisher if says("Cluster authorization failed") => {
            "; grant IDEMPOTENT_WRITE on the cluster (since Kafka 2.8 WRITE on a topic is enough) to whom this client logs in as"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_named_with_its_value_but_a_secret_never() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("security.protocol", "ssl"),
            ("sasl.username", "billing"),
            ("sasl.password", "hush"),
        ] {
            settings.insert(name.to_owned(), value.to_owned());
        }
        let advice = |words| advice(words, &settings, Side::Source);
        assert!(advice("connecting to a PLAINTEXT broker listener?").contains("(\"ssl\")"));
        let login = advice("SASL authentication error: no");
        assert!(
            login.contains("\"billing\"") && login.contains("`sasl.password`"),
            "{login}"
        );
        assert!(!login.contains("hush"), "{login}");
        assert_eq!(advice("Connection refused"), "");
    }

    #[test]
    fn each_side_is_told_what_to_be_granted() {
        let settings = Settings::default();
        let advice = |side| advice("Broker: Topic authorization failed", &settings, side);
        assert!(advice(Side::Source).contains("READ"));
        assert!(advice(Side::Publisher).contains("WRITE"));
    }
}
