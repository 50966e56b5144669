//! Splits a script into statements, and parses each of them.

use sqlparser::ast::Ident;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Whitespace};

use super::ddl::{self, CreateTable, CreateView};
use super::dialect::tokenize_all;
use super::tokens::{Tokens, describe};
use super::window_tvf::{self, ParsedQuery};
use crate::Script;
use crate::diagnostics::{Diagnostic, Result, join, point};

/// One statement of a script.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// `CREATE TABLE`.
    CreateTable(Box<CreateTable>),
    /// `CREATE VIEW`.
    CreateView(Box<CreateView>),
    /// `DROP TABLE`, `DROP VIEW`.
    Drop(Drop),
    /// `SET 'key' = 'value'`.
    Set(SetOption),
    /// `RESET`, `RESET 'key'`.
    Reset(Option<String>),
    /// `INSERT INTO`.
    Insert(Box<Insert>),
}

/// `DROP [TEMPORARY] TABLE | VIEW [IF EXISTS] name`.
#[derive(Clone, Debug)]
pub(crate) struct Drop {
    /// Whether it is a view.
    pub view: bool,
    /// `IF EXISTS`: an unknown name is not an error.
    pub if_exists: bool,
    /// The name of the table or view.
    pub name: Vec<Ident>,
}

/// `SET 'key' = 'value'`, with the places of both.
#[derive(Clone, Debug)]
pub(crate) struct SetOption {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// The place of the key.
    pub key_span: Span,
    /// The place of the value.
    pub value_span: Span,
}

/// `INSERT INTO table [(columns)] query`.
#[derive(Clone, Debug)]
pub(crate) struct Insert {
    /// The table written to.
    pub table: Vec<Ident>,
    /// The target columns, if they are listed.
    pub columns: Option<Vec<Ident>>,
    /// The query that produces the rows.
    pub query: ParsedQuery,
}

/// The result of parsing a script.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// The statements that could be parsed.
    pub statements: Vec<Statement>,
    /// The errors of the other statements.
    pub diagnostics: Vec<Diagnostic>,
    /// The tables and views whose CREATE could not be parsed.
    pub failed: Vec<String>,
}

/// The name of the table or view that a statement creates.
fn created_name(tokens: &Tokens<'_>) -> Option<String> {
    let mut tokens = tokens.clone();
    if !tokens.accept(&["CREATE"]) {
        return None;
    }
    tokens.accept(&["TEMPORARY"]);
    if !tokens.accept(&["TABLE"]) && !tokens.accept(&["VIEW"]) {
        return None;
    }
    tokens.accept(&["IF", "NOT", "EXISTS"]);
    Some(tokens.object_name("a name").ok()?.pop()?.value)
}

/// Parses a script: its statements, and the errors of those that could not be parsed.
pub(crate) fn parse(script: &Script) -> Parsed {
    let mut tokens = match tokenize_all(&script.text) {
        Ok(tokens) => tokens,
        Err(error) => {
            let span = point(error.location.line, error.location.column);
            return Parsed { diagnostics: vec![Diagnostic::at(span, error.message)], ..Parsed::default() };
        }
    };
    split_angles(&mut tokens);
    let mut parsed = Parsed { diagnostics: tokens.iter().filter_map(refuse_token).collect(), ..Parsed::default() };
    if !parsed.diagnostics.is_empty() {
        return parsed;
    }
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut in_set: Option<Span> = None;
    for (piece, end) in pieces(&tokens, &script.text) {
        let mut cursor = Tokens::new(piece, end);
        let start = cursor.span();
        if cursor.accept(&["EXECUTE", "STATEMENT", "SET", "BEGIN"]) || cursor.accept(&["BEGIN", "STATEMENT", "SET"]) {
            in_set = Some(join(start, cursor.previous_span()));
        } else if in_set.is_some() && cursor.accept(&["END"]) {
            in_set = None;
        }
        if cursor.is_at_end() {
            continue;
        }
        if in_set.is_some() && !cursor.sees(&["INSERT"]) {
            parsed.diagnostics.push(cursor.expected("INSERT INTO or END in a statement set"));
            continue;
        }
        parsed.failed.extend(created_name(&cursor));
        match parse_statement(&mut cursor) {
            Ok(statement) if cursor.is_at_end() => {
                if matches!(statement, Statement::CreateTable(_) | Statement::CreateView(_)) {
                    parsed.failed.pop();
                }
                parsed.statements.push(statement);
            }
            Ok(_) => parsed.diagnostics.push(
                Diagnostic::at(
                    cursor.span(),
                    format!("unexpected {} after the statement", describe(&cursor.peek().token)),
                )
                .help("statements end with ';'"),
            ),
            Err(diagnostic) => parsed.diagnostics.push(diagnostic),
        }
    }
    if let Some(span) = in_set {
        parsed.diagnostics.push(Diagnostic::at(span, "the statement set is not closed").help("end it with END;"));
    }
    parsed
}

/// The error about a token that must not be ignored, or that could be mistaken for a placeholder of ours.
fn refuse_token(token: &TokenWithSpan) -> Option<Diagnostic> {
    match &token.token {
        Token::Whitespace(Whitespace::MultiLineComment(text)) if text.starts_with('+') => {
            let start = point(token.span.start.line, token.span.start.column);
            Some(
                Diagnostic::at(start, "hints are not supported")
                    .help("leave it out; write options in WITH, or LIKE … WITH"),
            )
        }
        Token::Word(word) if word.value.chars().any(char::is_control) => {
            Some(Diagnostic::at(token.span, "a name must not have control characters"))
        }
        _ => None,
    }
}

/// The tokens of each statement, with the place where its text ends.
fn pieces<'a>(tokens: &'a [TokenWithSpan], text: &str) -> Vec<(&'a [TokenWithSpan], Span)> {
    let last_line = text.split('\n').count().max(1);
    let last_column = text.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    let end_of_text = tokens.last().map_or_else(
        || point(last_line as u64, last_column as u64),
        |token| point(token.span.end.line, token.span.end.column),
    );
    let mut pieces = Vec::new();
    let mut start = 0;
    for (index, token) in tokens.iter().enumerate() {
        if token.token == Token::SemiColon {
            pieces.push((&tokens[start..index], token.span));
            start = index + 1;
        }
    }
    pieces.push((&tokens[start..], end_of_text));
    pieces
}

/// Splits every `>>` into two tokens: it closes two types, and Flink has no such operator.
fn split_angles(tokens: &mut Vec<TokenWithSpan>) {
    if !tokens.iter().any(|token| token.token == Token::ShiftRight) {
        return;
    }
    let cut = std::mem::take(tokens);
    for token in cut {
        if token.token == Token::ShiftRight {
            let start = token.span.start;
            tokens.push(TokenWithSpan::new(Token::Gt, point(start.line, start.column)));
            tokens.push(TokenWithSpan::new(Token::Gt, point(start.line, start.column + 1)));
        } else {
            tokens.push(token);
        }
    }
}

fn parse_statement(tokens: &mut Tokens<'_>) -> Result<Statement> {
    let start = tokens.span();
    let Token::Word(word) = tokens.peek().token.clone() else { return Err(tokens.expected("a statement")) };
    match word.value.to_ascii_uppercase().as_str() {
        "CREATE" => ddl::parse_create(tokens),
        "DROP" => parse_drop(tokens),
        "SET" => parse_set(tokens),
        "RESET" => {
            tokens.next();
            if tokens.is_at_end() {
                return Ok(Statement::Reset(None));
            }
            Ok(Statement::Reset(Some(parse_key(tokens)?.0)))
        }
        "INSERT" => parse_insert(tokens),
        "SELECT" | "WITH" | "VALUES" => Err(Diagnostic::at(start, "a query needs a table for its result")
            .help("write INSERT INTO a table; a table WITH ('connector' = 'print') shows rows")),
        "EXECUTE" if tokens.peek_nth(1).token != Token::EOF && !tokens.sees(&["EXECUTE", "STATEMENT"]) => {
            tokens.next();
            parse_statement(tokens)
        }
        "ALTER" => Err(Diagnostic::at(start, "ALTER is not supported").help("change the CREATE statement")),
        "UPDATE" | "DELETE" | "TRUNCATE" | "MERGE" => {
            Err(Diagnostic::at(start, format!("{} is not supported", word.value.to_ascii_uppercase()))
                .help("a streaming job only inserts: INSERT INTO"))
        }
        "EXPLAIN" | "DESCRIBE" | "DESC" | "SHOW" => {
            Err(Diagnostic::at(start, format!("{} is not a statement of a job", word.value.to_ascii_uppercase()))
                .help("`eddyline explain FILE` shows the job graph"))
        }
        "USE" | "ADD" | "REMOVE" | "LOAD" | "UNLOAD" | "ANALYZE" | "CALL" | "COMPILE" | "STOP" | "CLEAR" | "QUIT"
        | "HELP" | "EXECUTE" | "BEGIN" | "END" => {
            Err(Diagnostic::at(start, format!("{} is not supported", word.value.to_ascii_uppercase())))
        }
        _ => Err(Diagnostic::at(start, format!("unknown statement '{}'", word.value))
            .help("statements are CREATE TABLE, CREATE VIEW, DROP, SET, RESET, INSERT INTO, EXECUTE STATEMENT SET")),
    }
}

fn parse_drop(tokens: &mut Tokens<'_>) -> Result<Statement> {
    tokens.expect(&["DROP"])?;
    tokens.accept(&["TEMPORARY"]);
    let view = match tokens.peek().token {
        _ if tokens.accept(&["TABLE"]) => false,
        _ if tokens.accept(&["VIEW"]) => true,
        _ => return Err(tokens.expected("TABLE or VIEW")),
    };
    let if_exists = tokens.accept(&["IF", "EXISTS"]);
    let name = tokens.object_name("a name")?;
    Ok(Statement::Drop(Drop { view, if_exists, name }))
}

fn parse_set(tokens: &mut Tokens<'_>) -> Result<Statement> {
    tokens.expect(&["SET"])?;
    if tokens.is_at_end() {
        return Err(tokens.expected("'key' = 'value'"));
    }
    let (key, key_span) = parse_key(tokens)?;
    tokens.expect_token(&Token::Eq)?;
    let value_span = tokens.span();
    if let Token::SingleQuotedString(value) = tokens.peek().token.clone() {
        tokens.next();
        return Ok(Statement::Set(SetOption { key, value, key_span, value_span }));
    }
    if tokens.is_at_end() {
        return Err(tokens.expected("a value in single quotes"));
    }
    // The older form without quotes: the value extends to the semicolon.
    let mut value = String::new();
    let mut last_end = value_span.start;
    while !tokens.is_at_end() {
        let token = tokens.next();
        if token.span.start != last_end {
            value.push(' ');
        }
        last_end = token.span.end;
        value.push_str(&token.token.to_string());
    }
    Ok(Statement::Set(SetOption { key, value, key_span, value_span: join(value_span, tokens.previous_span()) }))
}

/// A key in quotes, or in the older form without: words separated by points and dashes.
fn parse_key(tokens: &mut Tokens<'_>) -> Result<(String, Span)> {
    let start = tokens.span();
    if let Token::SingleQuotedString(key) = tokens.peek().token.clone() {
        tokens.next();
        return Ok((key, start));
    }
    let mut key = String::new();
    while matches!(tokens.peek().token, Token::Word(_) | Token::Period | Token::Minus | Token::Number(..)) {
        key.push_str(&tokens.next().token.to_string());
    }
    if key.is_empty() {
        Err(tokens.expected("a key in single quotes"))
    } else {
        Ok((key, join(start, tokens.previous_span())))
    }
}

fn parse_insert(tokens: &mut Tokens<'_>) -> Result<Statement> {
    tokens.expect(&["INSERT"])?;
    if tokens.sees(&["OVERWRITE"]) {
        return Err(Diagnostic::at(tokens.span(), "INSERT OVERWRITE is not supported").help("use INSERT INTO"));
    }
    tokens.expect(&["INTO"])?;
    tokens.accept(&["TABLE"]);
    let table = tokens.object_name("a table name")?;
    if tokens.sees(&["PARTITION"]) {
        return Err(Diagnostic::at(tokens.span(), "INSERT INTO … PARTITION is not supported")
            .help("select the partition columns as columns"));
    }
    let mut columns = None;
    let starts_query =
        |tokens: &Tokens<'_>| ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| tokens.sees(&[word]));
    if tokens.peek().token == Token::LParen {
        let mut inner = tokens.clone();
        inner.next();
        if !starts_query(&inner) && inner.peek().token != Token::LParen {
            tokens.next();
            let mut listed = vec![tokens.identifier("a column name")?];
            while tokens.accept_token(&Token::Comma) {
                listed.push(tokens.identifier("a column name")?);
            }
            tokens.expect_token(&Token::RParen)?;
            columns = Some(listed);
        }
    }
    if !starts_query(tokens) && tokens.peek().token != Token::LParen {
        return Err(tokens.expected("SELECT, WITH or VALUES"));
    }
    let query = window_tvf::parse_query(tokens.rest())?;
    Ok(Statement::Insert(Box::new(Insert { table, columns, query })))
}
