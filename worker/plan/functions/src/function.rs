//! One scalar function as DataFusion sees it: names, overloads, result type, body.
//!
//! Each module of this crate describes its functions with [`function`]; nothing else implements `ScalarUDFImpl`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::arguments::Arguments;
use crate::context::FunctionContext;
use crate::parameters::{Parameter, coerce};

type Body = Arc<dyn Fn(&Arguments) -> Result<ArrayRef> + Send + Sync>;
type Check = fn(&ReturnFieldArgs) -> Result<()>;
type Rewrite = fn(&[Expr]) -> Result<Expr>;

/// How a function's result type follows from the (coerced) types of its arguments.
#[derive(Clone)]
pub(crate) enum Returns {
    /// Always this type.
    Type(DataType),
    /// The type of the argument at this position.
    Argument(usize),
    /// Computed from types and literals.
    From(fn(&ReturnFieldArgs) -> Result<DataType>),
}

/// A scalar function with Flink's semantics.
#[derive(Clone)]
pub(crate) struct Function {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    overloads: &'static [&'static [Parameter]],
    repeats_last: bool,
    /// Replaces `overloads`: the function takes exactly these types.
    exact: Option<Vec<DataType>>,
    returns: Returns,
    check: Option<Check>,
    rewrite: Option<Rewrite>,
    /// What besides the name tells two functions apart: context, cast types.
    identity: String,
    /// The part of it that results depend on, as a person reads it.
    detail: String,
    body: Body,
}

/// A function of `overloads` that returns `returns`. A call no overload fits is refused at planning.
pub(crate) fn function(
    name: &'static str,
    overloads: &'static [&'static [Parameter]],
    returns: Returns,
    body: impl Fn(&Arguments) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Function {
    Function {
        name,
        aliases: Vec::new(),
        signature: Signature::user_defined(Volatility::Immutable),
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

    /// The function gives another result each time: never folded, never shared.
    pub(crate) fn volatile(mut self) -> Self {
        self.signature = Signature::user_defined(Volatility::Volatile);
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
        // Too much tells two functions apart without need, too little takes one for the other.
        self.detail.clone_from(&identity);
        self.identity = identity;
        self
    }

    /// Refuses bad literals while planning.
    pub(crate) fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// The expression that computes only the arguments it needs.
    pub(crate) fn rewrite(mut self, rewrite: Rewrite) -> Self {
        self.rewrite = Some(rewrite);
        self
    }

    /// The function for DataFusion.
    pub(crate) fn into_udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

/// What the results of a function of this crate depend on besides its name and arguments, such as `in Europe/Berlin`;
/// nothing for most.
pub fn detail_of(udf: &ScalarUDF) -> &str {
    udf.inner().downcast_ref::<Function>().map_or("", |function| &function.detail)
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.identity == other.identity
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.identity.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match &self.exact {
            Some(exact) => Ok(exact.clone()),
            None => coerce(self.name, self.overloads, self.repeats_last, types),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let fields: Vec<FieldRef> =
            types.iter().map(|data_type| Arc::new(Field::new("argument", data_type.clone(), true))).collect();
        let scalar_arguments = vec![None; fields.len()];
        let args = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalar_arguments };
        Ok(self.return_field_from_args(args)?.data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some(check) = self.check {
            check(&args)?;
        }
        let data_type = match &self.returns {
            Returns::Type(data_type) => data_type.clone(),
            Returns::Argument(position) => match args.arg_fields.get(*position) {
                Some(field) => field.data_type().clone(),
                None => return internal_err!("{} was called without argument {}", self.name, position + 1),
            },
            Returns::From(derive) => derive(&args)?,
        };
        Ok(Arc::new(Field::new(self.name, data_type, true)))
    }

    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.rewrite {
            Some(rewrite) => Ok(ExprSimplifyResult::Simplified(rewrite(&args)?)),
            None => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn short_circuits(&self) -> bool {
        self.rewrite.is_some()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let single = constant && self.signature.volatility != Volatility::Volatile;
        let arguments = Arguments::new(args, single)?;
        let array = (self.body)(&arguments)?;
        if single {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
        } else {
            Ok(ColumnarValue::Array(array))
        }
    }
}

/// The literal STRING at a position of a call, if it is one.
pub(crate) fn literal_text<'a>(args: &'a ReturnFieldArgs, position: usize) -> Option<&'a str> {
    args.scalar_arguments.get(position).copied().flatten()?.try_as_str().flatten()
}

/// The literal integer at a position of a call, if it is one.
pub(crate) fn literal_integer(args: &ReturnFieldArgs, position: usize) -> Option<i64> {
    match args.scalar_arguments.get(position).copied().flatten()? {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        _ => None,
    }
}
