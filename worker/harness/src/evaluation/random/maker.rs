//! Generates expressions of the shapes that the planner builds.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use eddyline_expression::{Arithmetic, Comparison, Expr, Scalar, ScalarFunction};
use eddyline_functions::{Declared, FunctionContext, Shape, cut, decimal_operator, flink_cast};

use super::Table;
use super::values::{DECIMALS, INTEGERS, MONTHS, Random, SPAN, TEXT, list, map, moments};
use crate::evaluation::{Value, array_of};

/// Patterns of SIMILAR TO, and the regular expressions that the planner translates them to.
const SIMILAR: &[(&str, &str)] = &[
    ("a%", "^(?s:a.*)$"),
    ("(a|A)_?b*c?", "^(?s:(a|A).?b*c?)$"),
    ("[a-c]+", "^(?s:[a-c]+)$"),
    ("[^a-z]{1,3}", "^(?s:[^a-z]{1,3})$"),
    ("%(2|5)%", "^(?s:.*(2|5).*)$"),
    ("", "^(?s:)$"),
];

/// Regular expressions with the syntax of Java that the reference supports. Some are malformed.
const PATTERNS: &[&str] = &[
    "",
    "a",
    "[a-c]+",
    "(a|A)(b*)c?",
    "^a.*c",
    "\\d+",
    "(\\d+)-(\\d+)",
    "\\bT?\\w",
    "\\s",
    "x?",
    "a*",
    "b*?",
    "a{1,2}",
    "[^a-z]",
    "(?:1|2)+",
    "a|abc",
    ".",
    "(a)|(b)",
    "\\.",
    "[\\d.]+",
    "(",
    "*a",
    "[a",
    "日",
];

/// Generates expressions.
pub(super) struct Maker<'a> {
    pub(super) random: Random,
    pub(super) table: &'a Table,
    pub(super) functions: &'a HashMap<&'a str, &'a Arc<dyn ScalarFunction>>,
    pub(super) context: &'a FunctionContext,
}

impl Maker<'_> {
    /// An expression of a type, with a depth of at most `depth` below its root.
    pub(super) fn expression(&mut self, data_type: &DataType, depth: u64) -> Expr {
        if depth == 0 || self.random.one_in(12) {
            return self.leaf(data_type);
        }
        // Not every combination can be built, so several are tried.
        for _ in 0..8 {
            if let Some(expression) = self.node(data_type, depth - 1).filter(|made| made.data_type() == data_type) {
                return expression;
            }
        }
        self.leaf(data_type)
    }

    fn leaf(&mut self, data_type: &DataType) -> Expr {
        match self.table.types.iter().position(|known| known == data_type) {
            Some(place) if !self.random.one_in(3) => {
                let index = place * 2 + self.random.below(2) as usize;
                Expr::column(index, self.table.batch.schema().field(index))
            }
            _ => self.literal(data_type),
        }
    }

    fn literal(&mut self, data_type: &DataType) -> Expr {
        let value = if self.random.one_in(10) { Value::Null } else { self.random.value(data_type) };
        let array = array_of(&[&value], data_type).expect("a value of the type");
        Expr::literal(Scalar::try_from_array(&array, 0).expect("a literal"))
    }

    fn any_type(&mut self) -> DataType {
        self.random.pick(&self.table.types).clone()
    }

    fn call(&mut self, name: &str, arguments: Vec<Expr>) -> Option<Expr> {
        let function = Arc::clone(self.functions.get(name)?);
        let types: Vec<DataType> = arguments.iter().map(|argument| argument.data_type().clone()).collect();
        if function.coerce(&types).ok()? != types {
            return None;
        }
        Expr::call(function, arguments).ok()
    }

    /// A literal regular expression, or any text.
    fn regular_expression(&mut self) -> Expr {
        Expr::literal(*self.random.pick(PATTERNS))
    }

    fn json_path(&mut self) -> Expr {
        self.unit(&["$", "$.a", "lax $.a", "strict $.a.b", "$[0]", "lax $[1].a", "$.a[1]", "lax $.k"])
    }

    fn unit(&mut self, units: &[&str]) -> Expr {
        Expr::literal(*self.random.pick(units))
    }

    fn node(&mut self, to: &DataType, depth: u64) -> Option<Expr> {
        if self.random.one_in(3) {
            return self.of_any_type(to, depth);
        }
        match to {
            DataType::Boolean => self.condition(depth),
            whole if whole.is_integer() => self.whole(whole, depth),
            DataType::Float32 | DataType::Float64 => self.floating(to, depth),
            DataType::Decimal128(precision, scale) => self.decimal((*precision, *scale), depth),
            DataType::Utf8 => self.text(depth),
            DataType::Binary => {
                let text = self.expression(&TEXT, depth);
                if self.random.one_in(3) {
                    self.call("unhex", vec![text])
                } else if self.random.one_in(2) {
                    self.cast(text, to, false)
                } else {
                    self.call("encode", vec![text, Expr::literal("UTF-8")])
                }
            }
            DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..) => self.moment(to, depth),
            DataType::Duration(_) | DataType::Interval(_) => match self.random.below(2) {
                0 => Expr::negate(self.expression(to, depth)).ok(),
                _ => {
                    let operator = *self.random.pick(&[Arithmetic::Plus, Arithmetic::Minus]);
                    if *to == MONTHS {
                        return None;
                    }
                    Expr::calculate(operator, self.expression(to, depth), self.expression(to, depth)).ok()
                }
            },
            _ => self.nested(to, depth),
        }
    }

    /// An expression that exists for all types.
    fn of_any_type(&mut self, to: &DataType, depth: u64) -> Option<Expr> {
        match self.random.below(9) {
            0 | 1 => {
                let operand = self.random.one_in(3).then(|| self.any_type()).filter(is_equatable);
                let when = operand.clone().unwrap_or(DataType::Boolean);
                let operand = operand.map(|operand| self.expression(&operand, depth));
                let branches = (0..=self.random.below(3))
                    .map(|_| (self.expression(&when, depth), self.expression(to, depth)))
                    .collect();
                let otherwise = (!self.random.one_in(3)).then(|| self.expression(to, depth));
                Expr::case(operand, branches, otherwise).ok()
            }
            2 => {
                let arguments = (0..=self.random.below(3)).map(|_| self.expression(to, depth)).collect();
                self.call("coalesce", arguments)
            }
            3 => {
                let condition = self.expression(&DataType::Boolean, depth);
                let (yes, no) = (self.expression(to, depth), self.expression(to, depth));
                self.call("if", vec![condition, yes, no])
            }
            4 => {
                let (left, right) = (self.expression(to, depth), self.expression(to, depth));
                if self.random.one_in(2) || !is_equatable(to) {
                    return self.call("ifnull", vec![left, right]);
                }
                // The planner's form of NULLIF.
                let equal = Expr::compare(Comparison::Eq, left.clone(), right).ok()?;
                Expr::case(None, vec![(equal, Expr::literal(Scalar::null(to).ok()?))], Some(left)).ok()
            }
            5 => {
                if to.is_nested() || *to == DataType::Boolean || *to == SPAN || *to == MONTHS {
                    return None;
                }
                let arguments = (0..=self.random.below(3)).map(|_| self.expression(to, depth)).collect();
                let name = *self.random.pick(&["greatest", "least"]);
                self.call(name, arguments)
            }
            6 => self.part_of_nested(to, depth),
            _ => {
                let from = self.any_type();
                let or_null = self.random.one_in(3);
                if !has_cast(&from, to) {
                    return None;
                }
                let value = self.expression(&from, depth);
                self.cast(value, to, or_null)
            }
        }
    }

    /// A conversion, as the planner builds it.
    fn cast(&mut self, value: Expr, to: &DataType, or_null: bool) -> Option<Expr> {
        match flink_cast(value.data_type(), to, or_null, self.context) {
            Some(function) => Expr::call(function, vec![value]).ok(),
            None if value.data_type().is_nested() => None,
            None => Expr::cast(value, to, or_null).ok(),
        }
    }

    fn part_of_nested(&mut self, to: &DataType, depth: u64) -> Option<Expr> {
        let of = self.any_type();
        match &of {
            DataType::List(field) if field.data_type() == to => {
                let container = self.expression(&of, depth);
                if self.random.one_in(4) {
                    return self.call("element", vec![container]);
                }
                let position = self.random.pick(&INTEGERS).clone();
                Expr::element(container, self.expression(&position, depth)).ok()
            }
            DataType::Map(field, _) => {
                let DataType::Struct(fields) = field.data_type() else { return None };
                if fields[1].data_type() != to {
                    return None;
                }
                let key = fields[0].data_type().clone();
                Expr::element(self.expression(&of, depth), self.expression(&key, depth)).ok()
            }
            DataType::Struct(fields) => {
                let field = fields.iter().find(|field| field.data_type() == to)?;
                Expr::field(self.expression(&of, depth), field.name()).ok()
            }
            _ => None,
        }
    }

    fn condition(&mut self, depth: u64) -> Option<Expr> {
        let condition = DataType::Boolean;
        match self.random.below(18) {
            17 => {
                let text = self.expression(&TEXT, depth);
                if self.random.one_in(2) {
                    let path = self.json_path();
                    return self.call("json_exists", vec![text, path]);
                }
                let mut arguments = vec![text];
                if self.random.one_in(2) {
                    arguments.push(self.unit(&["VALUE", "SCALAR", "ARRAY", "OBJECT"]));
                }
                self.call("is_json", arguments)
            }
            14 => {
                let of = if self.random.one_in(4) { DataType::Binary } else { TEXT };
                let (whole, part) = (self.expression(&of, depth), self.expression(&of, depth));
                let name = *self.random.pick(&["startswith", "endswith"]);
                self.call(name, vec![whole, part])
            }
            15 => {
                let of = if self.random.one_in(3) { self.any_type() } else { TEXT };
                let value = self.expression(&of, depth);
                let name = *self.random.pick(&["is_alpha", "is_digit", "is_decimal"]);
                self.call(name, vec![value])
            }
            16 => {
                let (text, pattern) = (self.expression(&TEXT, depth), self.regular_expression());
                self.call("regexp", vec![text, pattern])
            }
            0..=3 => {
                use Comparison::{Distinct, Eq, Gt, GtEq, Lt, LtEq, NotDistinct, NotEq};
                let of = self.any_type();
                if !is_equatable(&of) {
                    return None;
                }
                let all = [Eq, NotEq, Distinct, NotDistinct, Lt, LtEq, Gt, GtEq];
                let operator = *self.random.pick(if of.is_nested() { &all[..4] } else { &all });
                Expr::compare(operator, self.expression(&of, depth), self.expression(&of, depth)).ok()
            }
            4 | 5 => Expr::and(self.expression(&condition, depth), self.expression(&condition, depth)).ok(),
            6 | 7 => Expr::or(self.expression(&condition, depth), self.expression(&condition, depth)).ok(),
            8 => Expr::not(self.expression(&condition, depth)).ok(),
            9 => {
                let of = self.any_type();
                if !is_equatable(&of) {
                    return None;
                }
                let value = self.expression(&of, depth);
                let length = *self.random.pick(&[1, 2, 3, 12]);
                let list = if length == 12 || self.random.one_in(2) {
                    (0..length).map(|_| self.literal(&of)).collect()
                } else {
                    (0..length).map(|_| self.expression(&of, depth)).collect()
                };
                Expr::one_of(value, list, self.random.one_in(2)).ok()
            }
            10 => {
                let pattern = if self.random.one_in(4) {
                    self.expression(&TEXT, depth)
                } else {
                    let patterns =
                        ["%", "_", "a%", "%c", "a_c", "%a%b%", "", "a\\%c", "a\\_c", "%\\\\%", "_%_", "日_", "%𝄞_"];
                    Expr::literal(*self.random.pick(&patterns))
                };
                Expr::like(self.expression(&TEXT, depth), pattern, self.random.one_in(2)).ok()
            }
            11 => {
                let (pattern, regex) = *self.random.pick(SIMILAR);
                Expr::similar(self.expression(&TEXT, depth), pattern.to_owned(), regex, self.random.one_in(2)).ok()
            }
            12 => {
                let of = self.any_type();
                let value = self.expression(&of, depth);
                Some(if self.random.one_in(2) { Expr::is_null(value) } else { Expr::is_not_null(value) })
            }
            _ => {
                let element = self.random.pick(&[DataType::Int32, DataType::Float64, TEXT]).clone();
                let (array, sought) =
                    (self.expression(&list(element.clone()), depth), self.expression(&element, depth));
                self.call("array_contains", vec![array, sought])
            }
        }
    }

    fn operator(&mut self) -> Arithmetic {
        use Arithmetic::{Divide, Minus, Modulo, Multiply, Plus};
        *self.random.pick(&[Plus, Minus, Multiply, Divide, Modulo])
    }

    fn whole(&mut self, to: &DataType, depth: u64) -> Option<Expr> {
        match self.random.below(8) {
            0..=3 => {
                let operator = self.operator();
                Expr::calculate(operator, self.expression(to, depth), self.expression(to, depth)).ok()
            }
            4 => Expr::negate(self.expression(to, depth)).ok(),
            5 => {
                let name = *self.random.pick(&["abs", "sign", "round", "truncate", "ceil", "floor"]);
                let mut arguments = vec![self.expression(to, depth)];
                if matches!(name, "round" | "truncate") {
                    arguments.push(Expr::literal(self.random.below(7) as i32 - 3));
                }
                self.call(name, arguments)
            }
            6 => {
                let other = self.random.pick(&INTEGERS).clone();
                let (left, right) = (self.expression(&other, depth), self.expression(to, depth));
                self.call("mod", vec![left, right])
            }
            _ => self.count(to, depth),
        }
    }

    fn count(&mut self, to: &DataType, depth: u64) -> Option<Expr> {
        let moments = moments();
        match to {
            DataType::Int64 => {
                let of = self.random.pick(&moments).clone();
                let unit = self.unit(&[
                    "YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOY", "DOW", "HOUR", "MINUTE", "SECOND", "EPOCH",
                ]);
                let moment = self.expression(&of, depth);
                self.call("extract", vec![unit, moment])
            }
            DataType::Int32 => match self.random.below(3) {
                0 if self.random.one_in(2) => {
                    let mut arguments = vec![self.expression(&TEXT, depth), self.expression(&TEXT, depth)];
                    if self.random.one_in(2) {
                        arguments.push(self.expression(&DataType::Int32, depth));
                    }
                    let name = *self.random.pick(&["position", "locate"]);
                    self.call(name, arguments)
                }
                0 => match self.random.below(4) {
                    0 => {
                        let text = self.expression(&TEXT, depth);
                        self.call("char_length", vec![text])
                    }
                    1 => {
                        let text = self.expression(&TEXT, depth);
                        self.call("ascii", vec![text])
                    }
                    2 => {
                        let (text, pattern) = (self.expression(&TEXT, depth), self.regular_expression());
                        self.call("regexp_count", vec![text, pattern])
                    }
                    _ => {
                        let mut arguments = vec![self.expression(&TEXT, depth), self.expression(&TEXT, depth)];
                        for _ in 0..self.random.below(3) {
                            arguments.push(Expr::literal(self.random.below(9) as i32 - 4));
                        }
                        self.call("instr", arguments)
                    }
                },
                1 => {
                    let of = self.random.pick(&[list(TEXT), map(DataType::Float64, TEXT)]).clone();
                    let of = self.expression(&of, depth);
                    self.call("cardinality", vec![of])
                }
                _ => {
                    let of = self.random.pick(&[0, 2, 3, 4].map(|place: usize| moments[place].clone())).clone();
                    let unit = self.unit(&["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"]);
                    let (from, until) = (self.expression(&of, depth), self.expression(&of, depth));
                    self.call("timestampdiff", vec![unit, from, until])
                }
            },
            _ => None,
        }
    }

    fn floating(&mut self, to: &DataType, depth: u64) -> Option<Expr> {
        match self.random.below(6) {
            0..=2 => {
                let operator = self.operator();
                Expr::calculate(operator, self.expression(to, depth), self.expression(to, depth)).ok()
            }
            3 => Expr::negate(self.expression(to, depth)).ok(),
            4 => {
                let name = *self.random.pick(&[
                    "abs", "sign", "round", "truncate", "ceil", "floor", "sqrt", "ln", "exp", "cbrt", "log10", "sin",
                    "cos", "tan", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh", "degrees", "radians", "log",
                    "log2",
                ]);
                let mut arguments = vec![self.expression(to, depth)];
                if matches!(name, "round" | "truncate") && self.random.one_in(2) {
                    arguments.push(Expr::literal(self.random.below(9) as i32 - 3));
                }
                self.call(name, arguments)
            }
            _ => {
                let name = *self.random.pick(&["mod", "power", "atan2", "log"]);
                let (left, right) = (self.expression(to, depth), self.expression(to, depth));
                self.call(name, vec![left, right])
            }
        }
    }

    fn decimal(&mut self, (precision, scale): (u8, i8), depth: u64) -> Option<Expr> {
        let to = DataType::Decimal128(precision, scale);
        match self.random.below(5) {
            0..=2 => {
                let (left, right) = (self.random.pick(&DECIMALS).clone(), self.random.pick(&DECIMALS).clone());
                let digits = |data_type: &DataType| match data_type {
                    DataType::Decimal128(precision, scale) => (*precision, *scale),
                    _ => (1, 0),
                };
                let function = decimal_operator(self.operator(), digits(&left), digits(&right), (precision, scale));
                Expr::call(function, vec![self.expression(&left, depth), self.expression(&right, depth)]).ok()
            }
            3 => Expr::negate(self.expression(&to, depth)).ok(),
            _ => {
                let name = *self.random.pick(&["abs", "sign", "round", "truncate", "ceil", "floor", "mod"]);
                let from = self.random.pick(&DECIMALS).clone();
                let mut arguments = vec![self.expression(&from, depth)];
                match name {
                    "round" | "truncate" => arguments.push(Expr::literal(self.random.below(7) as i32 - 3)),
                    "mod" => {
                        let other = self.random.pick(&DECIMALS).clone();
                        arguments.push(self.expression(&other, depth));
                    }
                    _ => {}
                }
                let call = self.call(name, arguments)?;
                self.cast(call, &to, false)
            }
        }
    }

    fn text(&mut self, depth: u64) -> Option<Expr> {
        let text = self.expression(&TEXT, depth);
        match self.random.below(17) {
            15 => {
                let (name, path) = (*self.random.pick(&["json_value", "json_query"]), self.json_path());
                self.call(name, vec![text, path])
            }
            16 => {
                let name = *self.random.pick(&["json_string", "json_object", "json_array"]);
                let mut arguments = Vec::new();
                if name != "json_string" {
                    arguments.push(self.unit(&["NULL", "ABSENT"]));
                }
                for _ in 0..if name == "json_string" { 1 } else { self.random.below(3) } {
                    if name == "json_object" {
                        arguments.push(self.unit(&["b", "a", "\"q\""]));
                    }
                    let of = [TEXT, DataType::Int32, DataType::Boolean, DECIMALS[0].clone(), list(TEXT)];
                    let of = self.random.pick(&of).clone();
                    arguments.push(self.expression(&of, depth));
                }
                self.call(name, arguments)
            }
            9 => {
                let names = ["initcap", "to_base64", "from_base64", "url_encode", "url_decode"];
                let name = *self.random.pick(&names);
                self.call(name, vec![text])
            }
            10 => {
                let name =
                    *self.random.pick(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha2", "to_base64"]);
                if name == "sha2" {
                    let bits = Expr::literal(*self.random.pick(&[224_i32, 256, 384, 512, 100]));
                    return self.call(name, vec![text, bits]);
                }
                let bytes = self.expression(&DataType::Binary, depth);
                let of = if self.random.one_in(2) { text } else { bytes };
                self.call(name, vec![of])
            }
            11 => {
                let number = self.expression(&DataType::Int64, depth);
                let name = *self.random.pick(&["bin", "chr"]);
                self.call(name, vec![number])
            }
            12 => {
                let number = Expr::literal(self.random.below(14) as i32 - 3);
                let other = self.expression(&TEXT, depth);
                match self.random.below(6) {
                    0 => self.call("lpad", vec![text, number, other]),
                    1 => self.call("rpad", vec![text, number, other]),
                    2 => self.call("elt", vec![number, text, other]),
                    3 => self.call("split_index", vec![text, other, number]),
                    4 => {
                        let code = self.expression(&DataType::Int32, depth);
                        self.call("split_index", vec![text, code, number])
                    }
                    _ => {
                        let mut arguments = vec![text, other];
                        arguments.extend((0..=self.random.below(2)).map(|_| self.expression(&DataType::Int64, depth)));
                        self.call("overlay", arguments)
                    }
                }
            }
            13 => {
                let pattern = self.regular_expression();
                if self.random.one_in(2) {
                    let new = self.expression(&TEXT, depth);
                    return self.call("regexp_replace", vec![text, pattern, new]);
                }
                let mut arguments = vec![text, pattern];
                if self.random.one_in(2) {
                    arguments.push(Expr::literal(self.random.below(5) as i32 - 1));
                }
                self.call("regexp_extract", arguments)
            }
            14 if self.random.one_in(2) => {
                let parts = ["HOST", "PATH", "QUERY", "REF", "PROTOCOL", "FILE", "AUTHORITY", "USERINFO", "host"];
                let mut arguments = vec![text, self.unit(&parts)];
                if self.random.one_in(4) {
                    arguments = vec![arguments.swap_remove(0), Expr::literal("QUERY"), self.unit(&["k", "a", "", "x"])];
                }
                self.call("parse_url", arguments)
            }
            14 => {
                let seconds =
                    Expr::literal(*self.random.pick(&[0_i64, -1, 1_700_000_000, 1_698_541_200, -62_135_596_800]));
                self.call("from_unixtime", vec![seconds])
            }
            0 => {
                let mut arguments = vec![text];
                arguments.extend((0..self.random.below(3)).map(|_| self.expression(&TEXT, depth)));
                let name = *self.random.pick(&["concat", "concat_ws"]);
                self.call(name, arguments)
            }
            7 => {
                let (name, more) = *self.random.pick(&[
                    ("btrim", 0),
                    ("ltrim", 0),
                    ("rtrim", 0),
                    ("btrim", 1),
                    ("ltrim", 1),
                    ("rtrim", 1),
                    ("replace", 2),
                    ("translate", 2),
                ]);
                let mut arguments = vec![text];
                arguments.extend((0..more).map(|_| self.expression(&TEXT, depth)));
                self.call(name, arguments)
            }
            8 => {
                let count = Expr::literal(self.random.below(5) as i32 - 1);
                self.call("repeat", vec![text, count])
            }
            1 => {
                let name = *self.random.pick(&["upper", "lower", "reverse"]);
                self.call(name, vec![text])
            }
            2 => {
                let mut arguments = vec![text];
                arguments.extend((0..=self.random.below(2)).map(|_| self.expression(&DataType::Int64, depth)));
                self.call("substring", arguments)
            }
            3 => {
                let count = self.expression(&DataType::Int32, depth);
                let name = *self.random.pick(&["left", "right"]);
                self.call(name, vec![text, count])
            }
            4 => {
                let shape = self.random.pick(&[Shape::Char(3), Shape::Varchar(2), Shape::Varchar(1)]).clone();
                Expr::call(cut(&TEXT, &shape)?, vec![text]).ok()
            }
            5 => {
                let of = self.random.pick(&[DataType::Int64, TEXT, DataType::Binary]).clone();
                let value = self.expression(&of, depth);
                self.call("hex", vec![value])
            }
            _ => {
                let moments = moments();
                let of = self.random.pick(&moments[2..]).clone();
                let moment = self.expression(&of, depth);
                let pattern = self.unit(&["yyyy-MM-dd HH:mm:ss.SSS", "yyMMdd", "d.M.yyyy H:m"]);
                self.call("date_format", vec![moment, pattern])
            }
        }
    }

    fn moment(&mut self, to: &DataType, depth: u64) -> Option<Expr> {
        match self.random.below(6) {
            4 => {
                let units = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"];
                let of_type = match to {
                    DataType::Time32(_) => &units[5..],
                    DataType::Date32 => &units[..5],
                    _ => &units[..],
                };
                let (unit, moment) = (self.unit(of_type), self.expression(to, depth));
                // CEIL of a time after 23:00 would not be a TIME.
                let is_time = matches!(to, DataType::Time32(_));
                let name = if is_time || self.random.one_in(2) { "floor_to" } else { "ceil_to" };
                self.call(name, vec![unit, moment])
            }
            5 => match to {
                DataType::Date32 => {
                    let text = self.expression(&TEXT, depth);
                    self.call("to_date", vec![text])
                }
                DataType::Timestamp(TimeUnit::Millisecond, None) => {
                    let text = self.expression(&TEXT, depth);
                    self.call("to_timestamp", vec![text])
                }
                DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => {
                    let mut arguments = vec![self.expression(&DataType::Int64, depth)];
                    if self.random.one_in(2) {
                        arguments.push(Expr::literal(*self.random.pick(&[0_i32, 3])));
                    }
                    self.call("to_timestamp_ltz", arguments)
                }
                _ => None,
            },
            0 | 1 if matches!(to, DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date32) => {
                let by = if *to == DataType::Date32 || self.random.one_in(3) { MONTHS } else { SPAN };
                let operator = *self.random.pick(&[Arithmetic::Plus, Arithmetic::Minus]);
                Expr::calculate(operator, self.expression(to, depth), self.expression(&by, depth)).ok()
            }
            0 | 1 => {
                let digits = self.random.below(4) as u32;
                let value = self.expression(to, depth);
                Expr::call(cut(to, &Shape::Digits(digits))?, vec![value]).ok()
            }
            2 => {
                let count = Expr::literal(*self.random.pick(&[0_i64, 1, -1, 13, -25, 400, 100_000]));
                let units = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"];
                let unit = self.unit(if matches!(to, DataType::Time32(_)) { &units[5..] } else { &units });
                let moment = self.expression(to, depth);
                self.call("timestampadd", vec![unit, count, moment])
            }
            _ => {
                let from = if self.random.one_in(2) { TEXT } else { self.random.pick(&moments()).clone() };
                let value = self.expression(&from, depth);
                let or_null = self.random.one_in(2);
                if has_cast(&from, to) { self.cast(value, to, or_null) } else { None }
            }
        }
    }

    fn nested(&mut self, to: &DataType, depth: u64) -> Option<Expr> {
        match to {
            DataType::List(field) => match self.random.below(4) {
                0 if *field.data_type() == TEXT && self.random.one_in(2) => {
                    let (text, separator) = (self.expression(&TEXT, depth), self.expression(&TEXT, depth));
                    self.call("split", vec![text, separator])
                }
                0 if *field.data_type() == TEXT => {
                    let map = map(TEXT, DataType::Int32);
                    let map = self.expression(&map, depth);
                    self.call("map_keys", vec![map])
                }
                0 if *field.data_type() == DataType::Int32 => {
                    let map = map(TEXT, DataType::Int32);
                    let map = self.expression(&map, depth);
                    self.call("map_values", vec![map])
                }
                1 if *field.data_type() == TEXT => {
                    let not_null = Declared { not_null: false, shape: Shape::Char(2) };
                    let value = self.expression(to, depth);
                    Expr::call(cut(to, &Shape::Array(Box::new(not_null)))?, vec![value]).ok()
                }
                1 => {
                    let element = self.random.pick(&[DataType::Int32, DataType::Float64, TEXT]).clone();
                    let value = self.expression(&list(element), depth);
                    self.cast(value, to, true)
                }
                _ => {
                    let arguments =
                        (0..=self.random.below(3)).map(|_| self.expression(field.data_type(), depth)).collect();
                    self.call("array", arguments)
                }
            },
            DataType::Map(field, _) => {
                let DataType::Struct(fields) = field.data_type() else { return None };
                if *to == map(TEXT, TEXT) && self.random.one_in(2) {
                    let mut arguments = vec![self.expression(&TEXT, depth)];
                    if self.random.one_in(2) {
                        let known = PATTERNS.iter().filter(|pattern| !["(", "*a", "[a"].contains(pattern));
                        let known: Vec<&str> = known.copied().collect();
                        arguments.extend((0..2).map(|_| Expr::literal(*self.random.pick(&known))));
                    }
                    return self.call("str_to_map", arguments);
                }
                if self.random.one_in(3) {
                    let from = self.random.pick(&[map(TEXT, DataType::Int32), map(DataType::Float64, TEXT)]).clone();
                    let value = self.expression(&from, depth);
                    return self.cast(value, to, false);
                }
                let arguments = (0..2 * (1 + self.random.below(3)))
                    .map(|place| self.expression(fields[(place % 2) as usize].data_type(), depth))
                    .collect();
                self.call("map", arguments)
            }
            DataType::Struct(fields) if self.random.one_in(3) => {
                let plain = || Declared { not_null: false, shape: Shape::Plain };
                let short = || Declared { not_null: false, shape: Shape::Varchar(2) };
                let of = |field: &DataType| if *field == TEXT { short() } else { plain() };
                let shape = fields.iter().map(|field| (field.name().clone(), of(field.data_type()))).collect();
                let value = self.expression(to, depth);
                Expr::call(cut(to, &Shape::Row(shape))?, vec![value]).ok()
            }
            DataType::Struct(fields) => {
                let arguments = fields.iter().map(|field| self.expression(field.data_type(), depth)).collect();
                self.call("row", arguments)
            }
            _ => None,
        }
    }
}

/// Whether the planner allows comparisons of a type.
fn is_equatable(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Map(..))
}

/// Whether the planner allows a cast between the types.
fn has_cast(from: &DataType, to: &DataType) -> bool {
    let is_number = |data_type: &DataType| data_type.is_numeric() || *data_type == DataType::Boolean;
    let is_moment = |data_type: &DataType| moments().contains(data_type);
    let is_interval = |data_type: &DataType| *data_type == SPAN || *data_type == MONTHS;
    if from == to || is_interval(from) || is_interval(to) || from.is_nested() != to.is_nested() && *to != TEXT {
        return false;
    }
    match (from, to) {
        (_, DataType::Utf8) => true,
        (DataType::Utf8, to) => !to.is_nested(),
        (DataType::Time32(_), DataType::Date32) | (DataType::Date32, DataType::Time32(_)) => false,
        (DataType::List(_), DataType::List(_)) | (DataType::Map(..), DataType::Map(..)) => true,
        (from, to) => is_number(from) && is_number(to) || is_moment(from) && is_moment(to),
    }
}
