//! Elementary functions in single precision, without branches, so that a compiler can vectorise a loop over them, and
//! with the same bits on every processor.

/// Below this, [`exp_of_negative`] is 0: `2^-127` times less than 1.4.
const EXP_MIN: f32 = -88.0;

/// Returns the larger of two numbers; NaN if one of them is, unlike `f32::max`: a mask computed from NaN must not look like any other.
#[inline(always)]
pub fn max(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

/// Returns the smaller of two numbers; NaN if one of them is.
#[inline(always)]
pub fn min(a: f32, b: f32) -> f32 {
    if b < a || b.is_nan() { b } else { a }
}

/// Returns `e^(x - n ln 2)` and the whole number n, next to `x / ln 2`, as two's complement; any n if x is NaN.
///
/// Cody-Waite reduction by ln 2 and a degree-6 polynomial on [-ln2/2, ln2/2] (Cephes' `expf` coefficients).
#[inline(always)]
fn reduced_exp(x: f32) -> (f32, u32) {
    const LOG2_E: f32 = core::f32::consts::LOG2_E;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // 1.5 * 2^23: adding it rounds to the nearest whole number, which the low bits of the sum are.
    const ROUND: f32 = 12_582_912.0;
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5e-1;
    ((p * r * r + r) + 1.0, rounded.to_bits().wrapping_sub(ROUND.to_bits()))
}

/// Computes `e^x`. Error at most 2 ulp; 0 below -87.3, infinity above 88.7.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (e, n) = reduced_exp(x.clamp(-87.336, 88.72));
    // n is added to the exponent. It lies in -126..=128: at -126, e is at least 1, and at 128 it is below 1, so the exponent of the
    // result is that of a normal number.
    let y = f32::from_bits(e.to_bits().wrapping_add(n << 23));
    if x < -87.336 {
        0.0
    } else if x > 88.72 {
        f32::INFINITY
    } else if x.is_nan() {
        x
    } else {
        y
    }
}

/// Computes `e^x` of a number that is not above 0. Error at most 2 ulp; 0 below -87.7.
///
/// As [`exp`], with less to decide: nothing overflows, and NaN passes through the products.
#[inline(always)]
pub fn exp_of_negative(x: f32) -> f32 {
    let clamped = if x < EXP_MIN { EXP_MIN } else { x };
    let (e, n) = reduced_exp(clamped);
    // At -127, the exponent's bits are 0, and so is the factor.
    e * f32::from_bits(n.wrapping_add(127) << 23)
}

/// Computes the natural logarithm of a positive normal number. Error at most 1e-7 of the result, or 1e-7.
///
/// Cephes' `logf`: the number is `2^n (1 + m)` with `1 + m` within a factor of the root of 2 from 1.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    const HALF: u32 = 126;
    const ROOT_OF_HALF: f32 = core::f32::consts::FRAC_1_SQRT_2;
    const MANTISSA: u32 = 0x007f_ffff;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let bits = x.to_bits();
    let half = f32::from_bits(bits & MANTISSA | HALF << 23);
    let is_low = half < ROOT_OF_HALF;
    let n = (bits >> 23) as i32 - HALF as i32 - i32::from(is_low);
    let m = if is_low { half + half } else { half } - 1.0;
    let n = n as f32;
    let mut p = 7.037_683_6e-2;
    p = p * m - 1.151_461e-1;
    p = p * m + 1.167_699_9e-1;
    p = p * m - 1.242_014_1e-1;
    p = p * m + 1.424_932_3e-1;
    p = p * m - 1.666_805_7e-1;
    p = p * m + 2.000_071_5e-1;
    p = p * m - 2.499_999_4e-1;
    p = p * m + 3.333_333e-1;
    let square = m * m;
    let small = m * square * p + n * LN2_LOW - 0.5 * square;
    m + small + n * LN2_HIGH
}

/// Computes the Gauss error function. Error at most 4e-7 absolute.
///
/// Odd rational minimax approximation on [-4, 4], beyond which the result is ±1 in single precision (the coefficients
/// are those of Eigen's and XLA's `erf`).
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let mut p = -2.726_142_3e-10;
    p = p * s + 2.770_681_4e-8;
    p = p * s - 2.101_024e-6;
    p = p * s - 5.692_506_5e-5;
    p = p * s - 7.349_906_3e-4;
    p = p * s - 2.954_6e-3;
    p = p * s - 1.609_603_3e-2;
    let mut q = -1.456_607_2e-5;
    q = q * s - 2.133_740_6e-4;
    q = q * s - 1.682_827e-3;
    q = q * s - 7.373_329e-3;
    q = q * s - 1.426_473_9e-2;
    x * p / q
}

/// Computes the hyperbolic tangent. Error at most 4e-7 of the result.
///
/// Odd rational minimax approximation on [-7.9, 7.9], beyond which the result is ±1 in single precision (the coefficients are those
/// of Eigen's and XLA's `tanh`).
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let s = x * x;
    let mut p = -2.760_768_5e-16;
    p = p * s + 2.000_188e-13;
    p = p * s - 8.604_672e-11;
    p = p * s + 5.122_297e-8;
    p = p * s + 1.485_722_4e-5;
    p = p * s + 6.372_619e-4;
    p = p * s + 4.893_524_6e-3;
    let mut q = 1.198_258_4e-6;
    q = q * s + 1.185_347e-4;
    q = q * s + 2.268_434_7e-3;
    q = q * s + 4.893_525e-3;
    x * p / q
}

/// Computes `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Computes the Gaussian error linear unit, `x * (1 + erf(x / sqrt 2)) / 2` (Hendrycks & Gimpel 2016). Error at most
/// 5e-7 of `1 + |x|`.
///
/// `erf(x / sqrt 2) / (2 x)` on [-5, 5] is a polynomial in `x^2` (least squares over Chebyshev nodes), which takes fewer steps than the
/// quotient in [`erf`].
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    const LIMIT: f32 = 5.0;
    // Comparisons, so that NaN stays. Below the limit the result stays as it is there, at most 2e-6 from zero.
    let a = if x < -LIMIT { -LIMIT } else { x };
    let b = if a > LIMIT { LIMIT } else { a };
    // The distance to the middle of the squares, where powers are small.
    let t = b * b - 0.5 * LIMIT * LIMIT;
    // Even and odd powers apart: half as many steps wait for each other.
    let s = t * t;
    let mut even = 3.738_865_6e-17;
    even = even * s + 2.026_054_2e-14;
    even = even * s + 1.049_772_8e-11;
    even = even * s + 4.316_662e-9;
    even = even * s + 1.287_382_2e-6;
    even = even * s + 3.297_363_3e-4;
    even = even * s + 1.413_637_8e-1;
    let mut odd = -1.345_067_6e-15;
    odd = odd * s - 3.756_038_2e-13;
    odd = odd * s - 2.321_115_5e-10;
    odd = odd * s - 7.636_272e-8;
    odd = odd * s - 2.070_395_6e-5;
    odd = odd * s - 5.623_719e-3;
    let p = odd * t + even;
    a * (0.5 + b * p)
}

/// Computes GELU by its tanh approximation (the same paper).
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_against_double_precision() {
        for i in -90_000..=89_000 {
            let x = i as f32 * 1e-3;
            let reference = libm::exp(f64::from(x));
            let error = (f64::from(exp(x)) - reference).abs();
            if (-87.3..88.7).contains(&x) {
                assert!(error <= reference * 2.5e-7, "exp({x}) = {}, not {reference}", exp(x));
            }
        }
        for i in -87_300..=0 {
            let x = i as f32 * 1e-3;
            let reference = libm::exp(f64::from(x));
            let error = (f64::from(exp_of_negative(x)) - reference).abs();
            assert!(
                error <= reference * 2.5e-7,
                "exp_of_negative({x}) = {}, not {reference}",
                exp_of_negative(x)
            );
        }
        assert_eq!([-88.0, -1e30, f32::NEG_INFINITY].map(exp_of_negative), [0.0; 3]);
        assert!(exp_of_negative(f32::NAN).is_nan());
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(100.0), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn ln_against_double_precision() {
        for i in 0..400_000 {
            // From 1e-10 to 1e10, and next to 1.
            for x in [10f32.powf(i as f32 / 2e4 - 10.0), 1.0 + (i as f32 - 2e5) * 1e-6] {
                let reference = libm::log(f64::from(x));
                let error = (f64::from(ln(x)) - reference).abs();
                assert!(error <= 1e-7 * reference.abs().max(1.0), "ln({x}) = {}, not {reference}", ln(x));
            }
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn erf_against_double_precision() {
        for i in -60_000..=60_000 {
            let x = i as f32 * 1e-4;
            let error = (f64::from(erf(x)) - libm::erf(f64::from(x))).abs();
            assert!(error <= 4e-7, "erf({x}) is off by {error}");
        }
        assert!(erf(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_against_double_precision() {
        for i in -120_000..=120_000 {
            let x = i as f32 * 1e-4;
            let reference = libm::tanh(f64::from(x));
            let error = (f64::from(tanh(x)) - reference).abs();
            assert!(error <= 4e-7 * reference.abs(), "tanh({x}) is off by {error}");
        }
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn gelu_and_sigmoid_against_double_precision() {
        for i in -20_000..=20_000 {
            let x = i as f32 * 1e-3;
            let wide = f64::from(x);
            let reference = 0.5 * wide * (1.0 + libm::erf(wide * core::f64::consts::FRAC_1_SQRT_2));
            assert!((f64::from(gelu(x)) - reference).abs() <= 5e-7 * (1.0 + wide.abs()), "gelu({x})");
            let reference = 1.0 / (1.0 + libm::exp(-wide));
            assert!((f64::from(sigmoid(x)) - reference).abs() <= 2e-7, "sigmoid({x})");
        }
    }
}
