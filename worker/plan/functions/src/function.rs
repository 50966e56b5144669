//! One scalar function: names, overloads, result type, body.
//!
//! Each module of this crate describes its functions with [`function`]. Nothing else implements `ScalarFunction`.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use eddyline_expression::{Expr, Invocation, Result, Scalar, ScalarFunction, Syntax, internal_err};

use crate::arguments::Arguments;
use crate::context::FunctionContext;
use crate::parameters::{Parameter, coerce};

type Body = Arc<dyn Fn(&Arguments) -> Result<ArrayRef> + Send + Sync>;
type Check = fn(&[Expr]) -> Result<()>;
type Rewrite = fn(&[Expr]) -> Option<Expr>;

/// How a function's result type follows from the (coerced) types of its arguments.
#[derive(Clone)]
pub(crate) enum Returns {
    /// Always this type.
    Type(DataType),
    /// The type of the argument at this position.
    Argument(usize),
    /// Computed from types and literals.
    From(fn(&[Expr]) -> Result<DataType>),
}

/// A scalar function with Flink's semantics.
#[derive(Clone)]
pub(crate) struct Function {
    name: &'static str,
    aliases: Vec<String>,
    is_volatile: bool,
    can_fail: bool,
    syntax: Syntax,
    overloads: &'static [&'static [Parameter]],
    repeats_last: bool,
    /// Replaces `overloads`: the function takes exactly these types.
    exact: Option<Vec<DataType>>,
    returns: Returns,
    check: Option<Check>,
    rewrite: Option<Rewrite>,
    /// What distinguishes two functions with the same name: context, cast types.
    identity: String,
    /// The part of the identity that results depend on, for people.
    detail: String,
    body: Body,
}

/// Describes a function with these overloads and this result type. A call that fits no overload is refused while
/// planning.
pub(crate) fn function(
    name: &'static str,
    overloads: &'static [&'static [Parameter]],
    returns: Returns,
    body: impl Fn(&Arguments) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Function {
    Function {
        name,
        aliases: Vec::new(),
        is_volatile: false,
        can_fail: true,
        syntax: Syntax::Call,
        overloads,
        repeats_last: false,
        exact: None,
        returns,
        check: None,
        rewrite: None,
        identity: String::new(),
        detail: String::new(),
        body: Arc::new(body),
    }
}

impl Function {
    /// Other names of the function.
    pub(crate) fn aliases(mut self, aliases: &[&str]) -> Self {
        self.aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        self
    }

    /// The last parameter may be given more than once.
    pub(crate) fn repeats_last(mut self) -> Self {
        self.repeats_last = true;
        self
    }

    /// The function may give another result at each call, so calls are never folded and never shared.
    pub(crate) fn volatile(mut self) -> Self {
        self.is_volatile = true;
        self
    }

    /// The function's result depends on the session.
    pub(crate) fn in_context(mut self, context: &FunctionContext) -> Self {
        self.identity = format!("{context:?}");
        self.detail = format!("in {}", context.time_zone);
        self
    }

    /// What results depend on besides the arguments.
    pub(crate) fn detail(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }

    /// The function takes exactly these types.
    pub(crate) fn exactly(mut self, types: Vec<DataType>, identity: String) -> Self {
        self.exact = Some(types);
        // The detail must not distinguish equal functions, and it must distinguish different ones.
        self.detail.clone_from(&identity);
        self.identity = identity;
        self
    }

    /// Refuses bad literals while planning.
    pub(crate) fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// `rewrite` gives an expression that computes only the needed arguments, or `None` if that makes no difference.
    pub(crate) fn rewrite(mut self, rewrite: Rewrite) -> Self {
        self.rewrite = Some(rewrite);
        self
    }

    /// No call fails.
    pub(crate) fn never_fails(mut self) -> Self {
        self.can_fail = false;
        self
    }

    /// How a call is written.
    pub(crate) fn syntax(mut self, syntax: Syntax) -> Self {
        self.syntax = syntax;
        self
    }

    /// The finished function.
    pub(crate) fn build(self) -> Arc<dyn ScalarFunction> {
        Arc::new(self)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl ScalarFunction for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn detail(&self) -> &str {
        &self.detail
    }

    fn syntax(&self) -> &Syntax {
        &self.syntax
    }

    fn is_volatile(&self) -> bool {
        self.is_volatile
    }

    fn can_fail(&self) -> bool {
        self.can_fail
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match &self.exact {
            Some(exact) => Ok(exact.clone()),
            None => coerce(self.name, self.overloads, self.repeats_last, types),
        }
    }

    fn return_type(&self, arguments: &[Expr]) -> Result<DataType> {
        if let Some(check) = self.check {
            check(arguments)?;
        }
        match &self.returns {
            Returns::Type(data_type) => Ok(data_type.clone()),
            Returns::Argument(position) => match arguments.get(*position) {
                Some(argument) => Ok(argument.data_type().clone()),
                None => internal_err!("{} was called without argument {}", self.name, position + 1),
            },
            Returns::From(derive) => derive(arguments),
        }
    }

    fn instead(&self, arguments: &[Expr]) -> Option<Expr> {
        self.rewrite?(arguments)
    }

    fn invoke(&self, invocation: Invocation<'_>) -> Result<ArrayRef> {
        (self.body)(&Arguments::new(invocation))
    }
}

/// The literal STRING at a position of a call, if it is one.
pub(crate) fn literal_text(args: &[Expr], position: usize) -> Option<&str> {
    args.get(position)?.as_literal()?.as_str()
}

/// The literal integer at a position of a call, if it is one.
pub(crate) fn literal_integer(args: &[Expr], position: usize) -> Option<i64> {
    args.get(position)?.as_literal().and_then(Scalar::as_integer)
}
