//! LIKE and SIMILAR TO, by backtracking.

/// Whether a text matches a LIKE pattern: `%` matches any characters, `_` one character. A backslash escapes these and
/// itself.
pub fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    like(&text, &pattern)
}

fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skipped| like(&text[skipped..], rest)),
        ['\\', escaped @ ('%' | '_' | '\\'), rest @ ..] => text.first() == Some(escaped) && like(&text[1..], rest),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        [plain, rest @ ..] => text.first() == Some(plain) && like(&text[1..], rest),
    }
}

/// A part of a SIMILAR TO pattern.
enum Part {
    /// One character inside of the ranges, or outside of them if negated.
    One(Vec<(char, char)>, bool),
    /// One of several sequences.
    Either(Vec<Vec<Part>>),
    /// A part repeated between a minimum and a maximum number of times.
    Repeat(Box<Part>, usize, usize),
}

/// Whether a whole text matches a SIMILAR TO pattern.
///
/// # Errors
/// When the pattern is malformed.
pub fn is_similar(text: &str, pattern: &str) -> Result<bool, String> {
    let pattern: Vec<char> = pattern.chars().collect();
    let (alternatives, rest) = alternatives(&pattern)?;
    if !rest.is_empty() {
        return Err("')' without '('".to_owned());
    }
    let text: Vec<char> = text.chars().collect();
    Ok(part(&text, &Part::Either(alternatives), &|rest| rest.is_empty()))
}

/// Parses `a|b|c` up to a closing parenthesis.
fn alternatives(mut pattern: &[char]) -> Result<(Vec<Vec<Part>>, &[char]), String> {
    let mut all = vec![Vec::new()];
    while let Some((first, rest)) = pattern.split_first() {
        let (part, rest) = match first {
            ')' => break,
            '|' => {
                all.push(Vec::new());
                pattern = rest;
                continue;
            }
            '(' => {
                let (inner, rest) = alternatives(rest)?;
                match rest {
                    [')', rest @ ..] => (Part::Either(inner), rest),
                    _ => return Err("'(' without ')'".to_owned()),
                }
            }
            '[' => class(rest)?,
            '%' => (Part::Repeat(Box::new(Part::One(Vec::new(), true)), 0, usize::MAX), rest),
            '_' => (Part::One(Vec::new(), true), rest),
            plain => (Part::One(vec![(*plain, *plain)], false), rest),
        };
        let (part, rest) = repeated(part, rest)?;
        if let Some(sequence) = all.last_mut() {
            sequence.push(part);
        }
        pattern = rest;
    }
    Ok((all, pattern))
}

fn class(pattern: &[char]) -> Result<(Part, &[char]), String> {
    let (is_negated, mut pattern) = match pattern {
        ['^', rest @ ..] => (true, rest),
        other => (false, other),
    };
    let mut ranges = Vec::new();
    loop {
        pattern = match pattern {
            [']', rest @ ..] => return Ok((Part::One(ranges, is_negated), rest)),
            [from, '-', to, rest @ ..] if *to != ']' => {
                ranges.push((*from, *to));
                rest
            }
            [one, rest @ ..] => {
                ranges.push((*one, *one));
                rest
            }
            [] => return Err("'[' without ']'".to_owned()),
        };
    }
}

fn repeated(part: Part, pattern: &[char]) -> Result<(Part, &[char]), String> {
    let (least, most, rest) = match pattern {
        ['*', rest @ ..] => (0, usize::MAX, rest),
        ['+', rest @ ..] => (1, usize::MAX, rest),
        ['?', rest @ ..] => (0, 1, rest),
        ['{', rest @ ..] => {
            let end = rest.iter().position(|c| *c == '}').ok_or("'{' without '}'")?;
            let bounds: String = rest[..end].iter().collect();
            let (least, most) = bounds.split_once(',').unwrap_or((&bounds, &bounds));
            let number = |text: &str| text.parse::<usize>().map_err(|error| error.to_string());
            let most = if most.is_empty() { usize::MAX } else { number(most)? };
            (number(least)?, most, &rest[end + 1..])
        }
        _ => return Ok((part, pattern)),
    };
    Ok((Part::Repeat(Box::new(part), least, most), rest))
}

/// Whether a text begins with a part, and `then` holds for the rest.
fn part(text: &[char], first: &Part, then: &dyn Fn(&[char]) -> bool) -> bool {
    match first {
        Part::One(ranges, is_negated) => match text {
            [one, rest @ ..] => ranges.iter().any(|(from, to)| (from..=to).contains(&one)) != *is_negated && then(rest),
            [] => false,
        },
        Part::Either(all) => all.iter().any(|parts| sequence(text, parts, then)),
        Part::Repeat(inner, least, most) => repeat(text, inner, *least, *most, then),
    }
}

fn repeat(text: &[char], inner: &Part, least: usize, most: usize, then: &dyn Fn(&[char]) -> bool) -> bool {
    if most == 0 {
        return then(text);
    }
    let again = |rest: &[char]| {
        if rest.len() == text.len() {
            return least > 0 && then(rest);
        }
        let most = if most == usize::MAX { usize::MAX } else { most - 1 };
        repeat(rest, inner, least.saturating_sub(1), most, then)
    };
    part(text, inner, &again) || (least == 0 && then(text))
}

fn sequence(text: &[char], parts: &[Part], then: &dyn Fn(&[char]) -> bool) -> bool {
    match parts {
        [] => then(text),
        [first, rest @ ..] => part(text, first, &|text| sequence(text, rest, then)),
    }
}
