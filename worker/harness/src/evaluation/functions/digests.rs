//! MD5 and the SHA family, by RFC 1321 and FIPS 180-4. The constants are computed, not copied.

use num_bigint::BigUint;

use super::Body;
use crate::evaluation::Value;

pub(super) fn of_digests(name: &str) -> Option<Body> {
    macro_rules! digest {
        ($digest:expr) => {
            |called| {
                let digest: fn(&[u8]) -> Vec<u8> = $digest;
                Ok(match &called.values[0] {
                    Value::Text(text) => Value::Text(hex(&digest(text.as_bytes()))),
                    Value::Bytes(bytes) => Value::Text(hex(&digest(bytes))),
                    _ => Value::Null,
                })
            }
        };
    }
    Some(Body::Of(match name {
        "md5" => digest!(md5),
        "sha1" => digest!(sha1),
        "sha224" => digest!(|message| sha2(message, 224)),
        "sha256" => digest!(|message| sha2(message, 256)),
        "sha384" => digest!(|message| sha2(message, 384)),
        "sha512" => digest!(|message| sha2(message, 512)),
        "sha2" => |called| match called.values {
            [Value::Text(text), Value::Whole(bits @ (224 | 256 | 384 | 512))] => {
                Ok(Value::Text(hex(&sha2(text.as_bytes(), *bits as usize))))
            }
            [Value::Text(_), Value::Whole(bits)] => Err(format!("there is no SHA2 of {bits} bits")),
            _ => Ok(Value::Null),
        },
        _ => return None,
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Pads a message to whole blocks of `block` bytes: the message, a one bit, zeros, and its length in bits.
fn padded(message: &[u8], block: usize, length: &[u8]) -> Vec<u8> {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while !(padded.len() + length.len()).is_multiple_of(block) {
        padded.push(0);
    }
    padded.extend_from_slice(length);
    padded
}

fn bits(message: &[u8]) -> u64 {
    message.len() as u64 * 8
}

fn md5(message: &[u8]) -> Vec<u8> {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded(message, 64, &bits(message).to_le_bytes()).chunks(64) {
        let word = |index: usize| u32::from_le_bytes(block[index * 4..][..4].try_into().expect("four bytes"));
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64 {
            let (mixed, of) = match step / 16 {
                0 => (b & c | !b & d, step),
                1 => (d & b | !d & c, (5 * step + 1) % 16),
                2 => (b ^ c ^ d, (3 * step + 5) % 16),
                _ => (c ^ (b | !d), 7 * step % 16),
            };
            let sine = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a.wrapping_add(mixed).wrapping_add(sine).wrapping_add(word(of));
            let turned = b.wrapping_add(sum.rotate_left(SHIFTS[step / 16][step % 4]));
            (a, d, c, b) = (d, c, b, turned);
        }
        for (total, part) in state.iter_mut().zip([a, b, c, d]) {
            *total = total.wrapping_add(part);
        }
    }
    state.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn sha1(message: &[u8]) -> Vec<u8> {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded(message, 64, &bits(message).to_be_bytes()).chunks(64) {
        let mut words: Vec<u32> =
            block.chunks(4).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four bytes"))).collect();
        for at in 16..80 {
            words.push((words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (step, word) in words.into_iter().enumerate() {
            let (mixed, root) = match step / 20 {
                0 => (b & c | !b & d, 2_u64),
                1 => (b ^ c ^ d, 3),
                2 => (b & c | b & d | c & d, 5),
                _ => (b ^ c ^ d, 10),
            };
            // The square root in fixed point, with 30 bits after the point.
            let constant = (root << 60).isqrt() as u32;
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (total, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *total = total.wrapping_add(part);
        }
    }
    state.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn primes() -> impl Iterator<Item = u32> {
    (2_u32..).filter(|number| (2..*number).all(|divisor| !number.is_multiple_of(divisor)))
}

/// The first 64 bits after the point of a root of a prime.
fn fraction(prime: u32, root: u32) -> u64 {
    let whole = (BigUint::from(prime) << (64 * root)).nth_root(root);
    whole.iter_u64_digits().next().unwrap_or(0)
}

/// The parameters in which SHA-256 and SHA-512, with their shorter forms, differ.
struct Form {
    /// The number of bits of a word.
    word: u32,
    steps: usize,
    /// The rotations of the two large and the two small sigma functions. The last number of a small one is a shift.
    large: [[u32; 3]; 2],
    small: [[u32; 3]; 2],
}

impl Form {
    fn of(bits: usize) -> Self {
        if bits <= 256 {
            let (large, small) = ([[2, 13, 22], [6, 11, 25]], [[7, 18, 3], [17, 19, 10]]);
            Self { word: 32, steps: 64, large, small }
        } else {
            let (large, small) = ([[28, 34, 39], [14, 18, 41]], [[1, 8, 7], [19, 61, 6]]);
            Self { word: 64, steps: 80, large, small }
        }
    }

    /// Narrows a number to the lowest bits that a word has.
    fn cut(&self, number: u64) -> u64 {
        if self.word == 64 { number } else { number & 0xffff_ffff }
    }

    fn turned(&self, word: u64, by: u32) -> u64 {
        self.cut(word >> by | word << (self.word - by))
    }

    fn large(&self, word: u64, which: usize) -> u64 {
        self.large[which].iter().fold(0, |mixed, by| mixed ^ self.turned(word, *by))
    }

    fn small(&self, word: u64, which: usize) -> u64 {
        let [one, two, shift] = self.small[which];
        self.turned(word, one) ^ self.turned(word, two) ^ word >> shift
    }

    fn sum(&self, words: &[u64]) -> u64 {
        self.cut(words.iter().fold(0, |sum, word| sum.wrapping_add(*word)))
    }
}

fn sha2(message: &[u8], bits_of_result: usize) -> Vec<u8> {
    let form = Form::of(bits_of_result);
    let bytes = form.word as usize / 8;
    let top = |fraction: u64| if form.word == 64 { fraction } else { fraction >> 32 };
    let roots = |from: usize| primes().skip(from).take(8).map(|prime| fraction(prime, 2));
    let mut state: Vec<u64> = match bits_of_result {
        // The second halves of the roots of the next eight primes.
        224 => roots(8).map(|fraction| fraction & 0xffff_ffff).collect(),
        384 => roots(8).collect(),
        _ => roots(0).map(top).collect(),
    };
    let constants: Vec<u64> = primes().take(form.steps).map(|prime| top(fraction(prime, 3))).collect();
    let length = u128::from(bits(message)).to_be_bytes();
    for block in padded(message, 16 * bytes, &length[16 - 2 * bytes..]).chunks(16 * bytes) {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let mut words: Vec<u64> = block.chunks(bytes).map(number).collect();
        for at in 16..form.steps {
            let parts = [words[at - 16], form.small(words[at - 15], 0), words[at - 7], form.small(words[at - 2], 1)];
            words.push(form.sum(&parts));
        }
        let mut letters: [u64; 8] = state.clone().try_into().expect("eight words");
        for (word, constant) in words.into_iter().zip(&constants) {
            let [a, b, c, d, e, f, g, h] = letters;
            let choice = e & f ^ form.cut(!e) & g;
            let first = form.sum(&[h, form.large(e, 1), choice, *constant, word]);
            let second = form.sum(&[form.large(a, 0), a & b ^ a & c ^ b & c]);
            letters = [form.sum(&[first, second]), a, b, c, form.sum(&[d, first]), e, f, g];
        }
        for (total, part) in state.iter_mut().zip(letters) {
            *total = form.sum(&[*total, part]);
        }
    }
    let all: Vec<u8> = state.iter().flat_map(|word| word.to_be_bytes()[8 - bytes..].to_vec()).collect();
    all[..bits_of_result / 8].to_vec()
}
