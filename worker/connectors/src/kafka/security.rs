//! TLS and SASL: `security.protocol`, `ssl.*` and `sasl.*` of Kafka's Java clients in librdkafka's terms.
//!
//! Of Java's stores, PEM (text or file) and PKCS12 key stores are supported; JKS is not. Everything that can be checked
//! without a broker is checked when the job is planned. At that time a value may be a reference to a Secret. It is
//! checked when the worker has replaced it by the value.

mod jaas;
mod pem;

use std::collections::BTreeMap;

use crate::OptionError;

/// The mechanisms that this build of librdkafka supports and that need only a user and a password.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// Where librdkafka should look for the system's authorities. OpenSSL is linked statically and does not know that.
const SYSTEM_AUTHORITIES: &str = "probe";

/// Whether a property of the Java clients is translated here.
pub fn is_security(name: &str) -> bool {
    name == "security.protocol" || name.starts_with("ssl.") || name.starts_with("sasl.")
}

/// Whether a value contains a reference that only the worker resolves.
fn is_reference(value: &str) -> bool {
    value.contains("${secret:")
}

/// Properties of librdkafka, for consumers and producers alike. Takes from `java` only what [`is_security`].
///
/// # Errors
/// Names the property that cannot work here, and what to use instead.
pub fn translate(java: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, OptionError> {
    let mut own = BTreeMap::new();
    trust_store(java, &mut own)?;
    key_store(java, &mut own)?;
    for (name, value) in java.iter().filter(|(name, _)| is_security(name)) {
        match name.as_str() {
            "security.protocol" => {
                own.insert(name.clone(), one_of(name, value, &PROTOCOLS)?);
            }
            "sasl.mechanism" | "sasl.mechanisms" => {
                own.insert("sasl.mechanisms".to_owned(), one_of(name, value, &MECHANISMS)?);
            }
            "sasl.jaas.config" => {
                let login = jaas::parse(value).map_err(|reason| refused(name, &reason))?;
                own.insert("sasl.username".to_owned(), login.username);
                own.insert("sasl.password".to_owned(), login.password);
            }
            "ssl.endpoint.identification.algorithm" if value.trim().is_empty() => {
                own.insert(name.clone(), "none".to_owned());
            }
            "ssl.ca.pem" | "ssl.certificate.pem" | "ssl.key.pem" => {
                own.insert(name.clone(), pem_text(name, value)?);
            }
            _ if name.starts_with("ssl.truststore.") || name.starts_with("ssl.keystore.") => {}
            _ => {
                own.insert(name.clone(), value.clone());
            }
        }
    }
    complete(&mut own)?;
    Ok(own)
}

/// Checks properties that depend on each other, and sets the system's authorities if the table sets none.
fn complete(own: &mut BTreeMap<String, String>) -> Result<(), OptionError> {
    let protocol = own.get("security.protocol").cloned().unwrap_or_default();
    if protocol.starts_with("SASL_") {
        if !own.contains_key("sasl.mechanisms") {
            let message = format!(
                "'properties.security.protocol' = '{protocol}' needs 'properties.sasl.mechanism': {}",
                MECHANISMS.join(", ")
            );
            return Err(OptionError::of("properties.security.protocol", message));
        }
        if !own.contains_key("sasl.username") || !own.contains_key("sasl.password") {
            let message = format!(
                "'properties.security.protocol' = '{protocol}' needs 'properties.sasl.jaas.config', or \
                 'properties.sasl.username' and 'properties.sasl.password'"
            );
            return Err(OptionError::of("properties.security.protocol", message));
        }
    }
    let has_authorities = own.contains_key("ssl.ca.location") || own.contains_key("ssl.ca.pem");
    if matches!(protocol.as_str(), "SSL" | "SASL_SSL") && !has_authorities {
        own.insert("ssl.ca.location".to_owned(), SYSTEM_AUTHORITIES.to_owned());
    }
    Ok(())
}

/// Whose certificates to trust.
fn trust_store(java: &BTreeMap<String, String>, own: &mut BTreeMap<String, String>) -> Result<(), OptionError> {
    let Some(kind) = store_kind(java, "ssl.truststore.")? else { return Ok(()) };
    if kind != "PEM" {
        return Err(refused(
            "ssl.truststore.type",
            &format!(
                "a trust store of type {kind} is not supported. Set it to 'PEM', with the certificates in \
                 'properties.ssl.truststore.certificates' or their file in 'properties.ssl.truststore.location'; {}",
                if kind == "PKCS12" {
                    "'openssl pkcs12 -in store.p12 -nokeys -out ca.pem' writes it"
                } else {
                    "'keytool -exportcert -rfc -keystore store.jks -alias …' writes a certificate as PEM"
                }
            ),
        ));
    }
    if java.contains_key("ssl.truststore.password") {
        return Err(refused("ssl.truststore.password", "a PEM trust store has no password; leave it out"));
    }
    match (java.get("ssl.truststore.certificates"), java.get("ssl.truststore.location")) {
        (Some(_), Some(_)) => Err(refused(
            "ssl.truststore.location",
            "'properties.ssl.truststore.certificates' is already set; give only one of them",
        )),
        (Some(text), None) => {
            own.insert("ssl.ca.pem".to_owned(), pem_text("ssl.truststore.certificates", text)?);
            Ok(())
        }
        (None, Some(file)) => {
            own.insert("ssl.ca.location".to_owned(), file.clone());
            Ok(())
        }
        (None, None) => Err(refused(
            "ssl.truststore.type",
            "it needs 'properties.ssl.truststore.certificates' or 'properties.ssl.truststore.location'",
        )),
    }
}

/// The client's own certificate and key.
fn key_store(java: &BTreeMap<String, String>, own: &mut BTreeMap<String, String>) -> Result<(), OptionError> {
    let Some(kind) = store_kind(java, "ssl.keystore.")? else { return Ok(()) };
    let get = |name: &str| java.get(&format!("ssl.keystore.{name}"));
    let (chain, key, file, password) = (get("certificate.chain"), get("key"), get("location"), get("password"));
    match (kind.as_str(), chain, key, file) {
        ("PEM", ..) if password.is_some() => Err(refused(
            "ssl.keystore.password",
            "a PEM key store has no password; that of its key is 'properties.ssl.key.password'",
        )),
        ("PEM", Some(chain), Some(key), None) => {
            own.insert("ssl.certificate.pem".to_owned(), pem_text("ssl.keystore.certificate.chain", chain)?);
            own.insert("ssl.key.pem".to_owned(), pem_text("ssl.keystore.key", key)?);
            Ok(())
        }
        ("PEM", None, None, Some(file)) => {
            own.insert("ssl.certificate.location".to_owned(), file.clone());
            own.insert("ssl.key.location".to_owned(), file.clone());
            Ok(())
        }
        ("PEM", ..) => Err(refused(
            "ssl.keystore.type",
            "it needs both 'properties.ssl.keystore.certificate.chain' and 'properties.ssl.keystore.key', or \
             'properties.ssl.keystore.location' alone: a PEM file with both",
        )),
        ("PKCS12", None, None, Some(file)) => {
            own.insert("ssl.keystore.location".to_owned(), file.clone());
            own.extend(password.map(|password| ("ssl.keystore.password".to_owned(), password.clone())));
            Ok(())
        }
        ("PKCS12", ..) => Err(refused(
            "ssl.keystore.type",
            "a PKCS12 key store is a file: name it in 'properties.ssl.keystore.location'; certificate and key as text need \
             the type 'PEM'",
        )),
        _ => Err(refused(
            "ssl.keystore.type",
            &format!(
                "a key store of type {kind} is not supported. Set it to 'PKCS12' or 'PEM' after 'keytool -importkeystore \
                 -srckeystore store.jks -destkeystore store.p12 -deststoretype PKCS12'"
            ),
        )),
    }
}

/// The type of a store, in capitals. `None` if the table has no such store.
fn store_kind(java: &BTreeMap<String, String>, prefix: &str) -> Result<Option<String>, OptionError> {
    let Some((first, _)) = java.iter().find(|(name, _)| name.starts_with(prefix)) else { return Ok(None) };
    match java.get(&format!("{prefix}type")) {
        Some(kind) => Ok(Some(kind.trim().to_ascii_uppercase())),
        None => Err(refused(
            first,
            &format!(
                "without 'properties.{prefix}type' the store has the type JKS, which is not supported. Set the type to {}",
                if prefix == "ssl.keystore." { "'PEM' or 'PKCS12'" } else { "'PEM'" }
            ),
        )),
    }
}

fn pem_text(name: &str, value: &str) -> Result<String, OptionError> {
    if is_reference(value) {
        return Ok(value.to_owned());
    }
    pem::lines(value).ok_or_else(|| refused(name, "expected PEM text, '-----BEGIN …-----' to '-----END …-----'"))
}

fn one_of(name: &str, value: &str, known: &[&str]) -> Result<String, OptionError> {
    let wanted = value.trim().to_ascii_uppercase();
    if is_reference(value) || known.contains(&wanted.as_str()) {
        return Ok(if is_reference(value) { value.to_owned() } else { wanted });
    }
    Err(refused(name, &format!("'{value}' is not one of {}", known.join(", "))))
}

/// The error of a property. It must not contain the value, which may be a secret.
fn refused(name: &str, reason: &str) -> OptionError {
    let key = format!("properties.{name}");
    OptionError::of(&key, format!("'{key}': {reason}"))
}

#[cfg(test)]
mod tests;
