//! Division of decimals, for averages.

/// `value * 10^digits / divisor`, rounded half away from zero; `None` if the result does not fit. The divisor must not
/// be zero.
pub fn divide_half_up(value: i128, divisor: i128, digits: u32) -> Option<i128> {
    let (magnitude, divisor_magnitude) = (value.unsigned_abs(), divisor.unsigned_abs());
    let (mut quotient, mut remainder) = (magnitude / divisor_magnitude, magnitude % divisor_magnitude);
    for _ in 0..digits {
        let next = remainder.checked_mul(10)?;
        quotient = quotient.checked_mul(10)?.checked_add(next / divisor_magnitude)?;
        remainder = next % divisor_magnitude;
    }
    if remainder >= divisor_magnitude - remainder {
        quotient += 1;
    }
    let quotient = i128::try_from(quotient).ok()?;
    Some(if (value < 0) != (divisor < 0) { -quotient } else { quotient })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::i256;
    use proptest::prelude::*;

    use super::divide_half_up;

    #[test]
    fn quotients_round_half_away_from_zero() {
        assert_eq!(divide_half_up(5, 2, 0), Some(3));
        assert_eq!(divide_half_up(-5, 2, 0), Some(-3));
        assert_eq!(divide_half_up(5, -2, 0), Some(-3));
        assert_eq!(divide_half_up(1, 3, 6), Some(333_333));
        assert_eq!(divide_half_up(2, 3, 6), Some(666_667));
        assert_eq!(divide_half_up(10i128.pow(37), 1, 6), None);
        assert_eq!(divide_half_up(10i128.pow(38) - 1, 1, 1), None);
    }

    proptest! {
        #[test]
        fn a_quotient_is_the_nearest_number(value in any::<i128>(), shift in 0u32..127, divisor in 1i64.., digits in 0u32..7) {
            let value = value >> shift;
            let exact = i256::from_i128(value) * i256::from_i128(10i128.pow(digits));
            let divisor_wide = i256::from_i128(i128::from(divisor));
            let two = i256::from_i128(2);
            // Half the divisor is added, away from zero. The division then rounds towards zero.
            let half = if value < 0 { -divisor_wide } else { divisor_wide };
            let nearest = (exact * two + half) / (divisor_wide * two);
            prop_assert_eq!(divide_half_up(value, i128::from(divisor), digits), nearest.to_i128());
        }
    }
}
