//! Random values: `RAND`, `RAND_INTEGER`, `UUID`.
//!
//! Conventions: all are volatile. With a seed they give the numbers of `java.util.Random`. Calls with the same seed in
//! one session continue one sequence. As in Flink, the sequence is not part of a checkpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Float64Type, Int32Type};
use eddyline_expression::{Result, ScalarFunction, value_err};
use uuid::Uuid;

use crate::arguments::Arguments;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// The number of seeds whose sequences are kept. If a query has more, the oldest sequence starts again.
const SEQUENCES_MAX: usize = 1_024;

/// Java's linear congruential generator.
#[derive(Clone, Copy, Debug)]
struct JavaRandom(u64);

impl JavaRandom {
    fn seeded(seed: i64) -> Self {
        Self((seed as u64 ^ 0x5_DEEC_E66D) & ((1 << 48) - 1))
    }

    fn unseeded() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        Self((high ^ low) & ((1 << 48) - 1))
    }

    fn next(&mut self, bits: u32) -> i32 {
        self.0 = self.0.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & ((1 << 48) - 1);
        (self.0 >> (48 - bits)) as u32 as i32
    }

    fn double(&mut self) -> f64 {
        let (high, low) = (i64::from(self.next(26)), i64::from(self.next(27)));
        ((high << 27) + low) as f64 / (1_i64 << 53) as f64
    }

    fn below(&mut self, bound: i32) -> i32 {
        if bound & (bound - 1) == 0 {
            return ((i64::from(bound) * i64::from(self.next(31))) >> 31) as i32;
        }
        loop {
            let bits = self.next(31);
            let value = bits % bound;
            if bits.wrapping_sub(value).wrapping_add(bound - 1) >= 0 {
                return value;
            }
        }
    }
}

/// The sequences of one function: one for each seed, and one for calls without a seed.
#[derive(Debug, Default)]
struct Sequences(Mutex<BTreeMap<Option<i32>, JavaRandom>>);

impl Sequences {
    fn draw<T>(&self, seed: Option<i32>, draw: impl FnOnce(&mut JavaRandom) -> T) -> T {
        let mut sequences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sequences.len() >= SEQUENCES_MAX && !sequences.contains_key(&seed) {
            sequences.pop_first();
        }
        let random = sequences
            .entry(seed)
            .or_insert_with(|| seed.map_or_else(JavaRandom::unseeded, |seed| JavaRandom::seeded(i64::from(seed))));
        draw(random)
    }
}

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    let (doubles, integers) = (Sequences::default(), Sequences::default());
    vec![
        function("rand", &[&[], &[Parameter::Int]], Returns::Type(DataType::Float64), move |args| rand(args, &doubles))
            .volatile()
            .build(),
        function(
            "rand_integer",
            &[&[Parameter::Int], &[Parameter::Int, Parameter::Int]],
            Returns::Type(DataType::Int32),
            move |args| rand_integer(args, &integers),
        )
        .volatile()
        .build(),
        function("uuid", &[&[]], Returns::Type(DataType::Utf8), |args| {
            args.write_text(|_, out| {
                out.push_str(Uuid::new_v4().hyphenated().encode_lower(&mut Uuid::encode_buffer()));
                Some(())
            })
        })
        .volatile()
        .build(),
    ]
}

fn rand(args: &Arguments, sequences: &Sequences) -> Result<ArrayRef> {
    if args.len() == 0 {
        return args.write::<Float64Type>(|_| Some(sequences.draw(None, JavaRandom::double)));
    }
    let seed = args.int(0)?;
    args.write::<Float64Type>(|row| Some(sequences.draw(Some(seed.get(row)?), JavaRandom::double)))
}

fn rand_integer(args: &Arguments, sequences: &Sequences) -> Result<ArrayRef> {
    let bound = args.int(args.len() - 1)?;
    let seed = if args.len() == 2 { Some(args.int(0)?) } else { None };
    args.try_write::<Int32Type>(|row| {
        let seed = match &seed {
            Some(seed) => match seed.get(row) {
                Some(seed) => Some(seed),
                None => return Ok(None),
            },
            None => None,
        };
        match bound.get(row) {
            Some(bound) if bound <= 0 => value_err!("RAND_INTEGER: the bound must be positive, not {bound}"),
            Some(bound) => Ok(Some(sequences.draw(seed, |random| random.below(bound)))),
            None => Ok(None),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_numbers_of_java() {
        let mut random = JavaRandom::seeded(42);
        assert_eq!(random.below(10), 0);
        assert_eq!(random.below(10), 3);
        assert_eq!(JavaRandom::seeded(42).double(), 0.727_563_680_032_868_1);
    }
}
