//! Operands of a tile: read-only inputs, and an output that many tiles write at once.

use super::convert::f16_to_f32;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// An input's elements.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Not used by the operation.
    Missing,
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 16-bit floats, as bits.
    F16(&'a [u16]),
    /// Indices.
    I32(&'a [i32]),
    /// Weights in panels, 32-bit.
    PanelsF32(&'a [f32]),
    /// Weights in panels, 16-bit floats as bits.
    PanelsF16(&'a [u16]),
    /// Weights in panels, 8-bit integers behind the scales of their columns.
    PanelsI8(&'a [i8]),
}

impl<'a> Input<'a> {
    /// The plain floats of an operand that the verifier proved to be such; empty for any other.
    pub fn f32(&self) -> &'a [f32] {
        if let Self::F32(values) = self { values } else { &[] }
    }

    /// The indices of an operand that the verifier proved to be such; empty for any other.
    pub fn i32(&self) -> &'a [i32] {
        if let Self::I32(values) = self { values } else { &[] }
    }

    /// Fills `to` with the elements at `from`, `from + stride`, ... as f32. A missing input reads as zeros.
    #[inline]
    pub fn load(&self, from: usize, stride: usize, to: &mut [f32]) {
        match (self, stride) {
            (Self::F32(values), 0) => to.fill(values[from]),
            (Self::F32(values), 1) => to.copy_from_slice(&values[from..][..to.len()]),
            (Self::F32(values), _) => strided(values, from, stride, to, |value| value),
            (Self::F16(values), 0) => to.fill(f16_to_f32(values[from])),
            (Self::F16(values), _) => strided(values, from, stride, to, f16_to_f32),
            (Self::I32(values), 0) => to.fill(values[from] as f32),
            (Self::I32(values), _) => strided(values, from, stride, to, |value| value as f32),
            // Panels are not strided; the products read them whole.
            (Self::Missing | Self::PanelsF32(_) | Self::PanelsF16(_) | Self::PanelsI8(_), _) => to.fill(0.0),
        }
    }
}

#[inline]
fn strided<T: Copy>(values: &[T], from: usize, stride: usize, to: &mut [f32], convert: impl Fn(T) -> f32) {
    for (to, &value) in to.iter_mut().zip(values[from..].iter().step_by(stride)) {
        *to = convert(value);
    }
}

/// The elements of an operation's output. Tiles on several threads write through copies of it; they never read it.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    first: NonNull<f32>,
    elements: usize,
    _borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: sharing an `Output` shares only the right to write through it, and `Output::new` makes its caller promise
// that no element is written by two threads.
unsafe impl Send for Output<'_> {}
// SAFETY: as for Send; the only access through a shared reference is `write`, covered by the same promise.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// An output over `elements` floats from `first` on.
    ///
    /// # Safety
    /// The floats are valid for writes for `'a`; nobody reads them, nor writes an element that a tile with a copy of
    /// this output writes, before the tiles of the operation are done.
    pub unsafe fn new(first: NonNull<f32>, elements: usize) -> Self {
        Self { first, elements, _borrow: PhantomData }
    }

    /// Writes `values` to the elements `from`, `from + stride`, ...
    ///
    /// # Panics
    /// If the last of them lies outside; a verified operation never gets there.
    #[inline]
    pub fn write(&self, from: usize, stride: usize, values: &[f32]) {
        let Some(steps) = values.len().checked_sub(1) else { return };
        assert!(
            steps
                .checked_mul(stride)
                .and_then(|d| d.checked_add(from))
                .is_some_and(|last| last < self.elements)
        );
        for (step, &value) in values.iter().enumerate() {
            // SAFETY: from + step * stride is at most the last element, which lies inside (asserted above).
            let element = unsafe { self.first.add(from + step * stride) };
            // SAFETY: inside, and written by this tile alone by the promise made to `new`.
            unsafe { element.write(value) };
        }
    }
}
