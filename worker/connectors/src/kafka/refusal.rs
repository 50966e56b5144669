//! Interprets librdkafka's texts about a failed connection, with a remedy for the user.
//!
//! librdkafka's error codes are too coarse for that (a broker that stops during a handshake and one that refuses the
//! password may have the same code), so its texts are read here. They belong to the version in `Cargo.lock`; the tests
//! against a real broker fail when a new version says it differently.

/// Why a broker and this client cannot connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The broker does not offer the SASL mechanism.
    Mechanism,
    /// The broker refuses user name and password.
    Credentials,
    /// The broker's certificate is not signed by a trusted authority, or is not for this host.
    BrokerCertificate,
    /// The broker wants a client certificate, or another one.
    ClientCertificate,
    /// Both sides use TLS, but the handshake failed.
    Handshake,
    /// One side uses TLS or SASL and the other does not. A broker that stops can look the same.
    Protocol,
}

/// Parts of librdkafka's texts, in the order in which they are looked for.
const TEXTS: [(&str, Refusal); 17] = [
    ("mechanism handshake failed", Refusal::Mechanism),
    ("SASL authentication", Refusal::Credentials),
    ("certificate could not be verified", Refusal::BrokerCertificate),
    ("certificate verify failed", Refusal::BrokerCertificate),
    ("Failed to verify broker certificate", Refusal::BrokerCertificate),
    ("did not provide a certificate", Refusal::BrokerCertificate),
    ("alert certificate", Refusal::ClientCertificate),
    ("alert bad certificate", Refusal::ClientCertificate),
    ("alert unknown ca", Refusal::ClientCertificate),
    ("client SSL authentication might be required", Refusal::ClientCertificate),
    ("broker listener?", Refusal::Protocol),
    ("SSL listener?", Refusal::Protocol),
    ("security.protocol is correctly configured", Refusal::Protocol),
    // A TLS alert as seen by a client without TLS, and plain text as seen by a client with TLS.
    ("Invalid response size", Refusal::Protocol),
    ("wrong version number", Refusal::Protocol),
    ("SSL handshake failed: error:", Refusal::Handshake),
    // The broker has not answered the first request: it closed the connection, or sent something else.
    ("in state APIVERSION_QUERY", Refusal::Protocol),
];

/// A connection that broke or timed out, for any reason: the broker may be back soon.
const PASSING: [&str; 4] = ["Broker transport failure", "timed out", "Timed out", "hung up"];

impl Refusal {
    /// The refusal that a text of librdkafka reports, if any.
    pub fn of(text: &str) -> Option<Self> {
        if PASSING.iter().any(|passing| text.contains(passing)) {
            return None;
        }
        let found = TEXTS.iter().find(|(part, _)| text.contains(part));
        found.map(|(_, refusal)| *refusal)
    }

    /// Whether waiting cannot help.
    pub fn is_final(self) -> bool {
        self != Self::Protocol
    }

    /// What to do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Mechanism => "set 'properties.sasl.mechanism' to one that the brokers offer",
            Self::Credentials => {
                "check user name and password ('properties.sasl.jaas.config', or 'properties.sasl.username' and \
                 'properties.sasl.password') and that the user has credentials for 'properties.sasl.mechanism'"
            }
            Self::BrokerCertificate => {
                "trust the authority that signed the brokers' certificates ('properties.ssl.truststore.type' = 'PEM' with \
                 'properties.ssl.truststore.certificates' or 'properties.ssl.truststore.location'), and name the brokers in \
                 'properties.bootstrap.servers' as their certificates do"
            }
            Self::ClientCertificate => {
                "give a client certificate that the brokers trust ('properties.ssl.keystore.type' = 'PEM' with \
                 'properties.ssl.keystore.certificate.chain' and 'properties.ssl.keystore.key')"
            }
            Self::Handshake => "check that client and brokers have a TLS version and certificates in common",
            Self::Protocol => "check that 'properties.security.protocol' is that of the brokers' listener",
        }
    }
}

/// What to do about a client that could not be made, by what librdkafka says about it.
pub fn advice_on_configuration(text: &str) -> Option<&'static str> {
    const ADVICE: [(&str, &str); 4] = [
        (
            "ssl.ca.",
            "check 'properties.ssl.truststore.location' or 'properties.ssl.truststore.certificates': the authorities' \
             certificates as PEM",
        ),
        (
            "ssl.certificate.",
            "check 'properties.ssl.keystore.location' or 'properties.ssl.keystore.certificate.chain': certificates as PEM, \
             the client's first",
        ),
        (
            "ssl.key.",
            "check 'properties.ssl.keystore.location' or 'properties.ssl.keystore.key', a private key as PEM, and \
             'properties.ssl.key.password' if it is encrypted",
        ),
        (
            "ssl.keystore.",
            "check 'properties.ssl.keystore.location', a PKCS12 file, and 'properties.ssl.keystore.password'",
        ),
    ];
    ADVICE.iter().find(|(part, _)| text.contains(part)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_password_is_not_a_lost_connection() {
        let refused = "sasl_ssl://b:9093/bootstrap: SASL authentication error: Authentication failed during authentication \
                       due to invalid credentials with SASL mechanism SCRAM-SHA-256 (after 5ms in state AUTH_REQ)";
        assert_eq!(Refusal::of(refused), Some(Refusal::Credentials));
        let lost = "sasl_ssl://b:9093/1: SASL authentication error: SaslAuthenticateRequest failed: Local: Broker transport \
                    failure (after 2ms in state AUTH_REQ)";
        assert_eq!(Refusal::of(lost), None);
        assert_eq!(Refusal::of("b:9093/1: Connect to ipv4#10.0.0.1:9093 failed: Connection refused"), None);
    }

    #[test]
    fn a_wrong_protocol_may_be_a_broker_that_stops() {
        let plain =
            "ssl://b:9092/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?";
        assert_eq!(Refusal::of(plain), Some(Refusal::Protocol));
        assert!(!Refusal::Protocol.is_final() && Refusal::BrokerCertificate.is_final());
    }

    #[test]
    fn a_client_that_cannot_be_made_is_explained_by_the_options_behind_it() {
        let advice = advice_on_configuration("ssl.key.pem failed: not in PEM format?: error:1C800064").unwrap();
        assert!(advice.contains("'properties.ssl.key.password'"), "{advice}");
        assert_eq!(advice_on_configuration("no memory"), None);
    }
}
