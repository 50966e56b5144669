//! TLS and SCRAM: the clients that are accepted, and the errors of the others.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use eddyline_connectors::kafka::{KafkaSink, SinkConfig};
use eddyline_connectors::sink::Sink;
use eddyline_connectors::{Error, TableDescriptor};
use eddyline_stream::CheckpointId;

use crate::broker::{Broker, TestRecord, USER, broker, io};
use crate::certificates::Authority;
use crate::table::{Folder, Reading, committed_values, open_sink, open_writer, rows, table, values};

/// A table whose clients log in as `user` over TLS and trust `authority`, with options written as for Flink.
fn scram(broker: &Broker, topic: &str, mechanism: &str, user: (&str, &str), authority: &Authority) -> TableDescriptor {
    let login = format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{}\" password=\"{}\";",
        user.0, user.1
    );
    let options = [
        ("properties.bootstrap.servers", &*broker.scram_address()),
        ("properties.security.protocol", "SASL_SSL"),
        ("properties.sasl.mechanism", mechanism),
        ("properties.sasl.jaas.config", &login),
        ("properties.ssl.truststore.type", "PEM"),
        ("properties.ssl.truststore.certificates", authority.certificate()),
        ("sink.delivery-guarantee", "exactly-once"),
    ];
    table(broker, topic, &options)
}

/// A table over TLS whose clients trust the broker's authority, with more options.
fn mutual(broker: &Broker, topic: &str, options: &[(&str, &str)]) -> TableDescriptor {
    let mut all = vec![
        ("properties.security.protocol", "SSL"),
        ("properties.ssl.truststore.type", "PEM"),
        ("properties.ssl.truststore.certificates", broker.authority().certificate()),
    ];
    let address = broker.mutual_address();
    all.push(("properties.bootstrap.servers", &address));
    all.extend(options);
    table(broker, topic, &all)
}

/// The error of opening a table for writing.
fn refused_sink(descriptor: TableDescriptor) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let config = SinkConfig::parse(&descriptor).expect("valid options");
    let staging = Arc::new(Folder(folder.path().to_owned()));
    match KafkaSink::open(config, descriptor, "sink", "job", staging) {
        Ok(_) => panic!("the sink is open"),
        Err(error) => error,
    }
}

/// Fails unless `error` ends a job and its message has all of `parts`.
fn assert_final(error: &Error, parts: &[&str]) {
    assert!(matches!(error, Error::Unavailable { retryable: false, .. }), "{error:?}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "no '{part}' in: {text}");
    }
}

#[test]
fn a_user_with_a_password_reads_and_writes_exactly_once_over_tls() {
    let broker = broker();
    let (input, output) = (broker.topic(1), broker.topic(1));
    broker.produce(&input, &[TestRecord::value(0, r#"{"id":1,"name":"a"}"#)]);
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut reading = Reading::start(scram(&broker, &input, mechanism, USER, broker.authority()));
        assert_eq!(reading.rows(1), ["1,a"], "{mechanism}");
    }
    let folder = tempfile::tempdir().unwrap();
    let sink = open_sink(scram(&broker, &output, "SCRAM-SHA-512", USER, broker.authority()), folder.path());
    let (mut writer, _bell) = open_writer(&sink, 0, 1);
    let mut committer = sink.committer(io().handle().clone()).unwrap().expect("a committer");
    writer.write(&rows(0..10)).unwrap();
    let staged = io().block_on(writer.prepare_commit(CheckpointId::new(1))).unwrap();
    assert!(committed_values(&broker, &output).is_empty());
    for _ in 0..2 {
        io().block_on(committer.commit(CheckpointId::new(1), &staged)).unwrap();
    }
    assert_eq!(committed_values(&broker, &output), values(0..10));
}

#[test]
fn a_client_with_a_certificate_gets_in_however_its_store_is_written() {
    let broker = broker();
    let topic = broker.topic(1);
    let (certificate, key) = broker.authority().client();
    let folder = tempfile::tempdir().unwrap();
    let both = folder.path().join("client.pem");
    std::fs::write(&both, format!("{key}{certificate}")).unwrap();
    let authorities = folder.path().join("ca.pem");
    std::fs::write(&authorities, broker.authority().certificate()).unwrap();
    let on_one_line = |pem: &str| pem.replace('\n', " ");
    let as_text = [
        ("properties.ssl.keystore.type", "PEM"),
        ("properties.ssl.keystore.certificate.chain", &*on_one_line(&certificate)),
        ("properties.ssl.keystore.key", &*on_one_line(&key)),
    ];
    let sink = open_sink(mutual(&broker, &topic, &as_text), folder.path());
    let (mut writer, _bell) = open_writer(&sink, 0, 1);
    writer.write(&rows(0..3)).unwrap();
    io().block_on(writer.prepare_commit(CheckpointId::new(1))).unwrap();

    let as_files = [
        ("properties.ssl.keystore.type", "PEM"),
        ("properties.ssl.keystore.location", both.to_str().unwrap()),
        ("properties.ssl.truststore.location", authorities.to_str().unwrap()),
    ];
    let mut from_files = mutual(&broker, &topic, &as_files);
    from_files.options.remove("properties.ssl.truststore.certificates");
    assert_eq!(Reading::start(from_files).rows(3), ["0,n0", "1,n1", "2,n2"]);
}

/// Converts a certificate and its key from PEM text to another file with `openssl`.
fn convert(pem: &str, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    let mut openssl = command.args(arguments).stdin(Stdio::piped()).spawn().expect("openssl is there");
    openssl.stdin.take().expect("a pipe").write_all(pem.as_bytes()).expect("openssl reads its input");
    assert!(openssl.wait().expect("openssl ends").success(), "openssl {arguments:?}");
}

#[test]
fn packed_stores_and_encrypted_keys_are_opened_with_their_passwords() {
    let broker = broker();
    let topic = broker.topic(1);
    broker.produce(&topic, &[TestRecord::value(0, r#"{"id":1,"name":"a"}"#)]);
    let (certificate, key) = broker.authority().client();
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("client.p12").into_os_string().into_string().unwrap();
    convert(&format!("{key}{certificate}"), &["pkcs12", "-export", "-passout", "pass:s3cret", "-out", &packed]);
    let packed = |password| {
        let options = [
            ("properties.ssl.keystore.type", "PKCS12"),
            ("properties.ssl.keystore.location", &*packed),
            ("properties.ssl.keystore.password", password),
        ];
        mutual(&broker, &topic, &options)
    };
    assert_eq!(Reading::start(packed("s3cret")).rows(1), ["1,a"]);
    assert_final(&refused_sink(packed("guessed")), &["'properties.ssl.keystore.password'"]);

    let encrypted = folder.path().join("client.key").into_os_string().into_string().unwrap();
    convert(&key, &["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:s3cret", "-out", &encrypted]);
    let encrypted = std::fs::read_to_string(encrypted).unwrap();
    let as_text = |password| {
        let options = [
            ("properties.ssl.keystore.type", "PEM"),
            ("properties.ssl.keystore.certificate.chain", &*certificate),
            ("properties.ssl.keystore.key", &*encrypted),
            ("properties.ssl.key.password", password),
        ];
        mutual(&broker, &topic, &options)
    };
    assert_eq!(Reading::start(as_text("s3cret")).rows(1), ["1,a"]);
    assert_final(&refused_sink(as_text("guessed")), &["'properties.ssl.key.password'"]);
}

#[test]
fn a_wrong_password_or_mechanism_ends_the_job_before_anything_runs() {
    let broker = broker();
    let topic = broker.topic(1);
    let wrong = scram(&broker, &topic, "SCRAM-SHA-256", (USER.0, "a-bad-password"), broker.authority());
    let address = broker.scram_address();
    let says = [&*address, "credentials with SASL mechanism SCRAM-SHA-256", "'properties.sasl.jaas.config'"];
    let error = Reading::open(wrong.clone()).discover().unwrap_err();
    assert_final(&error, &says);
    assert!(!error.to_string().contains("a-bad-password"), "{error}");
    assert_final(&refused_sink(wrong), &says);

    let mut plain = scram(&broker, &topic, "PLAIN", USER, broker.authority());
    plain.options.insert("properties.sasl.username".to_owned(), USER.0.to_owned());
    let error = Reading::open(plain).discover().unwrap_err();
    assert_final(&error, &[&address, "SCRAM-SHA-512", "'properties.sasl.mechanism'"]);
}

#[test]
fn a_reader_whose_password_is_refused_later_ends_the_attempt_so_that_the_next_one_reads_secrets_anew() {
    let broker = broker();
    let topic = broker.topic(1);
    let right = scram(&broker, &topic, "SCRAM-SHA-256", USER, broker.authority());
    let splits = Reading::start(right).reader.snapshot().unwrap();
    let wrong = scram(&broker, &topic, "SCRAM-SHA-256", (USER.0, "yesterdays"), broker.authority());
    let mut reading = Reading::open(wrong);
    reading.give(splits[0].clone());
    let error = reading.error();
    assert!(matches!(error, Error::Unavailable { retryable: true, .. }), "{error:?}");
    assert!(error.to_string().contains(&broker.scram_address()), "{error}");
}

#[test]
fn a_sink_whose_password_is_changed_while_it_runs_tells_that_and_not_only_a_timeout() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    broker.set_password(("rotated", "first"));
    let exact = scram(&broker, &topic, "SCRAM-SHA-256", ("rotated", "first"), broker.authority());
    let mut at_once = exact.clone();
    at_once.options.insert("sink.delivery-guarantee".to_owned(), "at-least-once".to_owned());
    at_once.options.insert("properties.message.timeout.ms".to_owned(), "3000".to_owned());
    let (exact, at_once) = (open_sink(exact, folder.path()), open_sink(at_once, folder.path()));
    let (mut staging, _bell) = open_writer(&exact, 0, 1);
    staging.write(&rows(0..3)).unwrap();
    let staged = io().block_on(staging.prepare_commit(CheckpointId::new(1))).unwrap();

    broker.set_password(("rotated", "second"));
    let says = [&*broker.scram_address(), "credentials", "'properties.sasl.jaas.config'"];
    let (mut writer, _bell) = open_writer(&at_once, 0, 1);
    writer.write(&rows(0..3)).unwrap();
    let unwritten = io().block_on(writer.prepare_commit(CheckpointId::new(1))).unwrap_err();
    let mut committer = exact.committer(io().handle().clone()).unwrap().expect("a committer");
    let uncommitted = io().block_on(committer.commit(CheckpointId::new(1), &staged)).unwrap_err();
    for error in [unwritten, uncommitted] {
        assert!(matches!(error, Error::Unavailable { retryable: true, .. }), "{error:?}");
        assert!(says.iter().all(|part| error.to_string().contains(part)), "{error}");
    }
}

#[test]
fn an_unknown_authority_ends_the_job_before_anything_runs() {
    let broker = broker();
    let topic = broker.topic(1);
    let stranger = Authority::new("authority of somebody else");
    let says = [&*broker.scram_address(), "certificate", "'properties.ssl.truststore.certificates'"];
    let distrusting = scram(&broker, &topic, "SCRAM-SHA-256", USER, &stranger);
    assert_final(&Reading::open(distrusting.clone()).discover().unwrap_err(), &says);
    assert_final(&refused_sink(distrusting), &says);
    // Without a trust store the system's authorities are trusted. This broker's authority is not among them.
    let mut system = scram(&broker, &topic, "SCRAM-SHA-256", USER, &stranger);
    system.options.retain(|option, _| !option.starts_with("properties.ssl.truststore."));
    assert_final(&Reading::open(system).discover().unwrap_err(), &says);
}

#[test]
fn a_client_without_a_certificate_that_the_broker_trusts_is_told_so() {
    let broker = broker();
    let topic = broker.topic(1);
    let address = broker.mutual_address();
    let says = [&*address, "'properties.ssl.keystore.certificate.chain'"];
    assert_final(&Reading::open(mutual(&broker, &topic, &[])).discover().unwrap_err(), &says);
    let (certificate, key) = Authority::new("authority of somebody else").client();
    let foreign = [
        ("properties.ssl.keystore.type", "PEM"),
        ("properties.ssl.keystore.certificate.chain", &*certificate),
        ("properties.ssl.keystore.key", &*key),
    ];
    assert_final(&refused_sink(mutual(&broker, &topic, &foreign)), &says);
}

#[test]
fn stores_that_cannot_be_read_are_named_without_their_content() {
    let broker = broker();
    let topic = broker.topic(1);
    let (certificate, key) = broker.authority().client();
    let damaged = key.replace("\nM", "\nX");
    let unreadable = [
        ("properties.ssl.keystore.type", "PEM"),
        ("properties.ssl.keystore.certificate.chain", &*certificate),
        ("properties.ssl.keystore.key", &*damaged),
    ];
    let error = refused_sink(mutual(&broker, &topic, &unreadable));
    assert_final(&error, &[&broker.mutual_address(), "'properties.ssl.keystore.key'"]);
    assert!(!error.to_string().contains(damaged.lines().nth(1).unwrap()), "{error}");
    let mut missing = mutual(&broker, &topic, &[("properties.ssl.truststore.location", "/no/such/ca.pem")]);
    missing.options.remove("properties.ssl.truststore.certificates");
    assert_final(&refused_sink(missing), &["'properties.ssl.truststore.location'"]);
}

#[test]
fn a_client_that_does_not_speak_the_brokers_protocol_is_told_what_to_check() {
    let broker = broker();
    let topic = broker.topic(1);
    let address = broker.scram_address();
    let plain = table(&broker, &topic, &[("properties.bootstrap.servers", &address)]);
    let mut over_tls = mutual(&broker, &topic, &[]);
    over_tls.options.insert("properties.bootstrap.servers".to_owned(), broker.address());
    // A broker that stops can give the same error, so the client waits, and the message names the error.
    std::thread::scope(|scope| {
        for (mut descriptor, address) in [(plain, address), (over_tls, broker.address())] {
            // This partitioner needs an answer of the broker when the table is opened.
            descriptor.options.insert("sink.partitioner".to_owned(), "fixed".to_owned());
            scope.spawn(move || {
                let error = refused_sink(descriptor);
                let text = error.to_string();
                assert!(matches!(error, Error::Unavailable { retryable: true, .. }), "{text}");
                assert!(text.contains(&address) && text.contains("'properties.security.protocol'"), "{text}");
            });
        }
    });
}
