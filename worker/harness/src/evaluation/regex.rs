//! Java's regular expressions, by backtracking: the first match in the order of the pattern.
//!
//! Supports classes, groups, alternatives, greedy and reluctant repetition, `^`, `\b` and escaped letters. Other syntax
//! of Java is an error, but not `Malformed`.

use std::ops::Range;

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not a regular expression.
    Malformed,
    /// The reference does not support it.
    Unknown(String),
}

/// A regular expression.
#[derive(Debug)]
pub struct Regex {
    root: Node,
    groups: usize,
}

#[derive(Debug)]
enum Node {
    /// One character inside of the ranges, or outside of them if negated.
    One(Vec<(char, char)>, bool),
    Start,
    Boundary,
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    /// A group, with a number if it captures.
    Group(Option<usize>, Box<Node>),
    Repeat {
        inner: Box<Node>,
        least: usize,
        most: usize,
        is_greedy: bool,
    },
}

/// The match of each group. The first is the whole match.
type Captures = Vec<Option<(usize, usize)>>;
/// The continuation after a part has matched.
type Then<'a> = &'a dyn Fn(usize, Captures) -> Option<Captures>;

const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

impl Regex {
    pub fn parse(pattern: &str) -> Result<Self, Refusal> {
        let letters: Vec<char> = pattern.chars().collect();
        let mut parser = Parser { rest: &letters, groups: 0 };
        let root = parser.alternatives()?;
        if parser.rest.is_empty() { Ok(Self { root, groups: parser.groups }) } else { Err(Refusal::Malformed) }
    }

    /// The number of capturing groups.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The first match that starts at a position or after it, as ranges of characters.
    fn first_from(&self, text: &[char], from: usize) -> Option<Captures> {
        (from..=text.len()).find_map(|start| {
            let none: Captures = vec![None; self.groups + 1];
            matched(&self.root, text, start, none, &|end, mut captures| {
                captures[0] = Some((start, end));
                Some(captures)
            })
        })
    }

    /// All matches. Each search starts at the end of the previous match, or one character later if that was empty.
    pub fn all(&self, text: &str) -> Vec<Vec<Option<Range<usize>>>> {
        let letters: Vec<char> = text.chars().collect();
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
        let (mut all, mut from) = (Vec::new(), 0);
        while let Some(captures) = (from <= letters.len()).then(|| self.first_from(&letters, from)).flatten() {
            let Some((start, end)) = captures[0] else { break };
            from = if start == end { end + 1 } else { end };
            all.push(captures.into_iter().map(|group| group.map(|(from, to)| places[from]..places[to])).collect());
        }
        all
    }
}

fn is_word(letter: Option<&char>) -> bool {
    letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
}

fn matched(node: &Node, text: &[char], at: usize, captures: Captures, then: Then<'_>) -> Option<Captures> {
    match node {
        Node::One(ranges, is_negated) => {
            let letter = text.get(at)?;
            let is_in = ranges.iter().any(|(from, to)| (from..=to).contains(&letter));
            if is_in != *is_negated { then(at + 1, captures) } else { None }
        }
        Node::Start => {
            if at == 0 {
                then(at, captures)
            } else {
                None
            }
        }
        Node::Boundary => {
            let before = at.checked_sub(1).and_then(|before| text.get(before));
            if is_word(before) != is_word(text.get(at)) { then(at, captures) } else { None }
        }
        Node::Sequence(parts) => sequence(parts, text, at, captures, then),
        Node::Either(all) => all.iter().find_map(|node| matched(node, text, at, captures.clone(), then)),
        Node::Group(number, inner) => matched(inner, text, at, captures, &|end, mut captures| {
            if let Some(number) = number {
                captures[*number] = Some((at, end));
            }
            then(end, captures)
        }),
        Node::Repeat { inner, least, most, is_greedy } => {
            repeated(inner, (*least, *most, *is_greedy), text, at, captures, then)
        }
    }
}

fn sequence(parts: &[Node], text: &[char], at: usize, captures: Captures, then: Then<'_>) -> Option<Captures> {
    match parts {
        [] => then(at, captures),
        [first, rest @ ..] => {
            matched(first, text, at, captures, &|end, captures| sequence(rest, text, end, captures, then))
        }
    }
}

fn repeated(
    inner: &Node,
    (least, most, is_greedy): (usize, usize, bool),
    text: &[char],
    at: usize,
    captures: Captures,
    then: Then<'_>,
) -> Option<Captures> {
    let again = |captures: Captures| {
        let more = most.checked_sub(1)?;
        matched(inner, text, at, captures, &|end, captures| {
            // An empty match is not repeated forever.
            if end == at && least == 0 {
                return then(end, captures);
            }
            let more = if most == usize::MAX { most } else { more };
            repeated(inner, (least.saturating_sub(1), more, is_greedy), text, end, captures, then)
        })
    };
    match (least > 0, is_greedy) {
        (true, _) => again(captures),
        (false, true) => again(captures.clone()).or_else(|| then(at, captures)),
        (false, false) => then(at, captures.clone()).or_else(|| again(captures)),
    }
}

struct Parser<'a> {
    rest: &'a [char],
    groups: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn accept(&mut self, wanted: &str) -> bool {
        let wanted: Vec<char> = wanted.chars().collect();
        let is_there = self.rest.starts_with(&wanted);
        if is_there {
            self.rest = &self.rest[wanted.len()..];
        }
        is_there
    }

    fn alternatives(&mut self) -> Result<Node, Refusal> {
        let mut all = vec![self.parts()?];
        while self.accept("|") {
            all.push(self.parts()?);
        }
        Ok(Node::Either(all))
    }

    fn parts(&mut self) -> Result<Node, Refusal> {
        let mut parts = Vec::new();
        while let Some(next) = self.rest.first() {
            if matches!(next, '|' | ')') {
                break;
            }
            let part = self.part()?;
            parts.push(self.with_repetition(part)?);
        }
        Ok(Node::Sequence(parts))
    }

    fn part(&mut self) -> Result<Node, Refusal> {
        Ok(match self.next() {
            Some('(') => {
                let number = if self.accept("?:") {
                    None
                } else if self.rest.first() == Some(&'?') {
                    return Err(Refusal::Unknown("a group with '?'".to_owned()));
                } else {
                    self.groups += 1;
                    Some(self.groups)
                };
                let inner = self.alternatives()?;
                if !self.accept(")") {
                    return Err(Refusal::Malformed);
                }
                Node::Group(number, Box::new(inner))
            }
            Some('[') => {
                let is_negated = self.accept("^");
                let mut ranges = Vec::new();
                loop {
                    match self.next() {
                        None => return Err(Refusal::Malformed),
                        Some(']') if !ranges.is_empty() => return Ok(Node::One(ranges, is_negated)),
                        Some('\\') => match self.escape()? {
                            Node::One(more, false) => ranges.extend(more),
                            _ => return Err(Refusal::Unknown("an escape in a class".to_owned())),
                        },
                        Some('[' | '&') => return Err(Refusal::Unknown("a class in a class".to_owned())),
                        Some(from) => match self.rest {
                            ['-', to, ..] if *to != ']' => {
                                ranges.push((from, *to));
                                self.rest = &self.rest[2..];
                            }
                            _ => ranges.push((from, from)),
                        },
                    }
                }
            }
            Some('.') => Node::One(LINE_ENDS.iter().map(|end| (*end, *end)).collect(), true),
            Some('^') => Node::Start,
            Some('$') => return Err(Refusal::Unknown("$".to_owned())),
            Some('\\') => self.escape()?,
            Some('*' | '+' | '?') | None => return Err(Refusal::Malformed),
            Some('{') => return Err(Refusal::Malformed),
            Some(plain) => Node::One(vec![(plain, plain)], false),
        })
    }

    fn escape(&mut self) -> Result<Node, Refusal> {
        let digits = || vec![('0', '9')];
        let words = || vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
        let blanks = || vec![(' ', ' '), ('\t', '\r')];
        Ok(match self.next() {
            Some('d') => Node::One(digits(), false),
            Some('D') => Node::One(digits(), true),
            Some('w') => Node::One(words(), false),
            Some('W') => Node::One(words(), true),
            Some('s') => Node::One(blanks(), false),
            Some('S') => Node::One(blanks(), true),
            Some('b') => Node::Boundary,
            Some('t') => Node::One(vec![('\t', '\t')], false),
            Some('n') => Node::One(vec![('\n', '\n')], false),
            Some(letter) if letter.is_ascii_alphanumeric() => return Err(Refusal::Unknown(format!("\\{letter}"))),
            Some(itself) => Node::One(vec![(itself, itself)], false),
            None => return Err(Refusal::Malformed),
        })
    }

    fn with_repetition(&mut self, inner: Node) -> Result<Node, Refusal> {
        let (least, most) = match self.rest.first() {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some('{') => {
                let end = self.rest.iter().position(|letter| *letter == '}').ok_or(Refusal::Malformed)?;
                let bounds: String = self.rest[1..end].iter().collect();
                self.rest = &self.rest[end..];
                let (least, most) = bounds.split_once(',').unwrap_or((&bounds, &bounds));
                let number = |text: &str| text.parse::<usize>().map_err(|_| Refusal::Malformed);
                (number(least)?, if most.is_empty() { usize::MAX } else { number(most)? })
            }
            _ => return Ok(inner),
        };
        self.rest = &self.rest[1..];
        if least > most {
            return Err(Refusal::Malformed);
        }
        if self.accept("+") {
            return Err(Refusal::Unknown("a possessive quantifier".to_owned()));
        }
        let is_greedy = !self.accept("?");
        if matches!(self.rest.first(), Some('*' | '+' | '?')) {
            return Err(Refusal::Malformed);
        }
        Ok(Node::Repeat { inner: Box::new(inner), least, most, is_greedy })
    }
}
