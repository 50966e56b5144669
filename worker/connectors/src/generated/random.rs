//! SplitMix64: an independent, reproducible stream of numbers for each row of each column.

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
const INDEX_MULTIPLIER: u64 = 0xD6E8_FEB8_6659_FD93;

/// A stream of numbers.
#[derive(Clone, Copy, Debug)]
pub struct Stream(u64);

impl Stream {
    /// The stream of row `index` under `seed`. The start is mixed: otherwise the streams of neighbouring rows would be
    /// shifts of one another.
    #[inline]
    pub fn new(seed: u64, index: u64) -> Self {
        let seed = Stream(seed).draw();
        Self(Stream(seed ^ index.wrapping_mul(INDEX_MULTIPLIER)).draw())
    }

    /// The next number.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `limit`, uniform.
    #[inline]
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(limit)) >> 64) as u64
    }

    /// The next number from 0 up to but not including 1, uniform.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A number that stands for a name, for seeds that differ from column to column (FNV-1a).
pub fn of_name(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}
