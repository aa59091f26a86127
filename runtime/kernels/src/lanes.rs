//! Rows in chunks of constant length: the compiler keeps such a chunk in registers, and calls no function for a short row.

/// Work on a row.
pub(crate) trait Chunked {
    /// Processes `LANES` elements from `from` on. An element may be processed twice, with the same result.
    fn chunk<const LANES: usize>(&mut self, from: usize);
}

/// Processes a row of `length` elements in chunks of one length. The last chunk overlaps the one before it if it has to.
#[inline(always)]
pub(crate) fn in_chunks(length: usize, work: &mut impl Chunked) {
    match length {
        0 => {}
        1..4 => in_chunks_of::<1>(length, work),
        4..8 => in_chunks_of::<4>(length, work),
        8..16 => in_chunks_of::<8>(length, work),
        16..32 => in_chunks_of::<16>(length, work),
        _ => in_chunks_of::<32>(length, work),
    }
}

#[inline(always)]
fn in_chunks_of<const LANES: usize>(length: usize, work: &mut impl Chunked) {
    let (mut from, last) = (0, length - LANES);
    loop {
        work.chunk::<LANES>(from);
        if from == last {
            return;
        }
        from = last.min(from + LANES);
    }
}

/// Returns `LANES` elements from `from` on.
///
/// # Panics
/// If there are fewer.
#[inline(always)]
pub(crate) fn lanes<const LANES: usize>(values: &[f32], from: usize) -> &[f32; LANES] {
    values[from..].first_chunk().expect("a bound operation reads rows inside its operands")
}

/// Adds products to sums.
#[inline(always)]
pub(crate) fn add_products<const LANES: usize>(sums: &mut [f32; LANES], a: &[f32; LANES], b: &[f32; LANES]) {
    for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}

/// Sums rows of `values`, given by their first elements, times their weights.
#[inline(always)]
pub(crate) fn sum_rows(values: &[f32], rows: &[(usize, f32)], to: &mut [f32]) {
    struct Sum<'a> {
        values: &'a [f32],
        rows: &'a [(usize, f32)],
        to: &'a mut [f32],
    }
    impl Chunked for Sum<'_> {
        #[inline(always)]
        fn chunk<const LANES: usize>(&mut self, from: usize) {
            let mut sums = [0.0f32; LANES];
            for &(first, weight) in self.rows {
                add_products(&mut sums, &[weight; LANES], lanes(self.values, first + from));
            }
            self.to[from..][..LANES].copy_from_slice(&sums);
        }
    }
    in_chunks(to.len(), &mut Sum { values, rows, to });
}
