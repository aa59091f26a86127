//! Warps the anchor's masks by the motion since, to see whether they still fit.

use crate::kernels::math;
use core::ops::Range;

/// A share of more than this is inside.
const INSIDE: f32 = 0.5;

/// Motion since the anchor: position there minus position here, in cells of its own grid.
#[derive(Debug, Clone, Copy)]
pub struct Flow<'a> {
    /// `[2, side, side]`: x, then y.
    pub values: &'a [f32],
    /// Cells along a side.
    pub side: usize,
}

impl Flow<'_> {
    /// Returns the flow at a pixel of a mask, in pixels: bilinear between the centres of cells.
    fn at(&self, pixel: [usize; 2], mask_side: usize) -> [f32; 2] {
        let scale = self.side as f32 / mask_side as f32;
        self.at_cells(pixel.map(|at| (at as f32 + 0.5) * scale - 0.5)).map(|cells| cells / scale)
    }

    /// Returns the flow at a position in cells, in cells: bilinear between their centres, and constant beyond the outermost ones.
    pub fn at_cells(&self, at: [f32; 2]) -> [f32; 2] {
        let last = self.side.saturating_sub(1) as f32;
        let place = at.map(|at| at.clamp(0.0, last));
        [0, 1].map(|axis| {
            let plane = &self.values[axis * self.side * self.side..][..self.side * self.side];
            bilinear(plane, self.side, place)
        })
    }
}

/// Samples a square plane at x and y within it; beyond the last row or column, that one.
fn bilinear(plane: &[f32], side: usize, [x, y]: [f32; 2]) -> f32 {
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(side - 1), (top + 1).min(side - 1));
    let (along, down) = (x - left as f32, y - top as f32);
    let row = |y: usize| plane[y * side + left] * (1.0 - along) + plane[y * side + right] * along;
    row(top) * (1.0 - down) + row(bottom) * down
}

/// Counts of pixels, from which the Dice of two masks follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overlap {
    /// Pixels inside both.
    pub both: u32,
    /// Pixels inside one, plus pixels inside the other.
    pub sum: u32,
}

/// Writes which of a mask's shares are inside, as bits.
pub fn inside(shares: &[f32], words: &mut [u64]) {
    for (word, shares) in words.iter_mut().zip(shares.chunks(u64::BITS as usize)) {
        *word = (0..).zip(shares).fold(0, |word, (at, &share)| word | u64::from(share > INSIDE) << at);
    }
}

/// Pixels outside which nothing of the anchor's mask is, wherever motion takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// First and one past the last column, then row.
    columns: [usize; 2],
    rows: [usize; 2],
}

impl Reach {
    /// Returns where the anchor's shares, `[side, side]`, can be.
    pub fn of(anchor: &[f32], side: usize, flow: &Flow<'_>) -> Self {
        let (mut columns, mut rows) = (side..0, side..0);
        for (y, row) in anchor.chunks_exact(side).enumerate() {
            let is_inside = |share: &f32| *share > INSIDE;
            if let (Some(left), Some(right)) =
                (row.iter().position(is_inside), row.iter().rposition(is_inside))
            {
                columns = columns.start.min(left)..columns.end.max(right + 1);
                rows = rows.start.min(y)..y + 1;
            }
        }
        let plane = flow.side * flow.side;
        let [columns, rows] = [(columns, &flow.values[..plane]), (rows, &flow.values[plane..2 * plane])]
            .map(|(inside, flow_of_axis)| reach(inside, flow_of_axis, side, side as f32 / flow.side as f32));
        Self { columns: [columns.start, columns.end], rows: [rows.start, rows.end] }
    }
}

/// Where pixels can be along an axis that motion takes to those of `inside`, or between them and the next.
fn reach(inside: Range<usize>, flow: &[f32], side: usize, pixels_per_cell: f32) -> Range<usize> {
    if inside.is_empty() {
        return 0..0;
    }
    let (least, most) = flow
        .iter()
        .fold((f32::MAX, f32::MIN), |(least, most), &flow| (math::min(least, flow), math::max(most, flow)));
    // Pixels are at their place in the anchor minus the motion. Those beyond an edge are at the edge. NaN reaches everywhere.
    let first = inside.start as f32 - 1.0 - most * pixels_per_cell;
    let last = inside.end as f32 - least * pixels_per_cell;
    let start = if inside.start > 1 && first > 0.0 { first as usize } else { 0 };
    let end = if inside.end + 1 < side && last < side as f32 { (last + 2.0).max(0.0) as usize } else { side };
    start.min(side)..end.min(side)
}

impl Overlap {
    /// Returns the Dice; 0 if both masks are empty.
    pub fn dice(&self) -> f32 {
        2.0 * self.both as f32 / self.sum.max(1) as f32
    }

    /// Adds some rows of an object's mask, as bits, and of the anchor's shares, warped; both are `[side, side]`. Beyond the
    /// anchor's edge, its edge counts. `reach`: the pixels outside which nothing of the anchor's can be.
    pub fn add(
        &mut self,
        anchor: &[f32],
        now: &[u64],
        side: usize,
        flow: &Flow<'_>,
        reach: &Reach,
        rows: Range<usize>,
    ) {
        let last = (side - 1) as f32;
        let is_inside = |at: usize| now[at / u64::BITS as usize] >> (at % u64::BITS as usize) & 1 != 0;
        for y in rows {
            let row = y * side..(y + 1) * side;
            self.sum += row.map(|at| u32::from(is_inside(at))).sum::<u32>();
            if !(reach.rows[0]..reach.rows[1]).contains(&y) {
                continue;
            }
            for x in reach.columns[0]..reach.columns[1] {
                let [along, down] = flow.at([x, y], side);
                let place = [x as f32 + along, y as f32 + down].map(|at| at.clamp(0.0, last));
                let was = bilinear(anchor, side, place) > INSIDE;
                self.both += u32::from(was && is_inside(y * side + x));
                self.sum += u32::from(was);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 32;

    /// A square of 8 pixels.
    fn square(left: usize, top: usize) -> Vec<f32> {
        let is_in = |at: usize, from: usize| (from..from + 8).contains(&at);
        (0..SIDE * SIDE).map(|at| f32::from(is_in(at % SIDE, left) && is_in(at / SIDE, top))).collect()
    }

    fn overlap(anchor: &[f32], now: &[f32], flow: [f32; 2]) -> Overlap {
        let mut bits = [0; SIDE * SIDE / 64];
        inside(now, &mut bits);
        let side = SIDE / 2;
        let values: Vec<f32> = flow.iter().flat_map(|&cells| vec![cells; side * side]).collect();
        let mut overlap = Overlap::default();
        for y in 0..SIDE {
            let flow = Flow { values: &values, side };
            overlap.add(anchor, &bits, SIDE, &flow, &Reach::of(anchor, SIDE, &flow), y..y + 1);
        }
        let everywhere = Reach { columns: [0, SIDE], rows: [0, SIDE] };
        let mut slow = Overlap::default();
        slow.add(anchor, &bits, SIDE, &Flow { values: &values, side }, &everywhere, 0..SIDE);
        assert_eq!(overlap, slow, "the reach is too small");
        overlap
    }

    #[test]
    fn a_square_that_moved_fits_when_the_flow_says_so() {
        // It moved 4 pixels to the right and 2 down, so its place in the anchor is 2 cells to the left and 1 up.
        let (anchor, now) = (square(10, 10), square(14, 12));
        assert_eq!(overlap(&anchor, &now, [-2.0, -1.0]), Overlap { both: 64, sum: 128 });
        assert_eq!(overlap(&anchor, &now, [0.0, 0.0]).dice(), 2.0 * 24.0 / 128.0);
    }

    /// Nothing of the anchor's is outside the reach, for squares everywhere and motion of any kind.
    #[test]
    fn the_reach_leaves_nothing_out() {
        let moves = [0.0, 0.3, -0.7, 4.0, -9.5, 30.0, f32::NAN, f32::NEG_INFINITY];
        for left in [0, 1, 2, 11, 23, 24] {
            for top in [0, 1, 12, 23, 24] {
                for along in moves {
                    for down in [0.0, 2.5, -6.0] {
                        overlap(&square(left, top), &square(top, left), [along, down]);
                    }
                }
            }
        }
        // Motion that differs from place to place.
        let values: Vec<f32> = (0..SIDE * SIDE / 2).map(|at| (at * at % 13) as f32 - 6.0).collect();
        let (flow, anchor) = (Flow { values: &values, side: SIDE / 2 }, square(12, 9));
        let reaches = [Reach::of(&anchor, SIDE, &flow), Reach { columns: [0, SIDE], rows: [0, SIDE] }];
        let [seen, expected] = reaches.map(|reach| {
            let mut overlap = Overlap::default();
            overlap.add(&anchor, &[!0; SIDE * SIDE / 64], SIDE, &flow, &reach, 0..SIDE);
            overlap
        });
        assert_eq!(seen, expected);
    }

    #[test]
    fn less_than_half_a_pixel_is_outside() {
        let halves = |share: f32| vec![share; SIDE * SIDE];
        assert_eq!(
            overlap(&halves(0.4), &halves(0.6), [0.0, 0.0]),
            Overlap { both: 0, sum: (SIDE * SIDE) as u32 }
        );
    }

    #[test]
    fn flow_out_of_the_frame_finds_the_edge() {
        let anchor = square(24, 0);
        assert_eq!(overlap(&anchor, &vec![0.0; SIDE * SIDE], [100.0, -100.0]).sum, (SIDE * SIDE) as u32);
        assert_eq!(overlap(&square(8, 8), &vec![0.0; SIDE * SIDE], [f32::INFINITY, 0.0]).sum, 0);
        assert_eq!(Overlap::default().dice(), 0.0);
    }
}
