//! `PARSE_URL(url, part[, key])`: parts as `java.net.URL` names them; NULL for a URL it would not take.

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

/// Schemes Java has a handler for; it refuses a URL with any other.
const SCHEMES: [&str; 6] = ["http", "https", "ftp", "file", "jar", "mailto"];

/// A URL cut into Java's parts.
struct Url<'a> {
    protocol: String,
    authority: Option<&'a str>,
    path: &'a str,
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
        Some(Self { protocol, authority, path, query, reference })
    }

    fn host(&self) -> &'a str {
        let authority = self.authority.unwrap_or("");
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        match host.find(']') {
            Some(end) => &host[..=end],
            None => host.split_once(':').map_or(host, |(host, _)| host),
        }
    }

    fn part(&self, name: &str, out: &mut String) -> Option<()> {
        match name {
            "HOST" => out.push_str(self.host()),
            "PATH" => out.push_str(self.path),
            "QUERY" => out.push_str(self.query?),
            "REF" => out.push_str(self.reference?),
            "PROTOCOL" => out.push_str(&self.protocol),
            "AUTHORITY" => out.push_str(self.authority?),
            "USERINFO" => out.push_str(self.authority?.rsplit_once('@')?.0),
            "FILE" => {
                out.push_str(self.path);
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
