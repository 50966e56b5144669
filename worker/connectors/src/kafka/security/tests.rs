use super::*;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nQg==\n-----END PRIVATE KEY-----\n";

type Properties<'a> = &'a [(&'a str, &'a str)];

fn of(properties: Properties<'_>) -> Result<Vec<(String, String)>, OptionError> {
    let java = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    translate(&java).map(|own| own.into_iter().collect())
}

/// What becomes of properties, without the protocol.
fn over_tls(properties: Properties<'_>) -> Result<Vec<(String, String)>, OptionError> {
    let mut all = properties.to_vec();
    all.push(("security.protocol", "SSL"));
    let mut own = of(&all)?;
    own.retain(|(name, _)| name != "security.protocol");
    Ok(own)
}

fn owned(properties: Properties<'_>) -> Vec<(String, String)> {
    properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_systems_authorities_are_trusted_unless_the_table_names_others() {
    assert_eq!(over_tls(&[]).unwrap(), owned(&[("ssl.ca.location", "probe")]));
    let own_file = over_tls(&[("ssl.ca.location", "/ca.pem")]).unwrap();
    assert_eq!(own_file, owned(&[("ssl.ca.location", "/ca.pem")]));
    let as_text = over_tls(&[("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", CERTIFICATE)]).unwrap();
    assert_eq!(as_text, owned(&[("ssl.ca.pem", CERTIFICATE)]));
    let as_file = over_tls(&[("ssl.truststore.type", "pem"), ("ssl.truststore.location", "/ca.pem")]).unwrap();
    assert_eq!(as_file, own_file);
    assert_eq!(of(&[("security.protocol", "plaintext")]).unwrap(), owned(&[("security.protocol", "PLAINTEXT")]));
}

#[test]
fn scram_over_tls_is_written_as_in_flink() {
    let jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"u\" password=\"p\";";
    let own = of(&[
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.jaas.config", jaas),
        ("ssl.endpoint.identification.algorithm", ""),
    ]);
    let expected = [
        ("sasl.mechanisms", "SCRAM-SHA-512"),
        ("sasl.password", "p"),
        ("sasl.username", "u"),
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", "probe"),
        ("ssl.endpoint.identification.algorithm", "none"),
    ];
    assert_eq!(own.unwrap(), owned(&expected));
}

#[test]
fn key_stores_are_pem_or_pkcs12() {
    let text = [
        ("ssl.ca.location", "/ca.pem"),
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.certificate.chain", CERTIFICATE),
        ("ssl.keystore.key", KEY),
        ("ssl.key.password", "k"),
    ];
    let expected = [
        ("ssl.ca.location", "/ca.pem"),
        ("ssl.certificate.pem", CERTIFICATE),
        ("ssl.key.password", "k"),
        ("ssl.key.pem", KEY),
    ];
    assert_eq!(over_tls(&text).unwrap(), owned(&expected));
    let file = [("ssl.keystore.type", "PEM"), ("ssl.keystore.location", "/both.pem")];
    let found = over_tls(&file).unwrap();
    assert!(found.contains(&("ssl.certificate.location".to_owned(), "/both.pem".to_owned())), "{found:?}");
    assert!(found.contains(&("ssl.key.location".to_owned(), "/both.pem".to_owned())), "{found:?}");
    let packed = [("ssl.keystore.type", "PKCS12"), ("ssl.keystore.location", "/k.p12"), ("ssl.keystore.password", "s")];
    let found = over_tls(&packed).unwrap();
    assert!(found.contains(&("ssl.keystore.location".to_owned(), "/k.p12".to_owned())), "{found:?}");
    assert!(found.contains(&("ssl.keystore.password".to_owned(), "s".to_owned())), "{found:?}");
}

#[test]
fn references_are_taken_as_they_are() {
    let reference = "${secret:kafka/value}";
    let own = of(&[
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", reference),
        ("sasl.jaas.config", reference),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.certificates", reference),
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.certificate.chain", reference),
        ("ssl.keystore.key", reference),
    ]);
    assert_eq!(own.unwrap().iter().filter(|(_, value)| value == reference).count(), 6);
}

#[test]
fn what_cannot_work_is_refused_by_name_with_what_to_do_and_without_the_value() {
    let cases: &[(Properties<'_>, &str, &str)] = &[
        (&[("ssl.truststore.location", "topsecret.jks")], "ssl.truststore.location", "'PEM'"),
        (&[("ssl.truststore.type", "JKS"), ("ssl.truststore.location", "a")], "ssl.truststore.type", "keytool"),
        (&[("ssl.truststore.type", "PKCS12"), ("ssl.truststore.location", "a")], "ssl.truststore.type", "openssl"),
        (&[("ssl.truststore.type", "PEM")], "ssl.truststore.type", "ssl.truststore.certificates"),
        (
            &[("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", "topsecret")],
            "ssl.truststore.certificates",
            "-----BEGIN",
        ),
        (
            &[
                ("ssl.truststore.type", "PEM"),
                ("ssl.truststore.location", "a"),
                ("ssl.truststore.password", "topsecret"),
            ],
            "ssl.truststore.password",
            "leave it out",
        ),
        (&[("ssl.keystore.location", "a.jks")], "ssl.keystore.location", "'PKCS12'"),
        (&[("ssl.keystore.type", "JKS"), ("ssl.keystore.location", "a.jks")], "ssl.keystore.type", "-importkeystore"),
        (
            &[("ssl.keystore.type", "PEM"), ("ssl.keystore.key", KEY)],
            "ssl.keystore.type",
            "ssl.keystore.certificate.chain",
        ),
        (&[("ssl.keystore.type", "PKCS12"), ("ssl.keystore.key", KEY)], "ssl.keystore.type", "ssl.keystore.location"),
        (&[("ssl.key.pem", "topsecret")], "ssl.key.pem", "-----BEGIN"),
        (&[("security.protocol", "TLS")], "security.protocol", "SASL_SSL"),
        (&[("sasl.mechanism", "GSSAPI")], "sasl.mechanism", "SCRAM-SHA-512"),
        (&[("security.protocol", "SASL_SSL")], "security.protocol", "properties.sasl.mechanism"),
        (
            &[("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN"), ("sasl.password", "topsecret")],
            "security.protocol",
            "properties.sasl.username",
        ),
        (&[("sasl.jaas.config", "Krb5LoginModule required;")], "sasl.jaas.config", "ScramLoginModule"),
    ];
    for (properties, name, says) in cases {
        let error = of(properties).unwrap_err();
        assert_eq!(error.key, Some(format!("properties.{name}")), "{error}");
        assert!(error.message.contains(says) && !error.message.contains("topsecret"), "{error}");
    }
}
