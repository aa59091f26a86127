//! Rows of a mask as bits, so that 64 pixels are compared at a time.

use crate::arch::{Instructions, Isa, Work};

/// Bits of a word.
const WORD: usize = u64::BITS as usize;

/// Tells which values are above 0 (NaN is not): bit `i % 64` of word `i / 64` is set if value `i` is. Bits beyond the last value
/// are 0.
///
/// # Panics
/// If there are fewer words than the values need.
pub fn positive(instructions: Instructions, values: &[f32], words: &mut [u64]) {
    instructions.run(Positive { words: &mut words[..values.len().div_ceil(WORD)], values });
}

struct Positive<'a> {
    values: &'a [f32],
    words: &'a mut [u64],
}

impl Work for Positive<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let (chunks, rest) = self.values.as_chunks::<WORD>();
        for (word, chunk) in self.words.iter_mut().zip(chunks) {
            *word = bits(chunk);
        }
        if let Some(word) = self.words.get_mut(chunks.len()) {
            let mut last = [0.0; WORD];
            last[..rest.len()].copy_from_slice(rest);
            *word = bits(&last);
        }
    }
}

#[inline(always)]
fn bits(values: &[f32; WORD]) -> u64 {
    let mut word = 0;
    for (at, value) in values.iter().enumerate() {
        // Written with `else`, so that the compiler vectorises it.
        word |= if *value > 0.0 { 1 << at } else { 0 };
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With each instruction set, for rows of any length and values of any kind.
    #[test]
    fn bits_are_those_of_single_comparisons() {
        let kinds = [1.0, -1.0, 0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-45, -1e-45];
        let values: Vec<f32> = (0..300usize).map(|at| kinds[(at * at + at / 7) % kinds.len()]).collect();
        for instructions in Instructions::available() {
            for length in 0..values.len() {
                let mut words = [u64::MAX; 6];
                positive(instructions, &values[..length], &mut words);
                for (at, word) in words.iter().enumerate() {
                    for bit in 0..WORD {
                        let expected = match at * WORD + bit {
                            _ if at >= length.div_ceil(WORD) => true,
                            at => at < length && values[at] > 0.0,
                        };
                        assert_eq!(word >> bit & 1 == 1, expected, "{}", instructions.name());
                    }
                }
            }
        }
    }
}
