//! `PARSE_URL(url, part[, key])`. The parts are those of `java.net.URL`. A URL that Java refuses gives NULL.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use eddyline_expression::{Result, ScalarFunction};

use crate::arguments::Arguments;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    use Parameter::Text;
    vec![
        function("parse_url", &[&[Text, Text], &[Text, Text, Text]], Returns::Type(DataType::Utf8), parse_url).build(),
        function("url_encode", &[&[Text]], Returns::Type(DataType::Utf8), |args| {
            let text = args.text(0)?;
            args.write_text(|row, out| Some(encode(text.get(row)?, out)))
        })
        .build(),
        function("url_decode", &[&[Text]], Returns::Type(DataType::Utf8), |args| {
            let text = args.text(0)?;
            args.write_text(|row, out| Some(out.push_str(&decode(text.get(row)?)?)))
        })
        .build(),
    ]
}

/// The schemes that Java accepts in a URL.
const SCHEMES: [&str; 6] = ["http", "https", "ftp", "file", "jar", "mailto"];

/// A URL, split into Java's parts.
struct Url<'a> {
    protocol: String,
    authority: Option<&'a str>,
    user: Option<&'a str>,
    host: &'a str,
    path: String,
    query: Option<&'a str>,
    reference: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (protocol, rest) = text.split_once(':')?;
        let protocol = protocol.to_ascii_lowercase();
        if !SCHEMES.contains(&protocol.as_str()) {
            return None;
        }
        let (rest, reference) = match rest.split_once('#') {
            Some((rest, reference)) => (rest, Some(reference)),
            None => (rest, None),
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(after) => {
                let end = after.find('/').unwrap_or(after.len());
                (Some(&after[..end]), &after[end..])
            }
            None => (None, rest),
        };
        let (user, host) = user_and_host(authority.unwrap_or(""))?;
        Some(Self { protocol, authority, user, host, path: without_dots(path), query, reference })
    }

    fn part(&self, name: &str, out: &mut String) -> Option<()> {
        match name {
            "HOST" => out.push_str(self.host),
            "PATH" => out.push_str(&self.path),
            "QUERY" => out.push_str(self.query?),
            "REF" => out.push_str(self.reference?),
            "PROTOCOL" => out.push_str(&self.protocol),
            "AUTHORITY" => out.push_str(self.authority?),
            "USERINFO" => out.push_str(self.user?),
            "FILE" => {
                out.push_str(&self.path);
                if let Some(query) = self.query {
                    out.push('?');
                    out.push_str(query);
                }
            }
            _ => return None,
        }
        Some(())
    }
}

/// The user before `@`, and the host after it without its port. `None` if the port is not a number or an address of
/// version 6 does not end. An authority with several `@` has neither a user nor a host.
fn user_and_host(authority: &str) -> Option<(Option<&str>, &str)> {
    let (user, host) = match authority.split_once('@') {
        Some((_, rest)) if rest.contains('@') => return Some((None, "")),
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let (host, port) = if host.starts_with('[') {
        let end = host.find(']').filter(|end| *end > 2)? + 1;
        let port = match &host[end..] {
            "" => "",
            rest => rest.strip_prefix(':')?,
        };
        (&host[..end], port)
    } else {
        host.split_once(':').unwrap_or((host, ""))
    };
    let is_port = port.is_empty() || port.parse::<i32>().is_ok_and(|port| port >= -1);
    is_port.then_some((user, host))
}

/// The path with its `.` and `..` resolved. A `..` without a name before it stays.
fn without_dots(path: &str) -> String {
    let mut path = path.to_owned();
    while let Some(at) = path.find("/./") {
        path.replace_range(at..at + 2, "");
    }
    let mut from = 0;
    while let Some(at) = path[from..].find("/../").map(|at| from + at) {
        match path[..at].rfind('/') {
            Some(parent) if !(parent == 0 && path.starts_with("/../")) => {
                path.replace_range(parent..at + 3, "");
                from = 0;
            }
            _ => from = at + 3,
        }
    }
    while path.ends_with("/..") {
        let Some(parent) = path.find("/..").and_then(|at| path[..at].rfind('/')) else { break };
        path.truncate(parent + 1);
    }
    if path.starts_with("./") && path.len() > 2 {
        path.replace_range(..2, "");
    }
    if path.ends_with("/.") {
        path.pop();
    }
    path
}

fn parse_url(args: &Arguments) -> Result<ArrayRef> {
    let (url, part) = (args.text(0)?, args.text(1)?);
    let key = if args.len() > 2 { Some(args.text(2)?) } else { None };
    args.write_text(|row, out| {
        let (url, part) = (url.get(row)?, part.get(row)?);
        let Some(key) = &key else { return Url::parse(url)?.part(part, out) };
        let key = key.get(row)?;
        if part != "QUERY" {
            return None;
        }
        let pairs = Url::parse(url)?.query?.split('&');
        let value = pairs.filter_map(|pair| pair.strip_prefix(key)).find_map(|rest| rest.strip_prefix('='))?;
        Some(out.push_str(value))
    })
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => {
                out.push('%');
                crate::arithmetic::push_hex(&[other], true, out);
            }
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit =
                    |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(rest.next())? << 4 | digit(rest.next())?
            }
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
