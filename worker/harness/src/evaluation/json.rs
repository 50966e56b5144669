//! JSON documents and paths in them.

use super::arithmetic::Exact;

/// A JSON value. A number is kept as its text.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    /// If a name occurs more than once, its first position and last value.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses a text that is one JSON value; `None` if it is not.
    pub fn parse(text: &str) -> Option<Self> {
        let letters: Vec<char> = text.chars().collect();
        let (value, rest) = value(blank(&letters))?;
        blank(rest).is_empty().then_some(value)
    }

    /// Whether it is neither an array nor an object.
    pub fn is_scalar(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// The value as text without blanks.
    pub fn write(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean(truth) => truth.to_string(),
            Self::Number(text) => as_big_decimal(text),
            Self::Text(text) => quoted(text),
            Self::Array(elements) => format!("[{}]", elements.iter().map(Self::write).collect::<Vec<_>>().join(",")),
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| format!("{}:{}", quoted(name), value.write());
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// A text in quotes, with Jackson's escapes.
pub fn quoted(text: &str) -> String {
    let letter = |letter: char| match letter {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\t' => "\\t".to_owned(),
        '\n' => "\\n".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\r' => "\\r".to_owned(),
        control if control < ' ' => format!("\\u{:04X}", control as u32),
        other => other.to_string(),
    };
    format!("\"{}\"", text.chars().map(letter).collect::<String>())
}

/// A number as `BigDecimal.toString` prints it.
fn as_big_decimal(text: &str) -> String {
    let Some(exact) = Exact::of_text(text) else { return text.to_owned() };
    let sign = if exact.unscaled < 0.into() { "-" } else { "" };
    let digits = exact.unscaled.magnitude().to_string();
    let exponent = digits.len() as i64 - 1 - exact.scale;
    if exact.scale >= 0 && exponent >= -6 {
        let places = exact.scale as usize;
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let point = if places > 0 { "." } else { "" };
        return format!("{sign}{whole}{point}{fraction}");
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{exponent:+}")
}

fn blank(text: &[char]) -> &[char] {
    let end = text.iter().position(|letter| !matches!(letter, ' ' | '\t' | '\n' | '\r')).unwrap_or(text.len());
    &text[end..]
}

fn value(text: &[char]) -> Option<(Json, &[char])> {
    let word = |word: &str, value: Json| {
        let letters: Vec<char> = word.chars().collect();
        text.strip_prefix(letters.as_slice()).map(|rest| (value, rest))
    };
    match text.first()? {
        'n' => word("null", Json::Null),
        't' => word("true", Json::Boolean(true)),
        'f' => word("false", Json::Boolean(false)),
        '"' => string(&text[1..]).map(|(text, rest)| (Json::Text(text), rest)),
        '[' => array(&text[1..]),
        '{' => object(&text[1..]),
        _ => number(text),
    }
}

fn array(text: &[char]) -> Option<(Json, &[char])> {
    let (mut elements, mut rest) = (Vec::new(), blank(text));
    if let Some(rest) = rest.strip_prefix(&[']']) {
        return Some((Json::Array(elements), rest));
    }
    loop {
        let (element, after) = value(blank(rest))?;
        elements.push(element);
        match blank(after) {
            [',', after @ ..] => rest = after,
            [']', after @ ..] => return Some((Json::Array(elements), after)),
            _ => return None,
        }
    }
}

fn object(text: &[char]) -> Option<(Json, &[char])> {
    let (mut members, mut rest) = (Vec::<(String, Json)>::new(), blank(text));
    if let Some(rest) = rest.strip_prefix(&['}']) {
        return Some((Json::Object(members), rest));
    }
    loop {
        let (name, after) = string(blank(rest).strip_prefix(&['"'])?)?;
        let (member, after) = value(blank(blank(after).strip_prefix(&[':'])?))?;
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = member,
            None => members.push((name, member)),
        }
        match blank(after) {
            [',', after @ ..] => rest = after,
            ['}', after @ ..] => return Some((Json::Object(members), after)),
            _ => return None,
        }
    }
}

/// Parses a string after its opening quote.
fn string(mut text: &[char]) -> Option<(String, &[char])> {
    let mut read = String::new();
    loop {
        text = match text {
            ['"', rest @ ..] => return Some((read, rest)),
            ['\\', 'u', rest @ ..] => {
                let digits: String = rest.get(..4)?.iter().collect();
                read.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                &rest[4..]
            }
            ['\\', escaped, rest @ ..] => {
                let place = "\"\\/bfnrt".chars().position(|known| known == *escaped)?;
                read.push(['"', '\\', '/', '\u{8}', '\u{c}', '\n', '\r', '\t'][place]);
                rest
            }
            [plain, rest @ ..] if *plain >= ' ' => {
                read.push(*plain);
                rest
            }
            _ => return None,
        };
    }
}

fn number(text: &[char]) -> Option<(Json, &[char])> {
    let digits = |text: &[char]| text.iter().take_while(|letter| letter.is_ascii_digit()).count();
    let mut end = usize::from(text.first() == Some(&'-'));
    let whole = digits(&text[end..]);
    if whole == 0 || whole > 1 && text[end] == '0' {
        return None;
    }
    end += whole;
    if text.get(end) == Some(&'.') {
        let fraction = digits(&text[end + 1..]);
        if fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    }
    if matches!(text.get(end), Some('e' | 'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some('+' | '-')));
        let exponent = digits(&text[end + 1 + sign..]);
        if exponent == 0 {
            return None;
        }
        end += 1 + sign + exponent;
    }
    Some((Json::Number(text[..end].iter().collect()), &text[end..]))
}

/// The result of following a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A value.
    One(Json),
    /// A NULL, or a missing place for a lax path.
    Nothing,
    /// A missing place for a strict path.
    Error,
}

/// Follows a path of names and numbers, such as `$.a[0]`. It is strict unless it begins with `lax`.
///
/// # Errors
/// When the reference does not support the path.
pub fn follow(document: &str, path: &str) -> Result<Found, String> {
    let (is_lax, steps) = match path.split_once(' ') {
        Some(("lax", steps)) => (true, steps),
        Some(("strict", steps)) => (false, steps),
        _ => (false, path),
    };
    let missing = if is_lax { Found::Nothing } else { Found::Error };
    let Some(mut place) = Json::parse(document) else { return Ok(missing) };
    let steps = steps.strip_prefix('$').ok_or("a path begins with $")?;
    let names = steps.replace('[', ".[");
    for step in names.split('.').skip(1) {
        let next = match (step.strip_prefix('['), place) {
            (Some(index), Json::Array(elements)) => {
                let index: usize =
                    index.trim_end_matches(']').parse().map_err(|_| format!("'{step}' is not an index"))?;
                elements.into_iter().nth(index)
            }
            (None, Json::Object(members)) => members.into_iter().find(|(name, _)| name == step).map(|(_, value)| value),
            _ => None,
        };
        match next {
            Some(next) => place = next,
            None => return Ok(missing),
        }
    }
    Ok(if place == Json::Null { Found::Nothing } else { Found::One(place) })
}
