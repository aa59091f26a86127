//! Sums of products of rows, some rows at a time: first the partial sums of each row, then their totals, so that the processor
//! need not wait for the total of one row before it starts the next.

use crate::lanes::add_products;
use crate::memory::Output;
use crate::trailing::{BLOCK, Block, CHUNK, Trailing};
use core::ops::Range;

/// Partial sums of a row. Few, because rows are often short.
const LANES: usize = 8;

/// Writes `factor` times the sums of the products of `a` and `b`, the inputs, under a range of kept indices: in single precision
/// over up to [`CHUNK`] elements, then in double precision.
#[inline(always)]
pub(crate) fn write_sums_of_products(
    places: &Trailing<3>,
    units: Range<u64>,
    [a, b]: [&[f32]; 2],
    factor: f64,
    output: &mut Output<'_, f32>,
) {
    let (mut offsets, mut sums) = ([[0; 3]; BLOCK], [0.0f64; BLOCK]);
    let mut partial = [[0.0f32; LANES]; BLOCK];
    let (mut first, steps) = (units.start, places.neighbour_steps());
    while first < units.end {
        let count = (units.end - first).min(BLOCK as u64) as usize;
        let mut rows = offsets[..count].iter_mut();
        for block in places.blocks(first..first + count as u64) {
            let mut at = block.offsets;
            for row in rows.by_ref().take(block.count) {
                *row = at;
                for (offset, step) in at.iter_mut().zip(steps) {
                    *offset += step;
                }
            }
        }
        let (offsets, sums, partial) = (&offsets[..count], &mut sums[..count], &mut partial[..count]);
        sums.fill(0.0);
        for run in places.runs(Block { count: 1, offsets: [0; 3] }, 0) {
            let ([_, a_step, b_step], [_, a_run, b_run]) = (run.steps, run.offsets);
            for from in (0..run.length).step_by(CHUNK) {
                let length = CHUNK.min(run.length - from);
                let rows = Rows {
                    values: [a, b],
                    from: [a_run + from * a_step, b_run + from * b_step],
                    steps: [a_step, b_step],
                    length,
                };
                // The usual lengths are constants: such a row needs no loop.
                match ([a_step, b_step], length) {
                    ([1, 1], 16) => rows.sum::<16>(offsets, partial),
                    ([1, 1], 24) => rows.sum::<24>(offsets, partial),
                    ([1, 1], 32) => rows.sum::<32>(offsets, partial),
                    ([1, 1], _) => rows.sum::<0>(offsets, partial),
                    _ => rows.sum_strided(offsets, partial),
                }
                for (sum, lanes) in sums.iter_mut().zip(&*partial) {
                    let [a, b, c, d, e, f, g, h] = lanes;
                    *sum += f64::from(((a + e) + (c + g)) + ((b + f) + (d + h)));
                }
            }
        }
        for (&[to, ..], sum) in offsets.iter().zip(sums) {
            output.row(to, 1)[0] = (*sum * factor) as f32;
        }
        first += count as u64;
    }
}

/// Rows of the two inputs.
struct Rows<'a> {
    values: [&'a [f32]; 2],
    /// Elements from the first of a kept index to the first of its row.
    from: [usize; 2],
    steps: [usize; 2],
    length: usize,
}

impl Rows<'_> {
    /// Computes the partial sums of each row; `LENGTH` is its length, or 0 for any.
    #[inline(always)]
    fn sum<const LENGTH: usize>(&self, offsets: &[[usize; 3]], partial: &mut [[f32; LANES]]) {
        let length = if LENGTH > 0 { LENGTH } else { self.length };
        for (partial, &[_, a, b]) in partial.iter_mut().zip(offsets) {
            let a = &self.values[0][a + self.from[0]..][..length];
            let b = &self.values[1][b + self.from[1]..][..length];
            let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
            let mut sums = [0.0f32; LANES];
            for (a, b) in a.iter().zip(b) {
                add_products(&mut sums, a, b);
            }
            if !a_rest.is_empty() {
                // Padded, so that the sums stay in a register.
                let (mut a, mut b) = ([0.0f32; LANES], [0.0f32; LANES]);
                a[..a_rest.len()].copy_from_slice(a_rest);
                b[..b_rest.len()].copy_from_slice(b_rest);
                add_products(&mut sums, &a, &b);
            }
            *partial = sums;
        }
    }

    #[inline(always)]
    fn sum_strided(&self, offsets: &[[usize; 3]], partial: &mut [[f32; LANES]]) {
        for (partial, &[_, a, b]) in partial.iter_mut().zip(offsets) {
            *partial = [0.0; LANES];
            for at in 0..self.length {
                let [a, b] = [a + self.from[0] + at * self.steps[0], b + self.from[1] + at * self.steps[1]];
                partial[at % LANES] += self.values[0][a] * self.values[1][b];
            }
        }
    }
}
