//! References to Secrets in SQL: `${secret:NAME/KEY}`.

/// A key of a Secret in the job's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretKey {
    /// The Secret's name.
    pub name: String,
    /// The key in the Secret.
    pub key: String,
}

const OPEN: &str = "${secret:";

/// Whether a text is a name of a Secret or of its key: as Kubernetes allows, and without paths out of a folder.
fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text != "." && text != ".." && text.bytes().all(is_allowed)
}

fn parse(inner: &str) -> Result<SecretKey, String> {
    match inner.split_once('/') {
        Some((name, key)) if is_name(name) && is_name(key) => {
            Ok(SecretKey { name: name.to_owned(), key: key.to_owned() })
        }
        _ => Err(format!("'{OPEN}{inner}}}' is no reference to a Secret; write ${{secret:NAME/KEY}}")),
    }
}

/// A text in which `resolve` gives the value of every reference.
///
/// # Errors
/// When a text begins like a reference but is none, and when `resolve` fails.
pub fn replace(text: &str, mut resolve: impl FnMut(&SecretKey) -> Result<String, String>) -> Result<String, String> {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (inner, behind) = after
            .split_once('}')
            .ok_or_else(|| format!("'{OPEN}' has no closing brace; write ${{secret:NAME/KEY}}"))?;
        replaced.push_str(before);
        replaced.push_str(&resolve(&parse(inner)?)?);
        rest = behind;
    }
    replaced.push_str(rest);
    Ok(replaced)
}

/// The references in a text, such as a whole script. Each once, in order.
///
/// # Errors
/// When a text begins like a reference but is none.
pub fn references(text: &str) -> Result<Vec<SecretKey>, String> {
    let mut found = std::collections::BTreeSet::new();
    replace(text, |secret| {
        found.insert(secret.clone());
        Ok(String::new())
    })?;
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_and_replaced() {
        let text = "'a' = '${secret:kafka-creds/password}', 'b' = 'x${secret:s3/AWS.key}y${secret:s3/AWS.key}'";
        let found = references(text).expect("references");
        let shown: Vec<String> = found.iter().map(|secret| format!("{}:{}", secret.name, secret.key)).collect();
        assert_eq!(shown, ["kafka-creds:password", "s3:AWS.key"]);
        let replaced = replace(text, |secret| Ok(secret.key.to_uppercase())).expect("resolved");
        assert_eq!(replaced, "'a' = 'PASSWORD', 'b' = 'xAWS.KEYyAWS.KEY'");
    }

    #[test]
    fn what_only_looks_like_a_reference_is_refused() {
        for text in
            ["${secret:", "${secret:a}", "${secret:a/}", "${secret:/b}", "${secret:../etc/passwd}", "${secret:../x}"]
        {
            assert!(references(text).is_err(), "{text}");
        }
        assert_eq!(references("${other:a/b} $x {secret:a/b}").expect("no reference"), []);
    }
}
