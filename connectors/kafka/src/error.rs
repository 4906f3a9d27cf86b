//! Errors of librdkafka as [`ConnectorError`]s: the kind of each, and what to do about it.
//!
//! Advice goes by librdkafka's text rather than its code, because the codes are coarse: one code covers every TLS fault, and a wrong
//! `security.protocol` appears as a broken connection.

use broadway_core::connector::{ConnectorError, ConnectorErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::settings::{ClientRole, ClientSettings, is_secret};

/// The kind of an error with this code.
pub(crate) fn kind_of(code: RDKafkaErrorCode) -> ConnectorErrorKind {
    match code {
        RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::SaslAuthenticationFailed
        | RDKafkaErrorCode::UnsupportedSASLMechanism
        | RDKafkaErrorCode::IllegalSASLState
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::GroupAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => ConnectorErrorKind::Auth,
        RDKafkaErrorCode::SSL
        | RDKafkaErrorCode::InvalidGroupId
        | RDKafkaErrorCode::InconsistentGroupProtocol
        | RDKafkaErrorCode::InvalidSessionTimeout
        | RDKafkaErrorCode::Fatal
        | RDKafkaErrorCode::FencedInstanceId
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::InvalidTopic
        | RDKafkaErrorCode::InvalidArgument
        | RDKafkaErrorCode::InvalidConfig
        | RDKafkaErrorCode::InvalidPartitions
        | RDKafkaErrorCode::InvalidReplicationFactor
        | RDKafkaErrorCode::PolicyViolation => ConnectorErrorKind::Permanent,
        _ => ConnectorErrorKind::Transient,
    }
}

/// The kind of an error of the client; without a code it is about the settings or the call, so it repeats.
pub(crate) fn kind_of_error(error: &KafkaError) -> ConnectorErrorKind {
    error
        .rdkafka_error_code()
        .map_or(ConnectorErrorKind::Permanent, kind_of)
}

/// Whether the broker denies the request, so that `open` fails at once instead of retrying until its timeout.
///
/// Narrower than [`kind_of`]: an unknown topic may have been created a moment ago, so `open` retries a while before it fails.
pub(crate) fn is_denial(code: RDKafkaErrorCode) -> bool {
    kind_of(code) == ConnectorErrorKind::Auth
        || matches!(
            code,
            RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::InvalidGroupId
                | RDKafkaErrorCode::InconsistentGroupProtocol
                | RDKafkaErrorCode::InvalidSessionTimeout
                | RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::FencedInstanceId
        )
}

/// The settings that the client rejects. Never shows the value of a secret.
pub(crate) fn rejected_settings(error: &KafkaError, settings: &ClientSettings) -> ConnectorError {
    ConnectorError::permanent(match error {
        KafkaError::ClientConfig(_, why, name, _) if is_secret(name) => {
            // The reason may quote the value, except when it is that this build lacks a feature.
            let is_lacking = why.contains("not supported in this build");
            let why = if is_lacking { why } else { "not shown here" };
            format!("the Kafka client does not accept the value of the setting `{name}` ({why})")
        }
        KafkaError::ClientConfig(_, why, name, value) => {
            format!("the Kafka client does not accept the setting `{name}` = {value:?}: {why}")
        }
        KafkaError::ClientCreation(why) => {
            let mut text = format!("the Kafka client does not accept the settings: {why}");
            let named = settings
                .iter()
                .filter(|(name, _)| why.contains(name) && !is_secret(name));
            for (name, value) in named {
                text.push_str(&format!("; `{name}` = {value:?}"));
            }
            text
        }
        other => format!("cannot create a Kafka client: {other}"),
    })
}

/// What to do about an error with this text, as the end of an error text. Empty if the text is enough, or if nothing is known to help.
pub(crate) fn help(text: &str, settings: &ClientSettings, role: ClientRole) -> String {
    let mentions = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
    let value = |names: &[&str], otherwise: &str| {
        let given = names.iter().find_map(|name| settings.get(name));
        given.map_or_else(|| otherwise.to_owned(), |given| format!("{given:?}"))
    };
    let mechanism = || value(&["sasl.mechanism", "sasl.mechanisms"], "not set");
    if mentions(&["certificate verify failed"]) {
        let authorities = value(&["ssl.ca.location"], "not set: the system's authorities");
        return format!(
            "; `ssl.ca.location` ({authorities}) must contain the authority that signed the certificate, and the certificate must \
             name the host in `brokers`, unless `ssl.endpoint.identification.algorithm` is \"none\""
        );
    }
    if mentions(&[
        "PLAINTEXT broker listener",
        "SSL listener",
        "wrong version number",
        "might require SASL",
        // The broker closed the connection during the handshake, or at the first request.
        "in state SSL_HANDSHAKE",
        "in state APIVERSION_QUERY",
        "in state UP",
    ]) {
        let protocol = value(&["security.protocol"], "not set: plaintext");
        return format!(
            "; `security.protocol` ({protocol}) may not match the listener at that port (TLS or not, SASL or not)"
        );
    }
    if mentions(&["nsupported SASL mechanism"]) {
        return format!("; set `sasl.mechanism` ({}) to one of those", mechanism());
    }
    if mentions(&["Authentication", "SASL"]) {
        let user = value(&["sasl.username"], "not set");
        return format!(
            "; check `sasl.username` ({user}), `sasl.password` (not shown) and `sasl.mechanism` ({})",
            mechanism()
        );
    }
    permission_help(text, role).to_owned()
}

/// [`help`] for errors that only a missing permission causes.
pub(crate) fn permission_help(text: &str, role: ClientRole) -> &'static str {
    let mentions = |mark| text.contains(mark);
    match role {
        _ if mentions("Group authorization failed") => {
            "; grant READ on the group to this client's principal"
        }
        ClientRole::Source if mentions("Topic authorization failed") => {
            "; grant READ and DESCRIBE on the topic to this client's principal"
        }
        ClientRole::Publisher if mentions("Topic authorization failed") => {
            "; grant WRITE and DESCRIBE on the topic to this client's principal"
        }
        ClientRole::Publisher if mentions("Cluster authorization failed") => {
            "; grant IDEMPOTENT_WRITE on the cluster to this client's principal (since Kafka 2.8, WRITE on a topic is enough)"
        }
        _ => "",
    }
}

/// What to do about a topic that the broker does not create, as the end of an error text.
pub(crate) fn create_topic_help(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "; grant CREATE on the topic or on the cluster to this client's principal, or create the topic by hand"
        }
        RDKafkaErrorCode::InvalidReplicationFactor => {
            "; set `NewTopic::replication` to at least 1 and at most the number of brokers"
        }
        RDKafkaErrorCode::InvalidPartitions => {
            "; set `NewTopic::partitions` to a number that the cluster allows"
        }
        RDKafkaErrorCode::InvalidConfig => "; check the settings given to `NewTopic::set`",
        RDKafkaErrorCode::InvalidTopic => "; correct the name",
        RDKafkaErrorCode::PolicyViolation => {
            "; the cluster has a policy for new topics: comply with it, or ask the cluster's operators to create the topic"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_the_setting_and_its_value_but_never_a_secret() {
        let mut settings = ClientSettings::default();
        for (name, value) in [
            ("security.protocol", "ssl"),
            ("sasl.username", "billing"),
            ("sasl.password", "hush"),
        ] {
            settings.insert(name.to_owned(), value.to_owned());
        }
        let help = |text| help(text, &settings, ClientRole::Source);
        assert!(help("connecting to a PLAINTEXT broker listener?").contains("(\"ssl\")"));
        let login = help("SASL authentication error: no");
        assert!(
            login.contains("\"billing\"") && login.contains("`sasl.password`"),
            "{login}"
        );
        assert!(!login.contains("hush"), "{login}");
        assert_eq!(help("Connection refused"), "");
    }

    #[test]
    fn help_names_the_permissions_that_each_role_needs() {
        let settings = ClientSettings::default();
        let help = |role| help("Broker: Topic authorization failed", &settings, role);
        assert!(help(ClientRole::Source).contains("READ"));
        assert!(help(ClientRole::Publisher).contains("WRITE"));
    }

    #[test]
    fn every_denial_is_an_error_that_does_not_pass() {
        for code in [
            RDKafkaErrorCode::Authentication,
            RDKafkaErrorCode::GroupAuthorizationFailed,
            RDKafkaErrorCode::SSL,
            RDKafkaErrorCode::FencedInstanceId,
        ] {
            assert!(is_denial(code));
            assert_ne!(kind_of(code), ConnectorErrorKind::Transient, "{code:?}");
        }
        assert!(!is_denial(RDKafkaErrorCode::UnknownTopicOrPartition));
        assert_eq!(
            kind_of(RDKafkaErrorCode::BrokerTransportFailure),
            ConnectorErrorKind::Transient
        );
    }
}
