//! Functions that encode texts or bytes: codes of characters, Base64, URLs.

use super::Body;
use crate::evaluation::Value;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The characters besides letters and digits that `URLEncoder` does not change.
const PLAIN: &str = ".-*_";
/// The protocols that `java.net.URL` has a handler for.
const PROTOCOLS: [&str; 6] = ["http", "https", "ftp", "file", "jar", "mailto"];

pub(super) fn of_codes(name: &str) -> Option<Body> {
    Some(Body::Of(match name {
        "ascii" => |called| match &called.values[0] {
            // Java's bytes are signed.
            Value::Text(text) => Ok(Value::Whole(text.bytes().next().map_or(0, |byte| i64::from(byte.cast_signed())))),
            _ => Ok(Value::Null),
        },
        "chr" => |called| match &called.values[0] {
            Value::Whole(..0) => Ok(Value::Text(String::new())),
            Value::Whole(code) => Ok(Value::Text(char::from((code % 256) as u8).to_string())),
            _ => Ok(Value::Null),
        },
        "bin" => |called| match &called.values[0] {
            Value::Whole(number) => Ok(Value::Text(binary(number.cast_unsigned()))),
            _ => Ok(Value::Null),
        },
        "initcap" => |called| match &called.values[0] {
            Value::Text(text) => Ok(Value::Text(with_capitals(text))),
            _ => Ok(Value::Null),
        },
        "to_base64" => |called| match &called.values[0] {
            Value::Text(text) => Ok(Value::Text(to_base64(text.as_bytes()))),
            Value::Bytes(bytes) => Ok(Value::Text(to_base64(bytes))),
            _ => Ok(Value::Null),
        },
        "from_base64" => |called| match &called.values[0] {
            Value::Text(text) => Ok(from_base64(text).map_or(Value::Null, |bytes| Value::Text(lossy(&bytes)))),
            _ => Ok(Value::Null),
        },
        "unhex" => |called| match &called.values[0] {
            Value::Text(text) => Ok(unhex(text).map_or(Value::Null, Value::Bytes)),
            _ => Ok(Value::Null),
        },
        "url_encode" => |called| match &called.values[0] {
            Value::Text(text) => Ok(Value::Text(text.bytes().map(url_encoded).collect())),
            _ => Ok(Value::Null),
        },
        "url_decode" => |called| match &called.values[0] {
            Value::Text(text) => {
                Ok(url_decoded(text.as_bytes()).map_or(Value::Null, |bytes| Value::Text(lossy(&bytes))))
            }
            _ => Ok(Value::Null),
        },
        "parse_url" => |called| match called.values {
            [Value::Text(url), Value::Text(part)] => Ok(part_of_url(url, part).map_or(Value::Null, Value::Text)),
            [Value::Text(url), Value::Text(part), Value::Text(key)] => {
                let query = if part == "QUERY" { part_of_url(url, part) } else { None };
                let of_key = |query: String| {
                    let (_, value) =
                        query.split('&').filter_map(|pair| pair.split_once('=')).find(|pair| pair.0 == key)?;
                    Some(value.to_owned())
                };
                Ok(query.and_then(of_key).map_or(Value::Null, Value::Text))
            }
            _ => Ok(Value::Null),
        },
        _ => return None,
    }))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn binary(number: u64) -> String {
    let digit = if number % 2 == 1 { "1" } else { "0" };
    if number < 2 { digit.to_owned() } else { binary(number / 2) + digit }
}

/// The first character of each run of ASCII letters and digits in upper case, the others in lower case.
fn with_capitals(text: &str) -> String {
    let mut before = ' ';
    let capital = |letter: char| {
        let is_inside = before.is_ascii_alphanumeric();
        before = letter;
        if is_inside { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() }
    };
    text.chars().map(capital).collect()
}

fn to_base64(bytes: &[u8]) -> String {
    let three = |bytes: &[u8]| {
        let number = (0..3).fold(0_usize, |number, at| number << 8 | usize::from(*bytes.get(at).unwrap_or(&0)));
        let letter = |place: usize| char::from(BASE64[number >> (18 - 6 * place) & 63]);
        (0..4).map(|place| if place <= bytes.len() { letter(place) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(three).collect()
}

/// Decodes with or without padding, like Java's decoder.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=');
    let padding = text.len() - letters.len();
    let missing = (4 - letters.len() % 4) % 4;
    if missing == 3 || padding != 0 && padding != missing {
        return None;
    }
    let sextets = letters.bytes().map(|letter| BASE64.iter().position(|known| *known == letter));
    let bits: Vec<bool> = sextets
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .flat_map(|sextet| (0..6).rev().map(move |bit| sextet >> bit & 1 == 1))
        .collect();
    let byte = |bits: &[bool]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
    Some(bits.chunks_exact(8).map(byte).collect())
}

fn nibble(letter: u8) -> Option<u8> {
    char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// If the number of digits is odd, the first digit is a byte of its own.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let even = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
    even.as_bytes().chunks(2).map(|pair| Some(nibble(pair[0])? * 16 + nibble(pair[1])?)).collect()
}

fn url_encoded(byte: u8) -> String {
    match char::from(byte) {
        ' ' => "+".to_owned(),
        plain if plain.is_ascii_alphanumeric() || PLAIN.contains(plain) => plain.to_string(),
        _ => format!("%{byte:02X}"),
    }
}

fn url_decoded(text: &[u8]) -> Option<Vec<u8>> {
    Some(match text {
        [] => Vec::new(),
        [b'%', high, low, rest @ ..] => [vec![nibble(*high)? * 16 + nibble(*low)?], url_decoded(rest)?].concat(),
        [b'%', ..] => return None,
        [b'+', rest @ ..] => [vec![b' '], url_decoded(rest)?].concat(),
        [plain, rest @ ..] => [vec![*plain], url_decoded(rest)?].concat(),
    })
}

/// A part of a URL, as `java.net.URL` parses it.
fn part_of_url(url: &str, part: &str) -> Option<String> {
    let url = url.trim();
    let colon = url.find(':')?;
    let protocol = url[..colon].to_lowercase();
    if !PROTOCOLS.contains(&protocol.as_str()) {
        return None;
    }
    let rest = &url[colon + 1..];
    let (rest, reference) = rest.find('#').map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 1..])));
    let (rest, query) = rest.find('?').map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 1..])));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.find('/').map_or((Some(rest), ""), |at| (Some(&rest[..at]), &rest[at..])),
        None => (None, rest),
    };
    let (user, host) = match authority.map(|authority| authority.split('@').collect::<Vec<_>>()).as_deref() {
        Some([host]) => (None, host_of(host)?),
        Some([user, host]) => (Some(*user), host_of(host)?),
        // `java.net.URL` does not accept this as a server.
        Some(_) | None => (None, ""),
    };
    let path = &without_dots(path);
    match part {
        "PROTOCOL" => Some(protocol),
        "AUTHORITY" => authority.map(str::to_owned),
        "USERINFO" => user.map(str::to_owned),
        "HOST" => Some(host.to_owned()),
        "PATH" => Some(path.to_owned()),
        "QUERY" => query.map(str::to_owned),
        "REF" => reference.map(str::to_owned),
        "FILE" => Some(query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))),
        _ => None,
    }
}

/// A host without its port. The port must be a number.
fn host_of(host: &str) -> Option<&str> {
    let end = if host.starts_with('[') {
        host.find(']').filter(|at| *at > 2)? + 1
    } else {
        host.find(':').unwrap_or(host.len())
    };
    let is_port = match host[end..].strip_prefix(':') {
        Some(port) => port.is_empty() || port.parse::<i32>().is_ok_and(|port| port > -2),
        None => end == host.len(),
    };
    is_port.then(|| &host[..end])
}

/// Removes `.` and `..` from a path like `URLStreamHandler.parseURL`.
fn without_dots(path: &str) -> String {
    let mut names: Vec<&str> = path.split('/').collect();
    let last = names.len() - 1;
    let mut place = 0;
    names.retain(|name| {
        place += 1;
        !(*name == "." && (1..last).contains(&(place - 1)))
    });
    let mut at = 1;
    while at + 1 < names.len() {
        let begins_so = names[0].is_empty() && names[1] == "..";
        if names[at] == ".." && at > 1 && !(at == 2 && begins_so) {
            names.drain(at - 1..=at);
            at = 1;
        } else {
            at += 1;
        }
    }
    while names.len() > 1 && names[names.len() - 1] == ".." {
        let first = (1..names.len()).find(|at| names[*at].starts_with("..")).unwrap_or(1);
        if first < 2 {
            break;
        }
        names.truncate(first - 1);
        names.push("");
    }
    if names.len() > 1 && names[0] == "." && names.join("/").len() > 2 {
        names.remove(0);
    }
    if names.len() > 1 && names[names.len() - 1] == "." {
        let end = names.len() - 1;
        names[end] = "";
    }
    names.join("/")
}
