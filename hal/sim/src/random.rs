//! Seeded random numbers and smooth random texture, the same on every platform.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
//! with the constants of Vigna's public-domain `splitmix64.c`). It has one word of state, and its output function serves
//! as a hash, so that each frame can have its own stream, independent of the frames before it.

/// The increment of SplitMix64: 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A SplitMix64 generator.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Stream `stream` of the seed `seed`; streams are independent of one another.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { state: mix(mix(seed.wrapping_add(GAMMA)) ^ stream.wrapping_mul(GAMMA)) }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// Uniform in `0.0..1.0`, in steps of 2^-24; an `f32` represents all values exactly.
    pub fn uniform(&mut self) -> f32 {
        unit(self.next_u64())
    }

    /// Approximately normal, mean 0 and variance 1: the sum of four uniform numbers (Irwin-Hall), which suffices for
    /// noise that is filtered afterwards. At most 3.46 in magnitude.
    pub fn normal(&mut self) -> f32 {
        let bits = self.next_u64();
        let sum: u32 = (0..4).map(|part| (bits >> (16 * part)) as u32 & 0xffff).sum();
        // A 16-bit uniform number has the variance 2^32/12, four have a third of 2^32.
        const SCALE: f32 = 1.732_050_8 / 65_536.0;
        (sum as f32 - 131_070.0) * SCALE
    }
}

/// The output function of SplitMix64: a hash of 64 bits.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Maps 64 random bits to `0.0..1.0`.
pub fn unit(bits: u64) -> f32 {
    (bits >> 40) as f32 / 16_777_216.0
}

/// Smooth random texture of the plane: value noise, which interpolates random numbers on a lattice.
#[derive(Debug, Clone, Copy)]
pub struct Texture {
    seed: u64,
    pitch_x_mm: f32,
    pitch_y_mm: f32,
}

impl Texture {
    /// A texture with features of about `pitch_x_mm` by `pitch_y_mm` (both above zero).
    pub fn new(seed: u64, pitch_x_mm: f32, pitch_y_mm: f32) -> Self {
        Self { seed: mix(seed.wrapping_add(GAMMA)), pitch_x_mm, pitch_y_mm }
    }

    /// Its value at a point, in `-1.0..1.0`.
    pub fn at(&self, x_mm: f32, y_mm: f32) -> f32 {
        let (x, y) = (x_mm / self.pitch_x_mm, y_mm / self.pitch_y_mm);
        let (column, row) = (libm::floorf(x), libm::floorf(y));
        let (right, down) = (smooth_step(x - column), smooth_step(y - row));
        let corner = |dx: i64, dy: i64| {
            let cell = (column as i64 + dx).wrapping_mul(0x1_0000_0001).wrapping_add((row as i64 + dy) << 20);
            2.0 * unit(mix(self.seed ^ cell as u64)) - 1.0
        };
        let top = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * right;
        let bottom = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * right;
        top + (bottom - top) * down
    }
}

/// Smoothstep: 0 below 0, 1 above 1, and between them the cubic with zero slope at both ends.
pub fn smooth_step(x: f32) -> f32 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first words of `splitmix64.c` from the state 0, as that program prints them.
    #[test]
    fn agrees_with_the_published_generator() {
        let mut random = Random { state: 0 };
        let words: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(words, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn moments_are_right() {
        let mut random = Random::new(1, 2);
        let n = 100_000;
        let (mut mean, mut square, mut uniform) = (0.0f64, 0.0f64, 0.0f64);
        for _ in 0..n {
            let x = f64::from(random.normal());
            mean += x / f64::from(n);
            square += x * x / f64::from(n);
            uniform += f64::from(random.uniform()) / f64::from(n);
        }
        // Five standard errors of each.
        assert!(mean.abs() < 0.016, "mean {mean}");
        assert!((square - 1.0).abs() < 0.021, "variance {square}");
        assert!((uniform - 0.5).abs() < 0.005, "mean of uniform {uniform}");
    }

    #[test]
    fn texture_is_bounded_and_continuous() {
        let texture = Texture::new(7, 5.0, 3.0);
        let mut last = texture.at(-20.0, 1.3);
        let mut spread = 0.0f32;
        for i in 1..4000 {
            let value = texture.at(-20.0 + 0.01 * i as f32, 1.3);
            assert!(value.abs() <= 1.0);
            // Between lattice points it rises at most by 2 x 1.5 in 5 mm.
            assert!((value - last).abs() < 0.007, "step at {i}");
            spread = spread.max(value.abs());
            last = value;
        }
        assert!(spread > 0.2, "flat");
    }
}
