//! The syntax of the JSON functions. Their clauses become arguments of function calls.

use sqlparser::ast::{Expr, Ident, UnaryOperator};
use sqlparser::dialect::Precedence;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Word};

use super::dialect::{FlinkDialect, accept, call, null, text};

/// `JSON_VALUE(json, path [RETURNING type] [NULL | ERROR | DEFAULT x ON EMPTY] [… ON ERROR])`, `JSON_QUERY` and
/// `JSON_EXISTS`. The clauses follow as string literals, in the order of the functions' parameters.
pub(crate) fn parse_query(parser: &mut Parser, word: &Word) -> Result<Expr, ParserError> {
    let name = parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let mut args = vec![parser.parse_expr()?];
    parser.expect_token(&Token::Comma)?;
    args.push(parser.parse_expr()?);
    match word.value.to_ascii_uppercase().as_str() {
        "JSON_VALUE" => parse_value_clauses(parser, &mut args)?,
        "JSON_QUERY" => parse_query_clauses(parser, &mut args)?,
        _ => {
            for behaviour in ["TRUE", "FALSE", "UNKNOWN", "ERROR"] {
                if accept(parser, &[behaviour, "ON", "ERROR"]) {
                    args.push(text(behaviour));
                    break;
                }
            }
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call(Ident::with_span(name.span, word.value.clone()), args))
}

fn parse_value_clauses(parser: &mut Parser, args: &mut Vec<Expr>) -> Result<(), ParserError> {
    let mut returning = text("STRING");
    if accept(parser, &["RETURNING"]) {
        let kind = parser.next_token();
        returning = match kind.token.to_string().to_ascii_uppercase().as_str() {
            "STRING" | "VARCHAR" => text("STRING"),
            "BOOLEAN" => text("BOOLEAN"),
            "INT" | "INTEGER" => text("INTEGER"),
            "BIGINT" => text("BIGINT"),
            "DOUBLE" => text("DOUBLE"),
            _ => return parser.expected("STRING, BOOLEAN, INTEGER, BIGINT or DOUBLE", kind),
        };
        if parser.consume_token(&Token::LParen) {
            parser.next_token();
            parser.expect_token(&Token::RParen)?;
        }
    }
    let mut behaviours = [(text("NULL"), null()), (text("NULL"), null())];
    for _ in 0..2 {
        let behaviour = if accept(parser, &["NULL"]) {
            (text("NULL"), null())
        } else if accept(parser, &["DEFAULT"]) {
            (text("DEFAULT"), parser.parse_expr()?)
        } else if !matches!(parser.peek_token_ref().token, Token::RParen) && accept(parser, &["ERROR"]) {
            (text("ERROR"), null())
        } else {
            break;
        };
        if accept(parser, &["ON", "EMPTY"]) {
            behaviours[0] = behaviour;
        } else if accept(parser, &["ON", "ERROR"]) {
            behaviours[1] = behaviour;
        } else {
            let found = parser.peek_token();
            return parser.expected("ON EMPTY or ON ERROR", found);
        }
    }
    args.push(returning);
    for (behaviour, value) in behaviours {
        args.push(behaviour);
        args.push(value);
    }
    Ok(())
}

fn parse_query_clauses(parser: &mut Parser, args: &mut Vec<Expr>) -> Result<(), ParserError> {
    let wrappers: [(&[&str], &str); 8] = [
        (&["WITHOUT", "ARRAY", "WRAPPER"], "WITHOUT"),
        (&["WITHOUT", "WRAPPER"], "WITHOUT"),
        (&["WITH", "CONDITIONAL", "ARRAY", "WRAPPER"], "CONDITIONAL"),
        (&["WITH", "CONDITIONAL", "WRAPPER"], "CONDITIONAL"),
        (&["WITH", "UNCONDITIONAL", "ARRAY", "WRAPPER"], "UNCONDITIONAL"),
        (&["WITH", "UNCONDITIONAL", "WRAPPER"], "UNCONDITIONAL"),
        (&["WITH", "ARRAY", "WRAPPER"], "UNCONDITIONAL"),
        (&["WITH", "WRAPPER"], "UNCONDITIONAL"),
    ];
    let wrapper = wrappers.iter().find(|(words, _)| accept(parser, words)).map_or("WITHOUT", |(_, name)| name);
    let mut behaviours = ["NULL", "NULL"];
    let kinds: [(&[&str], &str); 4] = [
        (&["NULL"], "NULL"),
        (&["EMPTY", "ARRAY"], "EMPTY ARRAY"),
        (&["EMPTY", "OBJECT"], "EMPTY OBJECT"),
        (&["ERROR"], "ERROR"),
    ];
    for _ in 0..2 {
        let Some((_, kind)) = kinds.iter().find(|(words, _)| accept(parser, words)) else { break };
        if accept(parser, &["ON", "EMPTY"]) {
            behaviours[0] = kind;
        } else if accept(parser, &["ON", "ERROR"]) {
            behaviours[1] = kind;
        } else {
            let found = parser.peek_token();
            return parser.expected("ON EMPTY or ON ERROR", found);
        }
    }
    args.extend([text(wrapper), text(behaviours[0]), text(behaviours[1])]);
    Ok(())
}

/// `JSON_OBJECT([[KEY] key VALUE value | key : value], … [NULL | ABSENT ON NULL])`. Without the clause NULLs are kept.
pub(crate) fn parse_object(parser: &mut Parser) -> Result<Expr, ParserError> {
    parse_members(parser, "NULL", |parser, args| {
        // Here KEY is the keyword, not the key itself.
        if !matches!(&parser.peek_nth_token_ref(1).token, Token::Colon | Token::Comma | Token::RParen)
            && !matches!(&parser.peek_nth_token_ref(1).token, Token::Word(word) if word.value.eq_ignore_ascii_case("VALUE"))
        {
            accept(parser, &["KEY"]);
        }
        let with_value = parser.maybe_parse(|parser| {
            let key = parser.parse_expr()?;
            if accept(parser, &["VALUE"]) { Ok(key) } else { parser.expected("VALUE", parser.peek_token()) }
        })?;
        let key = match with_value {
            Some(key) => key,
            None => {
                // In sqlparser a colon is an operator of high precedence. So the key is parsed at that precedence.
                let key = parser.parse_subexpr(precedence_of_colon())?;
                if !parser.consume_token(&Token::Colon) {
                    return parser.expected("VALUE or ':' after the key", parser.peek_token());
                }
                key
            }
        };
        args.push(key);
        args.push(parser.parse_expr()?);
        Ok(())
    })
}

/// `JSON_ARRAY([value, …] [NULL | ABSENT ON NULL])`. Without the clause NULLs are left out.
pub(crate) fn parse_array(parser: &mut Parser) -> Result<Expr, ParserError> {
    parse_members(parser, "ABSENT", |parser, args| {
        args.push(parser.parse_expr()?);
        Ok(())
    })
}

/// The members of a new document. The first argument of the call says how it treats NULLs.
fn parse_members(
    parser: &mut Parser,
    otherwise: &str,
    mut member: impl FnMut(&mut Parser, &mut Vec<Expr>) -> Result<(), ParserError>,
) -> Result<Expr, ParserError> {
    let name = parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let mut args = vec![text(otherwise)];
    loop {
        if accept(parser, &["NULL", "ON", "NULL"]) {
            args[0] = text("NULL");
        } else if accept(parser, &["ABSENT", "ON", "NULL"]) {
            args[0] = text("ABSENT");
        } else if !matches!(parser.peek_token_ref().token, Token::RParen) {
            member(parser, &mut args)?;
            if parser.consume_token(&Token::Comma) || !matches!(parser.peek_token_ref().token, Token::RParen) {
                continue;
            }
        }
        parser.expect_token(&Token::RParen)?;
        return Ok(call(Ident::with_span(name.span, name.token.to_string()), args));
    }
}

/// `expr IS [NOT] JSON [VALUE | SCALAR | ARRAY | OBJECT]`.
pub(crate) fn parse_is_json(parser: &mut Parser, expr: &Expr) -> Option<Expr> {
    let span = parser.peek_token_ref().span;
    let negated = match () {
        () if accept(parser, &["IS", "JSON"]) => false,
        () if accept(parser, &["IS", "NOT", "JSON"]) => true,
        () => return None,
    };
    let kind = ["VALUE", "SCALAR", "ARRAY", "OBJECT"].into_iter().find(|kind| accept(parser, &[kind]));
    let args = vec![expr.clone(), text(kind.unwrap_or("VALUE"))];
    let is_json = call(Ident::with_span(span, "IS_JSON"), args);
    Some(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(is_json) } } else { is_json })
}

fn precedence_of_colon() -> u8 {
    use sqlparser::dialect::Dialect;
    FlinkDialect.prec_value(Precedence::Colon)
}
