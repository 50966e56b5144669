//! A cursor over the tokens of one statement, for the parts of Flink's grammar that sqlparser does not have.

use sqlparser::ast::{Expr, Ident, Query};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::dialect::FlinkDialect;
use crate::diagnostics::{Diagnostic, Result, point};

/// A cursor over tokens. Reading past the end gives [`Token::EOF`] at the place where the text ends.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    tokens: &'a [TokenWithSpan],
    index: usize,
    end: TokenWithSpan,
}

impl<'a> Tokens<'a> {
    /// A cursor at the first of `tokens`. `end` is the place after them.
    pub(crate) fn new(tokens: &'a [TokenWithSpan], end: Span) -> Self {
        Self { tokens, index: 0, end: TokenWithSpan::new(Token::EOF, end) }
    }

    /// The next token.
    pub(crate) fn peek(&self) -> &TokenWithSpan {
        self.peek_nth(0)
    }

    /// The token `n` after the next one.
    pub(crate) fn peek_nth(&self, n: usize) -> &TokenWithSpan {
        self.tokens.get(self.index + n).unwrap_or(&self.end)
    }

    /// The place of the next token.
    pub(crate) fn span(&self) -> Span {
        self.peek().span
    }

    /// The place of the token before the cursor.
    pub(crate) fn previous_span(&self) -> Span {
        self.index.checked_sub(1).and_then(|index| self.tokens.get(index)).unwrap_or(&self.end).span
    }

    /// Consumes the next token.
    pub(crate) fn next(&mut self) -> TokenWithSpan {
        let token = self.peek().clone();
        self.index = (self.index + 1).min(self.tokens.len());
        token
    }

    /// Whether all tokens are consumed.
    pub(crate) fn is_at_end(&self) -> bool {
        self.index >= self.tokens.len()
    }

    /// Whether the next tokens are these words, in any case and not quoted.
    pub(crate) fn sees(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| is_word(&self.peek_nth(n).token, word))
    }

    /// Consumes these words if they are next.
    pub(crate) fn accept(&mut self, words: &[&str]) -> bool {
        let seen = self.sees(words);
        if seen {
            self.index += words.len();
        }
        seen
    }

    /// Consumes this token if it is next.
    pub(crate) fn accept_token(&mut self, token: &Token) -> bool {
        let seen = self.peek().token == *token;
        if seen {
            self.index += 1;
        }
        seen
    }

    /// Consumes these words; an error if they are not next.
    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<Span> {
        let span = self.span();
        if self.accept(words) { Ok(span) } else { Err(self.expected(&words.join(" "))) }
    }

    /// Consumes this token; an error if it is not next.
    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<Span> {
        let span = self.span();
        if self.accept_token(token) { Ok(span) } else { Err(self.expected(&format!("'{token}'"))) }
    }

    /// The error that something else than `what` is next.
    pub(crate) fn expected(&self, what: &str) -> Diagnostic {
        let found = self.peek();
        Diagnostic::at(found.span, format!("expected {what}, found {}", describe(&found.token)))
    }

    /// Consumes an identifier, quoted or not.
    pub(crate) fn identifier(&mut self, what: &str) -> Result<Ident> {
        match &self.peek().token {
            Token::Word(word) => {
                let ident = Ident { value: word.value.clone(), quote_style: word.quote_style, span: self.span() };
                self.index += 1;
                Ok(ident)
            }
            Token::DoubleQuotedString(_) => Err(double_quotes(self.span())),
            _ => Err(self.expected(what)),
        }
    }

    /// Consumes identifiers that are separated by points.
    pub(crate) fn object_name(&mut self, what: &str) -> Result<Vec<Ident>> {
        let mut parts = vec![self.identifier(what)?];
        while self.accept_token(&Token::Period) {
            parts.push(self.identifier(what)?);
        }
        Ok(parts)
    }

    /// Consumes a string literal.
    pub(crate) fn string(&mut self, what: &str) -> Result<(String, Span)> {
        let span = self.span();
        match &self.peek().token {
            Token::SingleQuotedString(text) => {
                let text = text.clone();
                self.index += 1;
                Ok((text, span))
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Consumes a whole number.
    pub(crate) fn number(&mut self, what: &str) -> Result<u32> {
        match &self.peek().token {
            Token::Number(text, _) => {
                let number = text.parse().map_err(|_| self.expected(what))?;
                self.index += 1;
                Ok(number)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Consumes the tokens up to the first one at this level of brackets for which `stop` is true, or up to the bracket
    /// that closes the level.
    pub(crate) fn until(&mut self, stop: impl Fn(&Tokens<'_>) -> bool) -> Tokens<'a> {
        let start = self.index;
        let mut depth = 0usize;
        while !self.is_at_end() {
            match self.peek().token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth == 0 => break,
                Token::RParen | Token::RBracket => depth -= 1,
                _ if depth == 0 && stop(self) => break,
                _ => {}
            }
            self.index += 1;
        }
        Tokens { tokens: &self.tokens[start..self.index], index: 0, end: TokenWithSpan::new(Token::EOF, self.span()) }
    }

    /// Consumes all remaining tokens.
    pub(crate) fn rest(&mut self) -> Tokens<'a> {
        let rest = Tokens { tokens: &self.tokens[self.index..], index: 0, end: self.end.clone() };
        self.index = self.tokens.len();
        rest
    }

    /// The remaining tokens.
    pub(crate) fn remaining(&self) -> &'a [TokenWithSpan] {
        &self.tokens[self.index..]
    }

    /// The place after the tokens.
    pub(crate) fn end_span(&self) -> Span {
        self.end.span
    }

    /// Parses all tokens as an expression.
    pub(crate) fn into_expression(self) -> Result<Expr> {
        self.parse_all("an expression", |parser| parser.parse_expr())
    }

    /// Parses all tokens as a query.
    pub(crate) fn into_query(self) -> Result<Box<Query>> {
        self.parse_all("a query", |parser| parser.parse_query())
    }

    fn parse_all<T>(
        self,
        what: &str,
        parse: impl FnOnce(&mut Parser<'_>) -> std::result::Result<T, ParserError>,
    ) -> Result<T> {
        if self.is_at_end() {
            return Err(self.expected(what));
        }
        let mut tokens = self.remaining().to_vec();
        refuse_double_quotes(&tokens)?;
        refuse_long_chains(&tokens)?;
        tokens.push(self.end.clone());
        let mut parser = Parser::new(&FlinkDialect).with_recursion_limit(64).with_tokens_with_locations(tokens);
        let parsed = parse(&mut parser).map_err(|error| syntax_error(&error, self.end.span))?;
        let next = parser.peek_token();
        if next.token == Token::EOF {
            Ok(parsed)
        } else {
            Err(Diagnostic::at(next.span, format!("unexpected {} after {what}", describe(&next.token))))
        }
    }
}

/// Whether the token is this word, in any case and not quoted.
pub(crate) fn is_word(token: &Token, expected: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
}

/// A token as an error message shows it.
pub(crate) fn describe(token: &Token) -> String {
    match token {
        Token::EOF => "the end of the statement".to_owned(),
        Token::Word(word) if word.value.starts_with(super::window_tvf::PLACEHOLDER) => "TABLE(…)".to_owned(),
        other => format!("'{other}'"),
    }
}

/// The error about a double quote.
fn double_quotes(span: Span) -> Diagnostic {
    Diagnostic::at(span, "double quotes do not quote anything in Flink SQL")
        .help("quote names with `backticks` and strings with 'single quotes'")
}

fn refuse_double_quotes(tokens: &[TokenWithSpan]) -> Result<()> {
    tokens
        .iter()
        .find(|token| matches!(token.token, Token::DoubleQuotedString(_)))
        .map_or(Ok(()), |token| Err(double_quotes(token.span)))
}

/// The maximum number of tokens between two commas or clauses, a pair of brackets counted as one token. Chains of
/// operators become syntax trees as deep as they are long.
const CHAIN_MAX: usize = 4_000;
/// The maximum number of queries in one UNION ALL, for the same reason.
const UNIONS_MAX: usize = 2_000;

fn refuse_long_chains(tokens: &[TokenWithSpan]) -> Result<()> {
    const CLAUSES: [&str; 9] = ["SELECT", "FROM", "WHERE", "GROUP", "HAVING", "UNION", "WHEN", "THEN", "ELSE"];
    let mut lengths = vec![0usize];
    let mut unions = 0usize;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => lengths.push(0),
            Token::RParen | Token::RBracket if lengths.len() > 1 => {
                lengths.pop();
            }
            _ => {}
        }
        unions += usize::from(is_word(&token.token, "UNION"));
        let resets = token.token == Token::Comma || CLAUSES.iter().any(|clause| is_word(&token.token, clause));
        let Some(length) = lengths.last_mut() else { continue };
        *length = if resets { 0 } else { *length + 1 };
        if *length > CHAIN_MAX {
            return Err(Diagnostic::at(token.span, "the expression is nested too deeply"));
        }
        if unions > UNIONS_MAX {
            return Err(Diagnostic::at(token.span, format!("more than {UNIONS_MAX} queries in one UNION ALL")));
        }
    }
    Ok(())
}

/// An error of sqlparser, with the place parsed out of its text.
pub(crate) fn syntax_error(error: &ParserError, end: Span) -> Diagnostic {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => return Diagnostic::at(end, "the statement is nested too deeply"),
    };
    let (message, place) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, place.split_once(", Column: ")),
        None => (text, None),
    };
    let span = place
        .and_then(|(line, column)| Some(point(line.trim().parse().ok()?, column.trim().parse().ok()?)))
        .unwrap_or(end);
    let message = match message.split_once(super::window_tvf::PLACEHOLDER) {
        Some((before, _)) => format!("{}TABLE(…)", before.trim_end_matches('`')),
        None => message.replace("found: EOF", "found the end of the statement"),
    };
    let message = message.strip_prefix("Expected: ").map_or_else(|| message.clone(), |rest| format!("expected {rest}"));
    Diagnostic::at(span, message.replace(", found: ", ", found "))
}
