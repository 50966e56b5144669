//! The location of files: a path on this machine's disks, or a key in an S3 bucket. It can have wildcards.

use std::fmt;

use regex::Regex;

/// The location of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A path on a disk.
    Local(String),
    /// A key in a bucket of S3, or of a store with the same protocol.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key, or the prefix of all keys, without `/` at either end.
        key: String,
    },
}

impl Location {
    /// Reads the value of the option `path`: a plain path, or one with the prefix `file:`, `s3://` or `s3a://`.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("expected a path".to_owned());
        }
        if let Some(rest) = text.strip_prefix("file:") {
            // file:/path and file:///path are accepted. file://host/path is not.
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return if path.starts_with('/') {
                Ok(Self::Local(path.to_owned()))
            } else {
                Err("expected an absolute path after file:".to_owned())
            };
        }
        if let Some(rest) = ["s3://", "s3a://", "s3n://"].iter().find_map(|scheme| text.strip_prefix(scheme)) {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err("expected a bucket after s3://".to_owned());
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), key: key.trim_matches('/').to_owned() });
        }
        match text.split_once("://") {
            Some((scheme, _)) => Err(format!("'{scheme}://' is not supported; expected a path, file:// or s3://")),
            None => Ok(Self::Local(text.to_owned())),
        }
    }

    /// The path or key.
    pub fn path(&self) -> &str {
        match self {
            Self::Local(path) => path,
            Self::S3 { key, .. } => key,
        }
    }

    /// A file of the same store, as a URI. The metadata column `file.path` shows it.
    pub fn uri_of(&self, path: &str) -> String {
        match self {
            Self::Local(_) => format!("file:{path}"),
            Self::S3 { bucket, .. } => format!("s3://{bucket}/{path}"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => f.write_str(path),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

/// A path with wildcards: `*` and `?` inside a name, `**` over any number of folders, `[a-z]`, `{json,csv}`.
#[derive(Clone, Debug)]
pub struct Glob {
    /// The folder above the first wildcard.
    pub folder: String,
    matcher: Regex,
}

impl Glob {
    /// The wildcards of `path`. `None` if it has none.
    ///
    /// # Errors
    /// Names the bracket that is not closed.
    pub fn parse(path: &str) -> Result<Option<Self>, String> {
        let Some(first) = path.find(['*', '?', '[', '{']) else { return Ok(None) };
        let folder = path[..first].rfind('/').map_or("", |slash| &path[..slash.max(1)]).to_owned();
        let matcher = Regex::new(&translate(path)).map_err(|_| format!("'{path}' is not a pattern"))?;
        Ok(Some(Self { folder, matcher }))
    }

    /// Whether a file, or one of its folders, matches.
    pub fn matches(&self, path: &str) -> bool {
        self.matcher.is_match(path)
    }
}

/// The pattern as a regular expression. It also matches everything below a matching folder.
fn translate(glob: &str) -> String {
    let mut pattern = String::from("^");
    let mut rest = glob.chars().peekable();
    let mut braces = 0;
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                // `**/` also matches no folder at all.
                pattern.push_str(if rest.next_if_eq(&'/').is_some() { "(?:.*/)?" } else { ".*" });
            }
            '*' => pattern.push_str("[^/]*"),
            '?' => pattern.push_str("[^/]"),
            '[' => {
                pattern.push('[');
                if rest.next_if(|next| matches!(next, '!' | '^')).is_some() {
                    pattern.push('^');
                }
                for inside in rest.by_ref() {
                    match inside {
                        ']' => break,
                        '-' => pattern.push('-'),
                        other => pattern.push_str(&regex::escape(&other.to_string())),
                    }
                }
                pattern.push(']');
            }
            '{' => {
                braces += 1;
                pattern.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                pattern.push(')');
            }
            ',' if braces > 0 => pattern.push('|'),
            other => pattern.push_str(&regex::escape(&other.to_string())),
        }
    }
    pattern.push_str("(?:/.*)?$");
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_from_paths_and_uris() {
        let local = |path: &str| Ok(Location::Local(path.to_owned()));
        let s3 = |bucket: &str, key: &str| Ok(Location::S3 { bucket: bucket.to_owned(), key: key.to_owned() });
        for (text, expected) in [
            ("/data/in", local("/data/in")),
            ("data/in", local("data/in")),
            ("file:/data", local("/data")),
            ("file:///data/a b", local("/data/a b")),
            ("s3://bucket", s3("bucket", "")),
            ("s3://bucket/in/", s3("bucket", "in")),
            ("s3a://bucket/in/*.json", s3("bucket", "in/*.json")),
            ("hdfs://host/x", Err("'hdfs://' is not supported; expected a path, file:// or s3://".to_owned())),
            ("file://host", Err("expected an absolute path after file:".to_owned())),
            ("s3:///x", Err("expected a bucket after s3://".to_owned())),
            ("", Err("expected a path".to_owned())),
        ] {
            assert_eq!(Location::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn wildcards_match_as_in_a_shell() {
        for (glob, path, fits) in [
            ("/in/*.json", "/in/a.json", true),
            ("/in/*.json", "/in/b/a.json", false),
            ("/in/*.json", "/in/a_json", false),
            ("/in/day=*", "/in/day=1/a.json", true),
            ("/in/**/a.json", "/in/a.json", true),
            ("/in/**/a.json", "/in/x/y/a.json", true),
            ("/in/a?.json", "/in/a1.json", true),
            ("/in/a[0-2].json", "/in/a3.json", false),
            ("/in/a[!0-2].json", "/in/a3.json", true),
            ("/in/a.{json,csv}", "/in/a.csv", true),
            ("/in/a.{json,csv}", "/in/a.txt", false),
        ] {
            let parsed = Glob::parse(glob).expect("a pattern").expect("wildcards");
            assert_eq!(parsed.matches(path), fits, "{glob} {path}");
        }
        assert_eq!(Glob::parse("/in/x/*.json").expect("a pattern").expect("wildcards").folder, "/in/x");
        assert_eq!(Glob::parse("/*.json").expect("a pattern").expect("wildcards").folder, "/");
        assert_eq!(Glob::parse("*.json").expect("a pattern").expect("wildcards").folder, "");
        assert!(Glob::parse("/in/a.json").expect("a pattern").is_none());
        assert!(Glob::parse("/in/{a").is_err());
    }
}
