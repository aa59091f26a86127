//! Half-precision floats to single, without tables or instructions that not every board has.

/// The value of a finite IEEE 754 half-precision float given as bits. (Infinities and NaN, which no weight is, come
/// out as values from 65536 on.)
///
/// The exponent and mantissa are moved into a single's place and the difference of the exponents' biases is made up by
/// a multiplication, which also normalises subnormals (F. Giesen, "Half to float done quick", 2012).
#[inline]
pub fn f16_to_f32(bits: u16) -> f32 {
    const BIAS_DIFFERENCE: f32 = f32::from_bits((254 - 15) << 23); // 2^112
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * BIAS_DIFFERENCE;
    f32::from_bits(magnitude.to_bits() | (u32::from(bits & 0x8000) << 16))
}

/// Converts a run of halves.
pub fn f16_run_to_f32(from: &[u16], to: &mut [f32]) {
    for (to, &bits) in to.iter_mut().zip(from) {
        *to = f16_to_f32(bits);
    }
}

#[cfg(test)]
mod tests {
    /// Every finite half, against the `half` crate.
    #[test]
    fn all_finite_halves() {
        for bits in 0..=u16::MAX {
            let reference = half::f16::from_bits(bits);
            if reference.is_finite() {
                assert_eq!(super::f16_to_f32(bits).to_bits(), reference.to_f32().to_bits(), "{bits:#06x}");
            }
        }
    }
}
