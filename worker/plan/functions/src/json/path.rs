//! SQL/JSON paths, without filters and methods.

use super::document::Json;

/// How a path treats a missing place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The path finds nothing.
    Lax,
    /// It is an error.
    Strict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(i64),
    /// `[*]` or `.*`.
    All,
}

/// A compiled path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) mode: Mode,
    steps: Vec<Step>,
}

/// The result of a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found<'a> {
    /// A value. For a path with wildcards it is the array of all matches.
    Value(Json<'a>),
    /// No value.
    Nothing,
}

impl Path {
    /// Compiles a path. The error says what is not supported.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let (mode, rest) = match trimmed.split_once(char::is_whitespace) {
            Some((word, rest)) if word.eq_ignore_ascii_case("strict") => (Mode::Strict, rest.trim()),
            Some((word, rest)) if word.eq_ignore_ascii_case("lax") => (Mode::Lax, rest.trim()),
            // This is Flink's default. The standard's default is lax.
            _ => (Mode::Strict, trimmed),
        };
        let Some(mut rest) = rest.strip_prefix('$') else {
            return Err(format!("JSON path '{text}' does not start with $"));
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| {
                format!("JSON path '{text}' is not supported from '{rest}' on; names, indices and * are")
            })?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { mode, steps })
    }

    /// Follows the path. `Err` is a missing place in strict mode.
    pub(super) fn find<'a>(&self, document: &Json<'a>) -> Result<Found<'a>, ()> {
        let many = self.steps.contains(&Step::All);
        let mut places = vec![document];
        for step in &self.steps {
            let mut next = Vec::with_capacity(places.len());
            for place in places {
                let before = next.len();
                match (step, place) {
                    (Step::Member(name), place) => next.extend(place.member(name)),
                    (Step::Element(index), Json::Array(elements)) => {
                        let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
                        let index = if *index < 0 { length + index } else { *index };
                        next.extend(usize::try_from(index).ok().and_then(|index| elements.get(index)));
                    }
                    (Step::All, Json::Array(elements)) => next.extend(elements),
                    (Step::All, Json::Object(members)) => next.extend(members.iter().map(|(_, value)| value)),
                    _ => {}
                }
                if next.len() == before && self.mode == Mode::Strict && *step != Step::All {
                    return Err(());
                }
            }
            places = next;
        }
        Ok(match places.first() {
            _ if many => Found::Value(Json::Array(places.into_iter().cloned().collect())),
            Some(place) if **place != Json::Null => Found::Value((*place).clone()),
            _ => Found::Nothing,
        })
    }
}

fn step(rest: &str) -> Option<(Step, &str)> {
    if let Some(after) = rest.strip_prefix(".*") {
        return Some((Step::All, after));
    }
    if let Some(after) = rest.strip_prefix(".[").or_else(|| rest.strip_prefix('[')) {
        let after = after.trim_start();
        let quote = after.chars().next().filter(|character| matches!(character, '\'' | '"'));
        if let Some(quote) = quote {
            let (name, after) = after[1..].split_once(quote)?;
            return Some((Step::Member(name.to_owned()), after.trim_start().strip_prefix(']')?));
        }
        let (inside, after) = after.split_once(']')?;
        let step = if inside.trim() == "*" { Step::All } else { Step::Element(inside.trim().parse().ok()?) };
        return Some((step, after));
    }
    let name = rest.strip_prefix('.')?;
    let end = name.find(['.', '[', '(', '?', '@', '*', ' ']).unwrap_or(name.len());
    let after = &name[end..];
    (end > 0 && !after.starts_with(['(', '?', '@', '*', ' '])).then(|| (Step::Member(name[..end].to_owned()), after))
}
