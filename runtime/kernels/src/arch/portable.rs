//! No particular instruction set: the reference.

use super::{FLOAT_ROWS_MAX, IntSums, Isa, Sums, Work};
use crate::elementwise::unary;
use crate::rounding::round;
use half::bf16;
use sonotrace_format::function::Unary;
use sonotrace_format::op::TILE_MACS_MAX;
use sonotrace_format::panels::{GROUP, PAIR, PANEL};

/// Kernels as the build target's compiler makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Portable;

/// Rows of the block of sums.
const ROWS: usize = 4;
/// Columns of the block of sums: half a panel, so that sums and operands fit sixteen registers of four floats.
const COLUMNS: usize = 8;

impl Portable {
    /// Returns the token. Every processor has it.
    #[expect(clippy::unnecessary_wraps, reason = "as for the other instruction sets")]
    pub fn new() -> Option<Self> {
        Some(Self)
    }
}

impl Isa for Portable {
    const FLOAT_ROWS: usize = ROWS;
    const BF16_ROWS: usize = ROWS;
    const ROWS: usize = ROWS;
    const PANELS: usize = 1;
    const RUN: Option<usize> = Some(GROUP);
    const TILE_MACS: u64 = TILE_MACS_MAX;
    const OFFSET: i32 = 0;
    type Packed = i8;
    type IntSums = IntSums<ROWS>;

    // Not inlined where an instruction set is chosen: the stack of these kernels would be needed beside that of others.
    #[inline(never)]
    fn run<W: Work>(self, work: W) -> W::Output {
        work.run(self)
    }

    #[inline(never)]
    fn unary(self, function: Unary, values: &mut [f32]) {
        unary(function, values);
    }

    fn block(self, rows: &[&[f32]; FLOAT_ROWS_MAX], panel: &[f32], sums: &mut Sums) {
        half::<0>(rows, panel, sums);
        half::<COLUMNS>(rows, panel, sums);
    }

    fn block_bf16(self, rows: &[bf16], panel: &[bf16], sums: &mut [[f32; PANEL]]) {
        let mut block = [[0.0f32; PANEL]; ROWS];
        let (pairs, panel) = (rows.as_chunks::<PAIR>().0, panel.as_chunks::<{ PAIR * PANEL }>().0);
        for (at, panel) in panel.iter().enumerate() {
            for (lane, sums) in block.iter_mut().enumerate() {
                let [first, second] = pairs[lane * (pairs.len() / ROWS) + at].map(bf16::to_f32);
                for (sum, weights) in sums.iter_mut().zip(panel.as_chunks::<PAIR>().0) {
                    *sum += first * weights[0].to_f32();
                    *sum += second * weights[1].to_f32();
                }
            }
        }
        sums.copy_from_slice(&block);
    }

    #[inline(always)]
    fn pack(value: i8) -> i8 {
        value
    }

    fn round(self, values: &[f32], factor: f32, packed: &mut [i8]) {
        for (values, to) in values.as_chunks::<GROUP>().0.iter().zip(packed.chunks_mut(GROUP * ROWS)) {
            to[..GROUP].copy_from_slice(&values.map(|value| round(value * factor)));
        }
    }

    fn block_i8(self, rows: &[i8], panel: &[i8], sums: &mut [IntSums<ROWS>]) {
        let mut block = [[0i32; PANEL]; ROWS];
        let rows = rows.as_chunks::<{ GROUP * ROWS }>().0;
        for (rows, panel) in rows.iter().zip(panel.as_chunks::<{ GROUP * PANEL }>().0) {
            for (sums, values) in block.iter_mut().zip(rows.as_chunks::<GROUP>().0) {
                for (sum, weights) in sums.iter_mut().zip(panel.as_chunks::<GROUP>().0) {
                    let products = values.iter().zip(weights).map(|(&a, &b)| i32::from(a) * i32::from(b));
                    *sum += products.sum::<i32>();
                }
            }
        }
        sums[0] = block;
    }
}

/// Computes the sums of eight columns of a panel, starting at `FIRST`.
#[inline]
fn half<const FIRST: usize>(rows: &[&[f32]; FLOAT_ROWS_MAX], panel: &[f32], sums: &mut Sums) {
    let mut block = [[0.0f32; COLUMNS]; ROWS];
    let panel = panel.as_chunks::<PANEL>().0;
    let rows: [&[f32]; ROWS] = core::array::from_fn(|lane| &rows[lane][..panel.len()]);
    for (k, panel) in panel.iter().enumerate() {
        for (sums, row) in block.iter_mut().zip(rows) {
            for (sum, &weight) in sums.iter_mut().zip(&panel[FIRST..FIRST + COLUMNS]) {
                *sum += row[k] * weight;
            }
        }
    }
    for (sums, block) in sums.iter_mut().zip(&block) {
        sums[FIRST..FIRST + COLUMNS].copy_from_slice(block);
    }
}
