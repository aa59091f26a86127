//! Positions of a run's tensors. Only this file converts planned offsets to slices.
//!
//! A `Source` or `Target` is a position in a memory space, created from a verified tensor when an operation is bound. A
//! run provides the start of each space ([`Spaces`]), so a tile resolves an operand with one addition.

use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use sonotrace_format::SLOTS_MAX;

/// Index of the scratch among the spaces.
const SCRATCH: u8 = 0;
/// Index of the weights.
const WEIGHTS: u8 = 1;
/// Index of a program's first slot.
const FIRST_SLOT: u8 = 2;
const SPACES: usize = 2 + SLOTS_MAX;

/// Element types of tensors: plain data for which any bits are a valid value.
pub(crate) trait Element: bytemuck::Pod {}

impl Element for f32 {}
impl Element for f16 {}
impl Element for bf16 {}
impl Element for i8 {}
impl Element for i32 {}

/// Start of each memory space of a run: scratch, weights, and the copy of a bank for each slot of the program.
#[derive(Debug, Clone, Copy)]
pub struct Spaces {
    starts: [NonNull<u8>; SPACES],
}

// SAFETY: holds addresses only; code that reads or writes there relies on the conditions of `BoundOp::run`.
unsafe impl Send for Spaces {}
// SAFETY: as for Send.
unsafe impl Sync for Spaces {}

impl Spaces {
    /// Creates spaces without slots.
    pub fn new(scratch: NonNull<u8>, weights: &[u8]) -> Self {
        let mut starts = [NonNull::dangling(); SPACES];
        (starts[SCRATCH as usize], starts[WEIGHTS as usize]) = (scratch, NonNull::from(weights).cast());
        Self { starts }
    }

    /// Sets the start of a slot's copy.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn set_slot(&mut self, slot: usize, start: NonNull<u8>) {
        assert!(slot < SLOTS_MAX);
        self.starts[FIRST_SLOT as usize + slot] = start;
    }

    /// Returns the start of a slot's copy.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn slot(&self, slot: usize) -> NonNull<u8> {
        self.starts[FIRST_SLOT as usize + slot]
    }
}

/// A position in a memory space.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset_bytes: usize,
    elements: u32,
    space: u8,
}

/// Elements that an operation reads. Exists only for tensors of a verified model.
#[derive(Debug)]
pub(crate) struct Source<T> {
    place: Place,
    _elements: PhantomData<fn() -> T>,
}

impl<T> Clone for Source<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Source<T> {}

/// Elements that an operation writes. Exists only for tensors of a verified model.
#[derive(Debug)]
pub(crate) struct Target<T> {
    place: Place,
    _elements: PhantomData<fn(T)>,
}

impl<T> Clone for Target<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Target<T> {}

/// Memory space of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpaceOf {
    Scratch,
    Weights,
    Slot(u8),
}

impl SpaceOf {
    fn index(self) -> u8 {
        match self {
            Self::Scratch => SCRATCH,
            Self::Weights => WEIGHTS,
            Self::Slot(slot) => FIRST_SLOT + slot,
        }
    }
}

impl<T: Element> Source<T> {
    /// Creates the source of a verified tensor of this type, with `elements` elements from `offset_bytes` of its space
    /// on.
    pub(super) fn verified(space: SpaceOf, offset_bytes: usize, elements: u32) -> Self {
        Self { place: Place { offset_bytes, elements, space: space.index() }, _elements: PhantomData }
    }
}

impl<T: Element> Target<T> {
    /// Creates the target of a verified tensor of this type, which is not in the weights.
    pub(super) fn verified(space: SpaceOf, offset_bytes: usize, elements: u32) -> Self {
        debug_assert_ne!(space, SpaceOf::Weights);
        Self { place: Place { offset_bytes, elements, space: space.index() }, _elements: PhantomData }
    }
}

/// Inputs of a tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'t>(&'t Spaces);

impl<'t> Inputs<'t> {
    /// Returns the elements of a tensor.
    #[inline(always)]
    pub fn read<T: Element>(self, source: Source<T>) -> &'t [T] {
        let Place { offset_bytes, elements, space } = source.place;
        // SAFETY: the tensor lies inside its space, which the run's spaces cover (guaranteed by the caller of
        // `BoundOp::run`).
        let first = unsafe { self.0.starts[usize::from(space)].add(offset_bytes) };
        // SAFETY: the verifier checked that it is inside the space and aligned to 64; it is initialised, because
        // regions are zeroed before use and any bits are a valid value; no running operation writes it.
        unsafe { core::slice::from_raw_parts(first.cast().as_ptr(), elements as usize) }
    }
}

/// Permission to write the output of one tile. Neither `Copy` nor shared between threads.
#[derive(Debug)]
pub(crate) struct OutputPlace<'t>(&'t Spaces, PhantomData<*mut u8>);

impl<'t> OutputPlace<'t> {
    /// Returns the elements of the output.
    #[inline(always)]
    pub fn open<T: Element>(self, target: Target<T>) -> Output<'t, T> {
        let Place { offset_bytes, elements, space } = target.place;
        // SAFETY: as for `Inputs::read`.
        let first = unsafe { self.0.starts[usize::from(space)].add(offset_bytes) };
        Output { first: first.cast(), elements: elements as usize, _tile: PhantomData }
    }
}

/// The elements of an operation's output, for one tile. The tile writes only its own elements, and reads none that it
/// did not write.
#[derive(Debug)]
pub(crate) struct Output<'t, T> {
    first: NonNull<T>,
    elements: usize,
    _tile: PhantomData<(&'t mut T, *mut T)>,
}

impl<T: Element> Output<'_, T> {
    /// Returns a run of adjacent elements, all of them of this tile.
    ///
    /// # Panics
    /// If the run reaches outside the tensor; a bound operation never does that.
    #[inline(always)]
    pub fn row(&mut self, from: usize, length: usize) -> &mut [T] {
        assert!(from <= self.elements && length <= self.elements - from);
        // SAFETY: inside the tensor (asserted above).
        let first = unsafe { self.first.add(from) };
        // SAFETY: inside the tensor; only this tile accesses these elements (guaranteed by the caller of
        // `BoundOp::run`), and `&mut self` prevents two such slices at a time.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), length) }
    }

    /// Writes `values` to the elements `from`, `from + stride`, ...
    ///
    /// # Panics
    /// If the last of them lies outside the tensor; a bound operation never does that.
    #[inline(always)]
    pub fn write(&mut self, from: usize, stride: usize, values: &[T]) {
        if stride == 1 {
            return self.row(from, values.len()).copy_from_slice(values);
        }
        let Some(steps) = values.len().checked_sub(1) else { return };
        let last = steps.checked_mul(stride).and_then(|reach| reach.checked_add(from));
        assert!(last.is_some_and(|last| last < self.elements));
        for (step, &value) in values.iter().enumerate() {
            // SAFETY: at most the last element, which lies inside (asserted above).
            let element = unsafe { self.first.add(from + step * stride) };
            // SAFETY: inside the tensor, and an element of this tile.
            unsafe { element.write(value) };
        }
    }
}

/// One tile of an operation, with all memory that it may access.
#[derive(Debug)]
pub(crate) struct Tile<'t> {
    /// Its part of the operation's units.
    pub units: Range<u64>,
    pub inputs: Inputs<'t>,
    pub output: OutputPlace<'t>,
    /// Scratch of this thread alone; aligned to 64.
    pub scratch: &'t mut [u8],
}

impl<'t> Tile<'t> {
    /// # Safety
    /// As [`crate::BoundOp::run`].
    pub unsafe fn new(spaces: &'t Spaces, units: Range<u64>, scratch: &'t mut [u8]) -> Self {
        Self { units, inputs: Inputs(spaces), output: OutputPlace(spaces, PhantomData), scratch }
    }
}

/// Source of floats in any type that tensors have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FloatSource {
    F32(Source<f32>),
    F16(Source<f16>),
    I8(Source<i8>),
}

impl FloatSource {
    /// Fills `to` with the elements at `from`, `from + stride`, ... as f32.
    #[inline(always)]
    pub fn load(self, inputs: Inputs<'_>, from: usize, stride: usize, to: &mut [f32]) {
        match (self, stride) {
            (Self::F32(source), 1) => to.copy_from_slice(&inputs.read(source)[from..][..to.len()]),
            (Self::F32(source), _) => strided(inputs.read(source), from, stride, to, |value| value),
            (Self::F16(source), 1) => inputs.read(source)[from..][..to.len()].convert_to_f32_slice(to),
            (Self::F16(source), _) => strided(inputs.read(source), from, stride, to, f16::to_f32),
            (Self::I8(source), _) => strided(inputs.read(source), from, stride, to, f32::from),
        }
    }

    /// Returns one element as f32.
    #[inline(always)]
    pub fn at(self, inputs: Inputs<'_>, at: usize) -> f32 {
        match self {
            Self::F32(source) => inputs.read(source)[at],
            Self::F16(source) => inputs.read(source)[at].to_f32(),
            Self::I8(source) => inputs.read(source)[at].into(),
        }
    }

    /// Fills `to` with the elements at `places` as f32.
    #[inline(always)]
    pub fn gather(self, inputs: Inputs<'_>, places: impl Iterator<Item = usize>, to: &mut [f32]) {
        match self {
            Self::F32(source) => gathered(inputs.read(source), places, to, |value| value),
            Self::F16(source) => gathered(inputs.read(source), places, to, f16::to_f32),
            Self::I8(source) => gathered(inputs.read(source), places, to, f32::from),
        }
    }

    /// Returns the elements as f32: in place if they are adjacent f32, else loaded into `buffer`.
    #[inline(always)]
    pub fn view<'a>(
        self,
        inputs: Inputs<'a>,
        from: usize,
        stride: usize,
        buffer: &'a mut [f32],
    ) -> &'a [f32] {
        if let (Self::F32(source), 1) = (self, stride) {
            return &inputs.read(source)[from..][..buffer.len()];
        }
        self.load(inputs, from, stride, buffer);
        buffer
    }
}

#[inline(always)]
fn strided<T: Copy>(values: &[T], from: usize, stride: usize, to: &mut [f32], convert: impl Fn(T) -> f32) {
    if stride == 0 {
        return to.fill(convert(values[from]));
    }
    for (to, &value) in to.iter_mut().zip(values[from..].iter().step_by(stride)) {
        *to = convert(value);
    }
}

#[inline(always)]
fn gathered<T: Copy>(
    values: &[T],
    places: impl Iterator<Item = usize>,
    to: &mut [f32],
    convert: impl Fn(T) -> f32,
) {
    for (to, place) in to.iter_mut().zip(places) {
        *to = convert(values[place]);
    }
}

/// Target of floats in any type that tensors have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FloatTarget {
    F32(Target<f32>),
    F16(Target<f16>),
    I8(Target<i8>),
}

/// The elements of an output of any type, for one tile.
#[derive(Debug)]
pub(crate) enum FloatOutput<'t> {
    F32(Output<'t, f32>),
    F16(Output<'t, f16>),
    I8(Output<'t, i8>),
}

impl FloatTarget {
    pub fn open(self, place: OutputPlace<'_>) -> FloatOutput<'_> {
        match self {
            Self::F32(target) => FloatOutput::F32(place.open(target)),
            Self::F16(target) => FloatOutput::F16(place.open(target)),
            Self::I8(target) => FloatOutput::I8(place.open(target)),
        }
    }
}

impl FloatOutput<'_> {
    /// Returns elements in place, if they are adjacent f32.
    #[inline(always)]
    pub fn row(&mut self, from: usize, stride: usize, length: usize) -> Option<&mut [f32]> {
        match self {
            Self::F32(output) if stride == 1 => Some(output.row(from, length)),
            _ => None,
        }
    }

    /// Writes elements at `from`, `from + stride`, ..., rounded to nearest (ties to even), saturating.
    #[inline(always)]
    pub fn write(&mut self, from: usize, stride: usize, values: &[f32]) {
        match self {
            Self::F32(output) => output.write(from, stride, values),
            Self::F16(output) => {
                for (at, &value) in values.iter().enumerate() {
                    output.write(from + at * stride, 1, &[f16::from_f32(value)]);
                }
            }
            Self::I8(output) => {
                for (at, &value) in values.iter().enumerate() {
                    // The conversion saturates.
                    output.write(from + at * stride, 1, &[libm::rintf(value) as i8]);
                }
            }
        }
    }
}
