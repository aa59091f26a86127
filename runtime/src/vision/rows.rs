//! The pixels of one side of a mask in a window, as bits of two rows at a time.
//!
//! A run is a series of neighbouring pixels of the side in a row. Runs are found by their bits: 64 pixels at a time.

use super::budget::StepBudget;
use super::mask::{FIELD_SIDE_MAX, Field, PixelBox};

/// Pixels of a word.
const WORD: usize = u64::BITS as usize;

/// A row of pixels. The first and last word are 0, so that every pixel has neighbours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row([u64; FIELD_SIDE_MAX / WORD + 2]);

impl Row {
    pub const EMPTY: Self = Self([0; FIELD_SIDE_MAX / WORD + 2]);

    /// Reads the inside pixels of a row of a field.
    pub fn read(&mut self, field: &Field<'_>, y: usize) {
        field.inside_bits(y, &mut self.0[1..]);
    }

    pub fn has(&self, x: usize) -> bool {
        self.0[x / WORD + 1] >> (x % WORD) & 1 == 1
    }

    /// Returns the first pixel of the run that a pixel belongs to.
    pub fn start(&self, x: usize) -> usize {
        let mut at = x / WORD + 1;
        let mut gaps = !self.0[at] & !(u64::MAX << (x % WORD));
        while gaps == 0 {
            at -= 1;
            gaps = !self.0[at];
        }
        at * WORD - gaps.leading_zeros() as usize
    }

    /// Returns the pixel after the run that a pixel belongs to.
    pub fn end(&self, x: usize) -> usize {
        let mut at = x / WORD + 1;
        let mut gaps = !self.0[at] & (u64::MAX << (x % WORD));
        while gaps == 0 {
            at += 1;
            gaps = !self.0[at];
        }
        (at - 1) * WORD + gaps.trailing_zeros() as usize
    }

    /// Returns a word of pixels, and words of their neighbours on the left and on the right.
    fn with_neighbours(&self, at: usize) -> [u64; 3] {
        let [before, own, after] = [self.0[at], self.0[at + 1], self.0[at + 2]];
        [own, own << 1 | before >> (WORD - 1), own >> 1 | after << (WORD - 1)]
    }
}

/// A row in a window, and the row above it, which is empty for the first row.
pub(super) struct Rows<'a> {
    field: &'a Field<'a>,
    window: PixelBox,
    pub inside: bool,
    /// Rows of even and of odd `y`.
    rows: [Row; 2],
    y: usize,
}

impl<'a> Rows<'a> {
    /// Reads row `y` of a window: the pixels inside the mask, or those outside.
    pub fn new(field: &'a Field<'a>, window: PixelBox, inside: bool, y: usize) -> Self {
        let mut rows = Self { field, window, inside, rows: [Row::EMPTY; 2], y };
        for y in y.saturating_sub(1).max(window.y0)..=y {
            rows.read(y);
        }
        rows
    }

    pub fn own(&self) -> &Row {
        &self.rows[self.y % 2]
    }

    pub fn above(&self) -> &Row {
        &self.rows[1 - self.y % 2]
    }

    /// Reads row `y` of the window, if there is one.
    fn read(&mut self, y: usize) {
        self.y = y;
        if y > self.window.y1 {
            return;
        }
        let row = &mut self.rows[y % 2];
        row.read(self.field, y);
        let PixelBox { x0, x1, .. } = self.window;
        let words = &mut row.0[1..self.field.columns().div_ceil(WORD) + 1];
        if !self.inside {
            words.iter_mut().for_each(|word| *word = !*word);
        }
        words[..x0 / WORD].fill(0);
        words[x1 / WORD + 1..].fill(0);
        words[x0 / WORD] &= u64::MAX << (x0 % WORD);
        words[x1 / WORD] &= u64::MAX >> (WORD - 1 - x1 % WORD);
    }

    /// Returns the first pixel from `x` on where a run starts or begins to touch a run of the row above, also across a corner.
    fn next_joint(&self, x: usize) -> Option<usize> {
        let (own, above) = (self.own(), self.above());
        (x / WORD..self.window.x1 / WORD + 1).find_map(|at| {
            let [own, own_left, own_right] = own.with_neighbours(at);
            let [above, above_left, above_right] = above.with_neighbours(at);
            let starts = own & !own_left;
            let touching = own & above & !(own_left & above_left);
            let corners = own & !above & (above_left & !own_left | above_right & !own_right);
            let from = x.saturating_sub(at * WORD);
            let joints = (starts | touching | corners) & (u64::MAX << from);
            (joints != 0).then(|| at * WORD + joints.trailing_zeros() as usize)
        })
    }
}

/// The runs of a window in reading order, by their starts and the pixels where they begin to touch a run of the row above. The work is
/// one unit for each of those, and for each pixel of a row. Resumable after any of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    pub window: PixelBox,
    x: usize,
    pub y: usize,
}

impl Scan {
    pub fn new(window: PixelBox) -> Self {
        Self { window, x: window.x0, y: window.y0 }
    }

    pub fn is_done(&self) -> bool {
        self.y > self.window.y1
    }

    /// Reads the rows at which a step continues.
    pub fn rows<'a>(&self, field: &'a Field<'a>, inside: bool) -> Rows<'a> {
        Rows::new(field, self.window, inside, self.y)
    }

    /// Returns the next such pixel, in row `self.y`; `None` at the end and when the budget is used up.
    pub fn next(&mut self, rows: &mut Rows<'_>, budget: &mut StepBudget) -> Option<usize> {
        while !self.is_done() && !budget.is_used_up() {
            if let Some(x) = rows.next_joint(self.x) {
                budget.count(1);
                self.x = x + 1;
                return Some(x);
            }
            budget.count((self.window.x1 - self.window.x0 + 1) as u32);
            (self.x, self.y) = (self.window.x0, self.y + 1);
            rows.read(self.y);
        }
        None
    }
}
