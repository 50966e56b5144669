//! `+ - * / %` of decimals as Flink computes them. The exact result is rounded to the scale of the result type, and
//! halves are rounded away from zero. It is NULL if it does not fit the precision. A quotient is rounded to 38 digits
//! first.
//!
//! Arrow's kernels fail if an intermediate value does not fit 128 bits, which happens long before the result is too
//! large: 5.0 divided by 2.0, both DECIMAL(38, 18), needs 40 digits in between. Here intermediate values have up to 256
//! bits. Two decimals of 38 digits never need more.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::ArrowNativeTypeOp;
use arrow::datatypes::{DataType, Decimal128Type, i256};
use eddyline_expression::{Arithmetic, Result, ScalarFunction, Syntax, value_err};

use eddyline_stream::sql_type;

use crate::arguments::Arguments;
use crate::function::{Returns, function};

/// The precision and the scale of a DECIMAL. The precision is at most 38, and the scale is between 0 and the precision.
pub type DecimalType = (u8, i8);

/// The function of two decimals of these types that gives a decimal of the type `result`. Division by zero is an error.
pub fn decimal_operator(
    operator: Arithmetic,
    left: DecimalType,
    right: DecimalType,
    result: DecimalType,
) -> Arc<dyn ScalarFunction> {
    let data_type = |(precision, scale)| DataType::Decimal128(precision, scale);
    let (name, symbol) = match operator {
        Arithmetic::Plus => ("decimal_add", "+"),
        Arithmetic::Minus => ("decimal_subtract", "-"),
        Arithmetic::Multiply => ("decimal_multiply", "*"),
        Arithmetic::Divide => ("decimal_divide", "/"),
        Arithmetic::Modulo => ("decimal_remainder", "%"),
    };
    let computation = Computation::new(operator, left, right, result);
    let identity = format!("{operator:?} {left:?} {right:?} {result:?}");
    function(name, &[], Returns::Type(data_type(result)), move |args| evaluate(args, &computation))
        .exactly(vec![data_type(left), data_type(right)], identity)
        .detail(format!("AS {}", sql_type(&data_type(result))))
        .syntax(Syntax::Infix(symbol))
        .build()
}

fn evaluate(args: &Arguments, computation: &Computation) -> Result<ArrayRef> {
    let (left, right) = (args.primitive::<Decimal128Type>(0)?, args.primitive::<Decimal128Type>(1)?);
    let divides = matches!(computation.operator, Arithmetic::Divide | Arithmetic::Modulo);
    args.try_write::<Decimal128Type>(|row| match (left.get(row), right.get(row)) {
        (Some(_), Some(0)) if divides => value_err!("{}: division by zero", computation.operator),
        (Some(left), Some(right)) => Ok(computation.compute(left, right)),
        _ => Ok(None),
    })
}

/// A calculation on unscaled values.
pub(crate) struct Computation {
    operator: Arithmetic,
    /// Scale of the left side.
    left: u32,
    /// Scale of the right side.
    right: u32,
    /// Scale of the result.
    result: u32,
    /// The bound of the absolute value of the result.
    bound: i128,
}

impl Computation {
    pub(crate) fn new(operator: Arithmetic, left: DecimalType, right: DecimalType, result: DecimalType) -> Self {
        let digits = |(_, scale): DecimalType| u32::from(scale.unsigned_abs());
        let bound = 10_i128.pow(u32::from(result.0));
        Self { operator, left: digits(left), right: digits(right), result: digits(result), bound }
    }

    /// `None` if the result does not fit its type.
    pub(crate) fn compute(&self, left: i128, right: i128) -> Option<i128> {
        if self.operator == Arithmetic::Divide {
            let value = self.narrow_quotient(left, right).or_else(|| self.quotient(left, right));
            return value.filter(|value| value.unsigned_abs() < self.bound.unsigned_abs());
        }
        let narrow = self.rounded(left, right, 10_i128);
        let wide = || self.rounded(i256::from_i128(left), i256::from_i128(right), i256::from_i128(10))?.to_i128();
        narrow.or_else(wide).filter(|value| value.unsigned_abs() < self.bound.unsigned_abs())
    }

    /// The quotient, if one rounding gives the same result as two and 128 bits are enough. Otherwise `None`.
    fn narrow_quotient(&self, left: i128, right: i128) -> Option<i128> {
        /// For a smaller dividend the remainder differs from half of the divisor by more than the last of the
        /// quotient's 38 digits. So rounding to 38 digits keeps it on the same side of one half.
        const DIVIDEND_MAX: u128 = 10_u128.pow(37);
        let (up, down) = (self.result + self.right, self.left);
        let raised = |value: i128, digits: u32| value.checked_mul(10_i128.checked_pow(digits)?);
        let dividend = raised(left, up.saturating_sub(down))?;
        let divisor = raised(right, down.saturating_sub(up))?;
        if dividend.unsigned_abs() < DIVIDEND_MAX { half_up(dividend, divisor) } else { None }
    }

    /// The quotient, rounded to 38 digits and then to the scale of the result. `None` if that has more than 38 digits.
    fn quotient(&self, left: i128, right: i128) -> Option<i128> {
        const DIGITS: u32 = 38;
        let power = |digits: u32| i256::from_i128(10).checked_pow(digits);
        let digits_of = |value: i128| value.unsigned_abs().checked_ilog10().map_or(0, |digits| digits + 1);
        // The quotient of numbers with this many digits has 38 or 39 digits, so it fits 256 bits.
        let mut raised = (DIGITS + digits_of(right)).saturating_sub(digits_of(left));
        let (left, right) = (i256::from_i128(left), i256::from_i128(right));
        let whole = left.checked_mul(power(raised)?)?.checked_div(right)?;
        if absolute(whole) >= power(DIGITS)? {
            raised = raised.checked_sub(1)?;
        }
        let rounded = half_up(left.checked_mul(power(raised)?)?, right)?;
        let scale = i64::from(raised) + i64::from(self.left) - i64::from(self.right);
        match scale - i64::from(self.result) {
            // No digit is left.
            dropped if dropped > i64::from(DIGITS) => Some(0),
            dropped @ 0.. => half_up(rounded, power(u32::try_from(dropped).ok()?)?)?.to_i128(),
            missing => rounded.checked_mul(power(u32::try_from(-missing).ok()?)?)?.to_i128(),
        }
    }

    /// The result, computed with integers of type `T`. `None` if an intermediate value does not fit, which cannot
    /// happen with 256 bits.
    fn rounded<T: ArrowNativeTypeOp>(&self, left: T, right: T, ten: T) -> Option<T> {
        let scaled = |value: T, digits: u32| match digits {
            0 => Some(value),
            digits => value.mul_checked(ten.pow_checked(digits).ok()?).ok(),
        };
        let common = self.left.max(self.right);
        let aligned = || Some((scaled(left, common - self.left)?, scaled(right, common - self.right)?));
        let (dividend, divisor) = match self.operator {
            Arithmetic::Divide => return None,
            Arithmetic::Multiply => (left.mul_checked(right).ok()?, self.left + self.right),
            Arithmetic::Plus => (aligned().and_then(|(left, right)| left.add_checked(right).ok())?, common),
            Arithmetic::Minus => (aligned().and_then(|(left, right)| left.sub_checked(right).ok())?, common),
            Arithmetic::Modulo => (aligned().and_then(|(left, right)| left.mod_checked(right).ok())?, common),
        };
        let to = self.result;
        half_up(scaled(dividend, to.saturating_sub(divisor))?, scaled(T::ONE, divisor.saturating_sub(to))?)
    }
}

/// The quotient. Halves are rounded away from zero.
fn half_up<T: ArrowNativeTypeOp>(dividend: T, divisor: T) -> Option<T> {
    if divisor.is_eq(T::ONE) {
        return Some(dividend);
    }
    let quotient = dividend.div_checked(divisor).ok()?;
    let rest = absolute(dividend.sub_wrapping(quotient.mul_wrapping(divisor)));
    if rest.add_checked(rest).ok()?.is_lt(absolute(divisor)) {
        Some(quotient)
    } else if dividend.is_lt(T::ZERO) == divisor.is_lt(T::ZERO) {
        quotient.add_checked(T::ONE).ok()
    } else {
        quotient.sub_checked(T::ONE).ok()
    }
}

fn absolute<T: ArrowNativeTypeOp>(value: T) -> T {
    if value.is_lt(T::ZERO) { value.neg_wrapping() } else { value }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;
    use proptest::prelude::*;

    use super::*;

    const OPERATORS: [Arithmetic; 5] =
        [Arithmetic::Plus, Arithmetic::Minus, Arithmetic::Multiply, Arithmetic::Divide, Arithmetic::Modulo];

    /// The same result with numbers of any size: a fraction that is rounded. A quotient is rounded to 38 digits first.
    fn exact(of: &Computation, left: i128, right: i128) -> Option<i128> {
        let power = |digits: u32| BigInt::from(10).pow(digits);
        let (a, b) = (BigInt::from(left), BigInt::from(right));
        let (a_over, b_over) = (power(of.left), power(of.right));
        let (dividend, divisor) = match of.operator {
            Arithmetic::Plus => (a * &b_over + b * &a_over, a_over * b_over),
            Arithmetic::Minus => (a * &b_over - b * &a_over, a_over * b_over),
            Arithmetic::Multiply => (a * b, a_over * b_over),
            Arithmetic::Divide => (a * b_over, b * a_over),
            Arithmetic::Modulo => ((a * &b_over) % (b * &a_over), a_over * b_over),
        };
        let (dividend, divisor) = match of.operator {
            Arithmetic::Divide => in_38_digits(dividend, divisor),
            _ => (dividend, divisor),
        };
        let rounded = rounded(dividend * power(of.result), divisor);
        i128::try_from(rounded).ok().filter(|value| value.unsigned_abs() < of.bound.unsigned_abs())
    }

    /// A fraction rounded to 38 digits, as a fraction.
    fn in_38_digits(dividend: BigInt, divisor: BigInt) -> (BigInt, BigInt) {
        let power = |digits: usize| BigInt::from(10).pow(digits as u32);
        let digits = |number: &BigInt| number.magnitude().to_string().len();
        let raised = 38 + digits(&divisor);
        let dividend = dividend * power(raised);
        let dropped = digits(&(&dividend / &divisor)).saturating_sub(38);
        (rounded(dividend, divisor * power(dropped)) * power(dropped), power(raised))
    }

    /// The quotient, halves away from zero.
    fn rounded(dividend: BigInt, divisor: BigInt) -> BigInt {
        let two = BigInt::from(2);
        let negative = (dividend < BigInt::ZERO) != (divisor < BigInt::ZERO);
        let (dividend, divisor) =
            (BigInt::from(dividend.magnitude().clone()), BigInt::from(divisor.magnitude().clone()));
        let rounded = (dividend * &two + &divisor) / (divisor * two);
        if negative { -rounded } else { rounded }
    }

    #[test]
    fn a_quotient_is_rounded_to_38_digits_first() {
        // The quotient has 18 digits before its point. Rounded to 20 digits after it, 0.4999… becomes 0.5, which
        // becomes 1.
        let of = Computation::new(Arithmetic::Divide, (38, 0), (38, 0), (38, 0));
        let (whole, divisor) = (10_i128.pow(17), 10_i128.pow(20) + 1);
        let below_half = whole * divisor + divisor / 2;
        assert_eq!(of.compute(below_half, divisor), Some(whole + 1));
        assert_eq!(of.compute(-below_half, divisor), Some(-whole - 1));
        assert_eq!(of.compute(below_half - 1, divisor), Some(whole));
    }

    fn decimal() -> impl Strategy<Value = (i128, i8)> {
        // This gives numbers of all lengths equally often.
        (0..39u32, any::<i128>(), 0..39i8).prop_map(|(digits, value, scale)| (value % 10_i128.pow(digits), scale))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn results_are_those_of_numbers_without_bounds(
            operator in prop::sample::select(OPERATORS.to_vec()),
            (left, left_scale) in decimal(),
            (right, right_scale) in decimal(),
            (precision, scale) in (1..39u8).prop_flat_map(|precision| (Just(precision), 0..=precision as i8)),
        ) {
            let divides = matches!(operator, Arithmetic::Divide | Arithmetic::Modulo);
            prop_assume!(!(divides && right == 0));
            let of = Computation::new(operator, (38, left_scale), (38, right_scale), (precision, scale));
            prop_assert_eq!(of.compute(left, right), exact(&of, left, right));
        }
    }
}
