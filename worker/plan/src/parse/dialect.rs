//! Flink's dialect for sqlparser: backticks quote identifiers, double quotes do not, and casts accept Flink's types.

use sqlparser::ast::{
    CastKind, DataType as AstDataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, Value,
};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, TokenizerError};

use super::json_syntax;

/// Flink SQL for sqlparser. Syntax that has no node in sqlparser's syntax tree becomes a function call.
#[derive(Debug)]
pub(crate) struct FlinkDialect;

impl Dialect for FlinkDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_' || ch == '$'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        if let Some(is_json) = json_syntax::parse_is_json(parser, expr) {
            return Some(Ok(is_json));
        }
        // sqlparser parses everything after `IS DISTINCT FROM` as its right operand, including `AND` and what follows.
        let negated = match () {
            () if accept(parser, &["IS", "DISTINCT", "FROM"]) => false,
            () if accept(parser, &["IS", "NOT", "DISTINCT", "FROM"]) => true,
            () => return None,
        };
        Some(parser.parse_subexpr(self.prec_value(Precedence::Is)).map(|right| {
            let (left, right) = (Box::new(expr.clone()), Box::new(right));
            if negated { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) }
        }))
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let Token::Word(word) = parser.peek_token_ref().token.clone() else { return None };
        if word.quote_style.is_some() || !matches!(parser.peek_nth_token_ref(1).token, Token::LParen | Token::LBracket)
        {
            return None;
        }
        let opens = parser.peek_nth_token_ref(1).token.clone();
        match (word.value.to_ascii_uppercase().as_str(), opens) {
            ("CAST", Token::LParen) => Some(parse_cast(parser, CastKind::Cast)),
            ("TRY_CAST", Token::LParen) => Some(parse_cast(parser, CastKind::TryCast)),
            ("JSON_VALUE" | "JSON_QUERY" | "JSON_EXISTS", Token::LParen) => {
                Some(json_syntax::parse_query(parser, &word))
            }
            ("JSON_OBJECT", Token::LParen) => Some(json_syntax::parse_object(parser)),
            ("JSON_ARRAY", Token::LParen) => Some(json_syntax::parse_array(parser)),
            ("ROW", Token::LParen) => Some(parse_row(parser)),
            ("TRIM", Token::LParen) => parse_trim_of_blanks(parser),
            ("MAP", Token::LBracket) => Some(parse_bracket_call(parser)),
            _ => None,
        }
    }
}

/// `CAST(expression AS type)`. The type is kept as text, because sqlparser does not know all of Flink's types.
fn parse_cast(parser: &mut Parser, kind: CastKind) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_expr()?;
    let as_word = parser.next_token();
    if !matches!(&as_word.token, Token::Word(word) if word.value.eq_ignore_ascii_case("AS")) {
        return parser.expected("AS", as_word);
    }
    let first = parser.peek_token();
    let mut text = String::new();
    let mut depth = 0usize;
    loop {
        let token = parser.next_token();
        match &token.token {
            Token::EOF => return parser.expected(")", token),
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => break,
            Token::RParen => depth -= 1,
            _ => {}
        }
        text.push_str(&token.token.to_string());
        text.push(' ');
    }
    let name = Ident::with_span(first.span, text.trim_end());
    let data_type = AstDataType::Custom(ObjectName::from(vec![name]), Vec::new());
    Ok(Expr::Cast { kind, expr: Box::new(expr), data_type, array: false, format: None })
}

/// `ROW(a, b)`: the same as `(a, b)`. It can also have one field.
fn parse_row(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let fields = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Tuple(fields))
}

/// `TRIM(BOTH FROM text)`, which sqlparser parses only with the characters to trim.
fn parse_trim_of_blanks(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let is_word = |parser: &Parser, at: usize, expected: &str| matches!(&parser.peek_nth_token_ref(at).token, Token::Word(word) if word.value.eq_ignore_ascii_case(expected));
    let sides = [("BOTH", "BTRIM"), ("LEADING", "LTRIM"), ("TRAILING", "RTRIM")];
    let (_, function) = sides.into_iter().find(|(side, _)| is_word(parser, 2, side) && is_word(parser, 3, "FROM"))?;
    let name = parser.next_token();
    (0..3).for_each(|_| {
        parser.next_token();
    });
    Some(parser.parse_expr().and_then(|text| {
        parser.expect_token(&Token::RParen)?;
        Ok(call(Ident::with_span(name.span, function), vec![text]))
    }))
}

/// `MAP[k, v, …]`.
fn parse_bracket_call(parser: &mut Parser) -> Result<Expr, ParserError> {
    let name = parser.next_token();
    parser.expect_token(&Token::LBracket)?;
    let args = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(&Token::RBracket)?;
    Ok(call(Ident::with_span(name.span, "MAP"), args))
}

/// Consumes the words if all of them are next, in any case.
pub(crate) fn accept(parser: &mut Parser, words: &[&str]) -> bool {
    let all = words.iter().enumerate().all(|(index, expected)| {
        matches!(&parser.peek_nth_token_ref(index).token,
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
    });
    if all {
        words.iter().for_each(|_| {
            parser.next_token();
        });
    }
    all
}

/// A string literal.
pub(crate) fn text(value: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(value.to_owned()))
}

/// The literal NULL.
pub(crate) fn null() -> Expr {
    Expr::value(Value::Null)
}

/// A call of the plain function `name`.
pub(crate) fn call(name: Ident, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// The tokens of `text` with their places.
pub(crate) fn tokenize_all(text: &str) -> Result<Vec<TokenWithSpan>, TokenizerError> {
    Tokenizer::new(&FlinkDialect, text).tokenize_with_location()
}

/// The tokens of `text` with their places, without blanks and comments.
pub(crate) fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>, TokenizerError> {
    let mut tokens = tokenize_all(text)?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    Ok(tokens)
}
