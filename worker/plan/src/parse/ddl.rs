//! The grammar of `CREATE TABLE` and `CREATE VIEW`.

use sqlparser::ast::{Expr, Ident};
use sqlparser::tokenizer::{Span, Token};

use super::statements::Statement;
use super::tokens::Tokens;
use super::types::{SqlType, parse_type};
use super::window_tvf::{self, ParsedQuery};
use crate::diagnostics::{Diagnostic, Result, join};

/// `CREATE TABLE`, as written.
#[derive(Clone, Debug)]
pub(crate) struct CreateTable {
    /// Its name.
    pub name: Vec<Ident>,
    /// `IF NOT EXISTS`: an existing table of this name is not an error.
    pub if_not_exists: bool,
    /// Its columns.
    pub columns: Vec<ColumnDefinition>,
    /// `WATERMARK FOR`.
    pub watermark: Option<WatermarkDefinition>,
    /// `PRIMARY KEY (…) NOT ENFORCED`.
    pub primary_key: Vec<Ident>,
    /// `PARTITIONED BY (…)`.
    pub partitioned_by: Vec<Ident>,
    /// `WITH (…)`.
    pub options: Vec<TableOption>,
    /// `LIKE table (…)`.
    pub like: Option<Like>,
}

/// A column, as written.
#[derive(Clone, Debug)]
pub(crate) struct ColumnDefinition {
    /// Its name.
    pub name: Ident,
    /// The origin of its values.
    pub kind: ColumnKind,
}

/// The origin of the values of a column.
#[derive(Clone, Debug)]
pub(crate) enum ColumnKind {
    /// A physical column: the format decodes it.
    Physical(SqlType),
    /// A computed column.
    Computed(Box<Expr>),
    /// A metadata column: the connector provides it.
    Metadata {
        /// The declared type.
        sql_type: SqlType,
        /// `FROM 'key'`.
        key: Option<String>,
        /// `VIRTUAL`.
        is_virtual: bool,
    },
}

/// `WATERMARK FOR column AS expression`, as written.
#[derive(Clone, Debug)]
pub(crate) struct WatermarkDefinition {
    /// The column; further identifiers are fields inside of it.
    pub column: Vec<Ident>,
    /// The watermark of a row.
    pub expression: Expr,
    /// The place of the expression.
    pub span: Span,
}

/// `'key' = 'value'` in WITH.
#[derive(Clone, Debug)]
pub(crate) struct TableOption {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// The place of key and value.
    pub span: Span,
}

/// `LIKE table (…)`.
#[derive(Clone, Debug)]
pub(crate) struct Like {
    /// The table whose definition is included.
    pub source: Vec<Ident>,
    /// `INCLUDING`, `EXCLUDING`, `OVERWRITING`, by feature.
    pub strategies: Vec<(LikeFeature, LikeStrategy, Span)>,
}

/// A part of a table's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LikeFeature {
    /// All parts.
    All,
    /// The primary key.
    Constraints,
    /// Computed columns.
    Generated,
    /// Metadata columns.
    Metadata,
    /// WITH options.
    Options,
    /// PARTITIONED BY.
    Partitions,
    /// WATERMARK FOR.
    Watermarks,
}

/// How a part of the definition is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LikeStrategy {
    /// Included. The same item in both definitions is an error.
    Including,
    /// Not included.
    Excluding,
    /// Included. The new definition takes precedence.
    Overwriting,
}

/// `CREATE VIEW name [(columns)] AS query`.
#[derive(Clone, Debug)]
pub(crate) struct CreateView {
    /// Its name.
    pub name: Vec<Ident>,
    /// `IF NOT EXISTS`: an existing view of this name is not an error.
    pub if_not_exists: bool,
    /// New names for its columns.
    pub columns: Vec<Ident>,
    /// The query that defines it.
    pub query: ParsedQuery,
}

/// Parses a CREATE statement.
pub(crate) fn parse_create(tokens: &mut Tokens<'_>) -> Result<Statement> {
    tokens.expect(&["CREATE"])?;
    if tokens.sees(&["OR", "REPLACE"]) || tokens.sees(&["OR", "ALTER"]) {
        let span = join(tokens.span(), tokens.peek_nth(1).span);
        return Err(
            Diagnostic::at(span, "CREATE OR REPLACE is not supported").help("use CREATE, after DROP … IF EXISTS")
        );
    }
    tokens.accept(&["TEMPORARY"]);
    if tokens.accept(&["TABLE"]) {
        return Ok(Statement::CreateTable(Box::new(parse_table(tokens)?)));
    }
    if tokens.accept(&["VIEW"]) {
        return Ok(Statement::CreateView(Box::new(parse_view(tokens)?)));
    }
    for kind in ["FUNCTION", "SYSTEM FUNCTION", "CATALOG", "DATABASE", "MODEL", "CONNECTION", "MATERIALIZED TABLE"] {
        let words: Vec<&str> = kind.split(' ').collect();
        if tokens.sees(&words) {
            return Err(Diagnostic::at(tokens.span(), format!("CREATE {kind} is not supported")));
        }
    }
    Err(tokens.expected("TABLE or VIEW"))
}

fn parse_view(tokens: &mut Tokens<'_>) -> Result<CreateView> {
    let if_not_exists = tokens.accept(&["IF", "NOT", "EXISTS"]);
    let name = tokens.object_name("a view name")?;
    let mut columns = Vec::new();
    if tokens.accept_token(&Token::LParen) {
        loop {
            columns.push(tokens.identifier("a column name")?);
            if tokens.accept(&["COMMENT"]) {
                tokens.string("a comment")?;
            }
            if !tokens.accept_token(&Token::Comma) {
                break;
            }
        }
        tokens.expect_token(&Token::RParen)?;
    }
    if tokens.accept(&["COMMENT"]) {
        tokens.string("a comment")?;
    }
    tokens.expect(&["AS"])?;
    let query = window_tvf::parse_query(tokens.rest())?;
    Ok(CreateView { name, if_not_exists, columns, query })
}

fn parse_table(tokens: &mut Tokens<'_>) -> Result<CreateTable> {
    let if_not_exists = tokens.accept(&["IF", "NOT", "EXISTS"]);
    let mut table = CreateTable {
        name: tokens.object_name("a table name")?,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        options: Vec::new(),
        like: None,
    };
    if tokens.accept_token(&Token::LParen) && !tokens.accept_token(&Token::RParen) {
        loop {
            parse_element(tokens, &mut table)?;
            if !tokens.accept_token(&Token::Comma) {
                break;
            }
        }
        tokens.expect_token(&Token::RParen)?;
    }
    if tokens.accept(&["COMMENT"]) {
        tokens.string("a comment")?;
    }
    if tokens.sees(&["DISTRIBUTED"]) {
        return Err(Diagnostic::at(tokens.span(), "DISTRIBUTED BY is not supported"));
    }
    if tokens.accept(&["PARTITIONED", "BY"]) {
        table.partitioned_by = parse_columns(tokens)?;
    }
    if tokens.accept(&["WITH"]) {
        parse_options(tokens, &mut table.options)?;
    }
    if tokens.accept(&["LIKE"]) {
        table.like = Some(parse_like(tokens)?);
    }
    if tokens.sees(&["AS"]) {
        return Err(Diagnostic::at(tokens.span(), "CREATE TABLE … AS SELECT is not supported")
            .help("use CREATE TABLE and INSERT INTO"));
    }
    Ok(table)
}

fn parse_columns(tokens: &mut Tokens<'_>) -> Result<Vec<Ident>> {
    tokens.expect_token(&Token::LParen)?;
    let mut columns = vec![tokens.identifier("a column name")?];
    while tokens.accept_token(&Token::Comma) {
        columns.push(tokens.identifier("a column name")?);
    }
    tokens.expect_token(&Token::RParen)?;
    Ok(columns)
}

fn parse_element(tokens: &mut Tokens<'_>, table: &mut CreateTable) -> Result<()> {
    let start = tokens.span();
    if tokens.accept(&["WATERMARK", "FOR"]) {
        let column = tokens.object_name("a column name")?;
        tokens.expect(&["AS"])?;
        let body = tokens.until(|at| at.peek().token == Token::Comma);
        let span = join(body.span(), tokens.previous_span());
        let expression = body.into_expression()?;
        if table.watermark.is_some() {
            return Err(Diagnostic::at(start, "a table has at most one WATERMARK"));
        }
        table.watermark = Some(WatermarkDefinition { column, expression, span });
        return Ok(());
    }
    if tokens.accept(&["CONSTRAINT"]) {
        tokens.identifier("a constraint name")?;
        if !tokens.sees(&["PRIMARY", "KEY"]) {
            return Err(tokens.expected("PRIMARY KEY"));
        }
    }
    if tokens.sees(&["PRIMARY", "KEY"]) {
        tokens.accept(&["PRIMARY", "KEY"]);
        let key = parse_columns(tokens)?;
        return set_primary_key(tokens, table, key, start);
    }
    if tokens.sees(&["UNIQUE"]) && tokens.peek_nth(1).token == Token::LParen {
        return Err(Diagnostic::at(start, "UNIQUE is not supported").help("use PRIMARY KEY (…) NOT ENFORCED"));
    }
    parse_column(tokens, table)
}

fn set_primary_key(tokens: &mut Tokens<'_>, table: &mut CreateTable, key: Vec<Ident>, start: Span) -> Result<()> {
    if !tokens.accept(&["NOT", "ENFORCED"]) {
        return Err(Diagnostic::at(join(start, tokens.previous_span()), "a PRIMARY KEY must be NOT ENFORCED")
            .help("add NOT ENFORCED: the key is not checked"));
    }
    if !table.primary_key.is_empty() {
        return Err(Diagnostic::at(start, "a table has at most one PRIMARY KEY"));
    }
    table.primary_key = key;
    Ok(())
}

fn parse_column(tokens: &mut Tokens<'_>, table: &mut CreateTable) -> Result<()> {
    let name = tokens.identifier("a column name")?;
    if tokens.accept(&["AS"]) {
        let body = tokens.until(|at| at.peek().token == Token::Comma || at.sees(&["COMMENT"]));
        let expression = body.into_expression()?;
        table.columns.push(ColumnDefinition { name, kind: ColumnKind::Computed(Box::new(expression)) });
    } else {
        let sql_type = parse_type(tokens)?;
        if tokens.accept(&["METADATA"]) {
            let key = if tokens.accept(&["FROM"]) { Some(tokens.string("a metadata key")?.0) } else { None };
            let is_virtual = tokens.accept(&["VIRTUAL"]);
            table.columns.push(ColumnDefinition { name, kind: ColumnKind::Metadata { sql_type, key, is_virtual } });
        } else {
            table.columns.push(ColumnDefinition { name: name.clone(), kind: ColumnKind::Physical(sql_type) });
            let start = tokens.span();
            if tokens.accept(&["PRIMARY", "KEY"]) {
                set_primary_key(tokens, table, vec![name], start)?;
            }
            if tokens.sees(&["DEFAULT"]) || tokens.sees(&["UNIQUE"]) || tokens.sees(&["CHECK"]) {
                let word = tokens.peek().token.to_string().to_ascii_uppercase();
                return Err(Diagnostic::at(tokens.span(), format!("{word} on a column is not supported")));
            }
        }
    }
    if tokens.accept(&["COMMENT"]) {
        tokens.string("a comment")?;
    }
    Ok(())
}

fn parse_options(tokens: &mut Tokens<'_>, options: &mut Vec<TableOption>) -> Result<()> {
    tokens.expect_token(&Token::LParen)?;
    if tokens.accept_token(&Token::RParen) {
        return Ok(());
    }
    loop {
        let (key, start) = tokens.string("an option key in single quotes")?;
        tokens.expect_token(&Token::Eq)?;
        let (value, end) = tokens.string("an option value in single quotes")?;
        if options.iter().any(|option| option.key == key) {
            return Err(Diagnostic::at(start, format!("option '{key}' is given twice")));
        }
        options.push(TableOption { key, value, span: join(start, end) });
        if !tokens.accept_token(&Token::Comma) {
            break;
        }
    }
    tokens.expect_token(&Token::RParen)?;
    Ok(())
}

fn parse_like(tokens: &mut Tokens<'_>) -> Result<Like> {
    let source = tokens.object_name("a table name")?;
    let mut strategies = Vec::new();
    if tokens.accept_token(&Token::LParen) {
        while !tokens.accept_token(&Token::RParen) {
            let span = tokens.span();
            let strategy = match tokens.peek().token {
                _ if tokens.accept(&["INCLUDING"]) => LikeStrategy::Including,
                _ if tokens.accept(&["EXCLUDING"]) => LikeStrategy::Excluding,
                _ if tokens.accept(&["OVERWRITING"]) => LikeStrategy::Overwriting,
                _ => return Err(tokens.expected("INCLUDING, EXCLUDING or OVERWRITING")),
            };
            let feature = match tokens.peek().token {
                _ if tokens.accept(&["ALL"]) => LikeFeature::All,
                _ if tokens.accept(&["CONSTRAINTS"]) => LikeFeature::Constraints,
                _ if tokens.accept(&["GENERATED"]) => LikeFeature::Generated,
                _ if tokens.accept(&["METADATA"]) => LikeFeature::Metadata,
                _ if tokens.accept(&["OPTIONS"]) => LikeFeature::Options,
                _ if tokens.accept(&["PARTITIONS"]) => LikeFeature::Partitions,
                _ if tokens.accept(&["WATERMARKS"]) => LikeFeature::Watermarks,
                _ => {
                    return Err(
                        tokens.expected("ALL, CONSTRAINTS, GENERATED, METADATA, OPTIONS, PARTITIONS or WATERMARKS")
                    );
                }
            };
            let span = join(span, tokens.previous_span());
            if strategy == LikeStrategy::Overwriting
                && matches!(feature, LikeFeature::All | LikeFeature::Constraints | LikeFeature::Partitions)
            {
                return Err(Diagnostic::at(span, "this part cannot be overwritten: use INCLUDING or EXCLUDING"));
            }
            strategies.push((feature, strategy, span));
        }
    }
    Ok(Like { source, strategies })
}
