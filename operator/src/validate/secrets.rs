//! References to Secrets in SQL: `${secret:NAME/KEY}`. Only the worker resolves them.

/// A key of a Secret that the SQL refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The Secret.
    pub secret: String,
    /// Its key.
    pub key: String,
}

const BEGIN: &str = "${secret:";

/// All references of a script.
///
/// # Errors
/// A malformed reference, with its line and column.
pub fn references(sql: &str) -> Result<Vec<Reference>, String> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(start) = rest.find(BEGIN) {
        let offset = sql.len() - rest.len() + start;
        let after = &rest[start + BEGIN.len()..];
        let body = after.split_once('}').map(|(body, _)| body).filter(|body| !body.contains('\n'));
        let reference = body.and_then(read).ok_or_else(|| {
            let (line, column) = place(sql, offset);
            format!("{line}:{column}: a reference to a Secret is written ${{secret:NAME/KEY}}")
        })?;
        if !found.contains(&reference) {
            found.push(reference);
        }
        rest = after;
    }
    Ok(found)
}

fn read(body: &str) -> Option<Reference> {
    let (secret, key) = body.split_once('/')?;
    let is_name = |text: &str, extra: &str| {
        !text.is_empty()
            && text.len() <= 253
            && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric() || extra.contains('_'))
    };
    let is_secret = is_name(secret, "-.") && !secret.contains(|c: char| c.is_ascii_uppercase());
    (is_secret && is_name(key, "-._") && key != "." && key != "..")
        .then(|| Reference { secret: secret.to_owned(), key: key.to_owned() })
}

fn place(sql: &str, offset: usize) -> (usize, usize) {
    let before = &sql[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_once_each() {
        let sql = "WITH ('a'='${secret:kafka/password}', 'b'='x ${secret:s3/key.id} ${secret:kafka/password}')";
        let found = references(sql).expect("references");
        let names: Vec<_> = found.iter().map(|r| format!("{}/{}", r.secret, r.key)).collect();
        assert_eq!(names, ["kafka/password", "s3/key.id"]);
    }

    #[test]
    fn a_broken_reference_is_named_by_line_and_column() {
        for sql in
            ["x\n 'é${secret:kafka}'", "x\n 'é${secret:Kafka/p}'", "x\n 'é${secret:a/../../b}'", "x\n 'é${secret:a/b"]
        {
            let error = references(sql).expect_err(sql);
            assert!(error.starts_with("2:4: "), "{error}");
        }
    }
}
