//! Window table functions: `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))` and its relatives.
//!
//! sqlparser has no syntax tree for `TABLE t` as an argument. So the calls are cut out of the token stream first, and
//! replaced by a name that no script can contain. The binder finds the call by that name.

use sqlparser::ast::{Ident, Query};
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::interval::{self, Interval};
use super::tokens::{Tokens, is_word};
use crate::diagnostics::{Diagnostic, Result, join};

/// The prefix of the name that replaces a window table function. It has a control character, which names in scripts
/// cannot have.
pub(crate) const PLACEHOLDER: &str = "\u{1}window:";

/// A query, with the window table functions that were cut out of it.
#[derive(Clone, Debug)]
pub(crate) struct ParsedQuery {
    /// The syntax tree.
    pub query: Box<Query>,
    /// The window table functions, indexed by the number in their placeholder.
    pub windows: Vec<WindowTvf>,
    /// The place of the query.
    pub span: Span,
}

/// A window table function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowKind {
    /// `TUMBLE`.
    Tumble,
    /// `HOP`.
    Hop,
    /// `CUMULATE`.
    Cumulate,
    /// `SESSION`.
    Session,
}

impl WindowKind {
    fn of(token: &Token) -> Option<Self> {
        [(Self::Tumble, "TUMBLE"), (Self::Hop, "HOP"), (Self::Cumulate, "CUMULATE"), (Self::Session, "SESSION")]
            .into_iter()
            .find(|(_, name)| is_word(token, name))
            .map(|(kind, _)| kind)
    }

    /// The function's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tumble => "TUMBLE",
            Self::Hop => "HOP",
            Self::Cumulate => "CUMULATE",
            Self::Session => "SESSION",
        }
    }

    /// The names of the interval arguments, in order. The last one is optional, except in SESSION.
    fn intervals(self) -> &'static [&'static str] {
        match self {
            Self::Tumble => &["SIZE", "OFFSET"],
            Self::Hop => &["SLIDE", "SIZE", "OFFSET"],
            Self::Cumulate => &["STEP", "SIZE", "OFFSET"],
            Self::Session => &["GAP"],
        }
    }
}

/// The input of a window table function.
#[derive(Clone, Debug)]
pub(crate) enum WindowInput {
    /// `TABLE t`.
    Table(Vec<Ident>),
    /// `(SELECT …)`.
    Query(Box<ParsedQuery>),
}

/// A call of a window table function.
#[derive(Clone, Debug)]
pub(crate) struct WindowTvf {
    /// The function.
    pub kind: WindowKind,
    /// The place of the call.
    pub span: Span,
    /// The input rows.
    pub input: WindowInput,
    /// `PARTITION BY`, only for SESSION.
    pub partition_by: Vec<Ident>,
    /// The time attribute.
    pub time: Ident,
    /// The interval arguments in milliseconds with their places, in the order of [`WindowKind::intervals`].
    pub intervals: Vec<Option<(i64, Span)>>,
}

/// Parses all tokens as a query.
pub(crate) fn parse_query(tokens: Tokens<'_>) -> Result<ParsedQuery> {
    parse_nested(tokens, 0)
}

fn parse_nested(tokens: Tokens<'_>, depth: usize) -> Result<ParsedQuery> {
    if depth > 16 {
        return Err(Diagnostic::at(tokens.span(), "the query is nested too deeply"));
    }
    let start = tokens.span();
    let end = tokens.end_span();
    let last = tokens.remaining().last().map_or(start, |token| token.span);
    let mut windows = Vec::new();
    let replaced = cut_out(tokens, &mut windows, depth)?;
    let query = Tokens::new(&replaced, end).into_query()?;
    Ok(ParsedQuery { query, windows, span: join(start, last) })
}

/// The tokens with every call of a window table function replaced by its placeholder.
fn cut_out(mut tokens: Tokens<'_>, windows: &mut Vec<WindowTvf>, depth: usize) -> Result<Vec<TokenWithSpan>> {
    let mut replaced = Vec::with_capacity(tokens.remaining().len());
    while !tokens.is_at_end() {
        let in_table = tokens.sees(&["TABLE"]) && tokens.peek_nth(1).token == Token::LParen;
        let name_at = if in_table { 2 } else { 0 };
        let kind = WindowKind::of(&tokens.peek_nth(name_at).token)
            .filter(|_| tokens.peek_nth(name_at + 1).token == Token::LParen)
            .filter(|_| in_table || starts_with_table(&tokens));
        let Some(kind) = kind else {
            replaced.push(tokens.next());
            continue;
        };
        let start = tokens.span();
        (0..name_at + 2).for_each(|_| {
            tokens.next();
        });
        let mut call = parse_call(&mut tokens, kind, depth)?;
        if in_table {
            tokens.expect_token(&Token::RParen)?;
        }
        call.span = join(start, tokens.previous_span());
        let name = format!("{PLACEHOLDER}{}", windows.len());
        replaced.push(TokenWithSpan::new(Token::make_word(&name, Some('`')), call.span));
        windows.push(call);
    }
    Ok(replaced)
}

/// Whether the tokens are `NAME(TABLE …` or `NAME(DATA => …`.
fn starts_with_table(tokens: &Tokens<'_>) -> bool {
    is_word(&tokens.peek_nth(2).token, "TABLE")
        || (is_word(&tokens.peek_nth(2).token, "DATA") && tokens.peek_nth(3).token == Token::RArrow)
}

fn parse_call(tokens: &mut Tokens<'_>, kind: WindowKind, depth: usize) -> Result<WindowTvf> {
    let names = kind.intervals();
    let mut input = None;
    let mut partition_by = Vec::new();
    let mut time = None;
    let mut intervals = vec![None; names.len()];
    let mut position = 0;
    loop {
        let span = tokens.span();
        let argument = match parse_argument_name(tokens)? {
            Some(name) => name,
            None => match position {
                0 => "DATA".to_owned(),
                1 => "TIMECOL".to_owned(),
                n => names.get(n - 2).map(|name| (*name).to_owned()).ok_or_else(|| {
                    Diagnostic::at(span, format!("{} has too many arguments", kind.name()))
                        .help(format!("its arguments are DATA, TIMECOL, {}", names.join(", ")))
                })?,
            },
        };
        match argument.as_str() {
            "DATA" | "INPUT" => input = Some(parse_input(tokens, kind, &mut partition_by, depth)?),
            "TIMECOL" => time = Some(parse_descriptor(tokens)?),
            name => {
                let index = names.iter().position(|known| *known == name).ok_or_else(|| {
                    Diagnostic::at(span, format!("{} has no argument '{name}'", kind.name()))
                        .help(format!("its arguments are DATA, TIMECOL, {}", names.join(", ")))
                })?;
                intervals[index] = Some(parse_interval(tokens, name)?);
            }
        }
        position += 1;
        if !tokens.accept_token(&Token::Comma) {
            break;
        }
    }
    let close = tokens.expect_token(&Token::RParen)?;
    let missing = |what: &str| {
        Diagnostic::at(close, format!("{} needs the argument {what}", kind.name()))
            .help(format!("its arguments are DATA, TIMECOL, {}", names.join(", ")))
    };
    let required = if kind == WindowKind::Session { names.len() } else { names.len() - 1 };
    if let Some(index) = (0..required).find(|index| intervals[*index].is_none()) {
        return Err(missing(names[index]));
    }
    Ok(WindowTvf {
        kind,
        span: close,
        input: input.ok_or_else(|| missing("DATA"))?,
        partition_by,
        time: time.ok_or_else(|| missing("TIMECOL"))?,
        intervals,
    })
}

fn parse_argument_name(tokens: &mut Tokens<'_>) -> Result<Option<String>> {
    if tokens.peek_nth(1).token != Token::RArrow {
        return Ok(None);
    }
    let name = tokens.identifier("an argument name")?.value.to_ascii_uppercase();
    tokens.next();
    Ok(Some(name))
}

fn parse_input(
    tokens: &mut Tokens<'_>,
    kind: WindowKind,
    partition_by: &mut Vec<Ident>,
    depth: usize,
) -> Result<WindowInput> {
    let in_table = tokens.accept(&["TABLE"]);
    let input = if tokens.accept_token(&Token::LParen) {
        let inner = tokens.until(|_| false);
        tokens.expect_token(&Token::RParen)?;
        WindowInput::Query(Box::new(parse_nested(inner, depth + 1)?))
    } else if in_table {
        WindowInput::Table(tokens.object_name("a table name")?)
    } else {
        return Err(tokens.expected("TABLE and a table name"));
    };
    if tokens.sees(&["PARTITION", "BY"]) {
        let span = tokens.span();
        tokens.accept(&["PARTITION", "BY"]);
        if kind != WindowKind::Session {
            return Err(Diagnostic::at(span, format!("PARTITION BY is not supported in {}", kind.name()))
                .help("only SESSION windows depend on a key; use GROUP BY"));
        }
        let in_parentheses = tokens.accept_token(&Token::LParen);
        loop {
            partition_by.push(tokens.identifier("a column name")?);
            let more = tokens.peek().token == Token::Comma
                && (in_parentheses
                    || !(is_word(&tokens.peek_nth(1).token, "DESCRIPTOR")
                        || tokens.peek_nth(2).token == Token::RArrow));
            if !more {
                break;
            }
            tokens.next();
        }
        if in_parentheses {
            tokens.expect_token(&Token::RParen)?;
        }
    }
    Ok(input)
}

fn parse_descriptor(tokens: &mut Tokens<'_>) -> Result<Ident> {
    tokens.expect(&["DESCRIPTOR"])?;
    tokens.expect_token(&Token::LParen)?;
    let column = tokens.identifier("the time column")?;
    if tokens.peek().token == Token::Comma {
        return Err(Diagnostic::at(tokens.span(), "DESCRIPTOR takes one time column"));
    }
    tokens.expect_token(&Token::RParen)?;
    Ok(column)
}

fn parse_interval(tokens: &mut Tokens<'_>, name: &str) -> Result<(i64, Span)> {
    let body = tokens.until(|at| at.peek().token == Token::Comma);
    let span = join(body.span(), tokens.previous_span());
    let expression = body.into_expression()?;
    let value = interval::of_expression(&expression).ok_or_else(|| {
        Diagnostic::at(span, format!("{name} must be an interval")).help("for example INTERVAL '10' SECOND")
    })?;
    match value.map_err(|message| Diagnostic::at(span, message))? {
        Interval::Milliseconds(milliseconds) => Ok((milliseconds, span)),
        Interval::Months(_) => Err(Diagnostic::at(span, format!("{name} must not be in months or years"))
            .help("months differ in length: use days")),
    }
}
