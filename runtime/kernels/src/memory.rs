//! Where the tensors of a run lie: the one place where planned places become slices.
//!
//! A `Source` or `Target` is a place in a space, made when an operation is bound and held to the verified tensor. A run says
//! where each space starts ([`Spaces`]). So a tile resolves an operand with one addition.

use core::marker::PhantomData;
use core::ptr::NonNull;
use half::f16;
use half::slice::HalfFloatSliceExt;
use sonotrace_format::SLOTS_MAX;

/// Place of the scratch among the spaces.
const SCRATCH: u8 = 0;
/// Place of the weights.
const WEIGHTS: u8 = 1;
/// Place of a program's first slot.
const FIRST_SLOT: u8 = 2;
const SPACES: usize = 2 + SLOTS_MAX;

/// Element types of tensors: plain data for which all bits are a value.
pub(crate) trait Element: bytemuck::Pod {}

impl Element for f32 {}
impl Element for f16 {}
impl Element for i8 {}
impl Element for i32 {}

/// Where each space of a run starts: scratch, weights, and the copy of a bank for each slot of the program.
#[derive(Debug, Clone, Copy)]
pub struct Spaces {
    starts: [NonNull<u8>; SPACES],
}

// SAFETY: addresses alone; whoever reads or writes there made the promises of `BoundOp::run`.
unsafe impl Send for Spaces {}
// SAFETY: as for Send.
unsafe impl Sync for Spaces {}

impl Spaces {
    /// Spaces without slots.
    pub fn new(scratch: NonNull<u8>, weights: &[u8]) -> Self {
        let mut starts = [NonNull::dangling(); SPACES];
        (starts[SCRATCH as usize], starts[WEIGHTS as usize]) = (scratch, NonNull::from(weights).cast());
        Self { starts }
    }

    /// Says where the copy of a slot starts.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn set_slot(&mut self, slot: usize, start: NonNull<u8>) {
        assert!(slot < SLOTS_MAX);
        self.starts[FIRST_SLOT as usize + slot] = start;
    }

    /// Where the copy of a slot starts.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn slot(&self, slot: usize) -> NonNull<u8> {
        self.starts[FIRST_SLOT as usize + slot]
    }
}

/// A place in a space.
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

/// Which space a tensor lies in.
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
    /// A tensor of this type: `elements` of it from `offset_bytes` of its space on, as verified.
    pub(super) fn verified(space: SpaceOf, offset_bytes: usize, elements: u32) -> Self {
        Self { place: Place { offset_bytes, elements, space: space.index() }, _elements: PhantomData }
    }
}

impl<T: Element> Target<T> {
    /// A tensor of this type that is not in the weights, as verified.
    pub(super) fn verified(space: SpaceOf, offset_bytes: usize, elements: u32) -> Self {
        debug_assert_ne!(space, SpaceOf::Weights);
        Self { place: Place { offset_bytes, elements, space: space.index() }, _elements: PhantomData }
    }
}

/// What a tile reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'t>(&'t Spaces);

impl<'t> Inputs<'t> {
    /// The elements of a tensor.
    #[inline]
    pub fn read<T: Element>(self, source: Source<T>) -> &'t [T] {
        let Place { offset_bytes, elements, space } = source.place;
        // SAFETY: the tensor lies inside its space, which the run's spaces cover (promise of `BoundOp::run`).
        let first = unsafe { self.0.starts[usize::from(space)].add(offset_bytes) };
        // SAFETY: verified: inside the space and aligned to 64; initialised, since regions are zeroed when they are cut and any
        // bits are a value; no operation that runs now writes it.
        unsafe { core::slice::from_raw_parts(first.cast().as_ptr(), elements as usize) }
    }
}

/// The right to write what one tile writes. Neither `Copy` nor shared between threads.
#[derive(Debug)]
pub(crate) struct OutputPlace<'t>(&'t Spaces, PhantomData<*mut u8>);

impl<'t> OutputPlace<'t> {
    /// The elements of the output.
    #[inline]
    pub fn open<T: Element>(self, target: Target<T>) -> Output<'t, T> {
        let Place { offset_bytes, elements, space } = target.place;
        // SAFETY: as for `Inputs::read`.
        let first = unsafe { self.0.starts[usize::from(space)].add(offset_bytes) };
        Output { first: first.cast(), elements: elements as usize, _tile: PhantomData }
    }
}

/// The elements of an operation's output, for one tile: it writes those that are its own, and reads none that it did not write.
#[derive(Debug)]
pub(crate) struct Output<'t, T> {
    first: NonNull<T>,
    elements: usize,
    _tile: PhantomData<(&'t mut T, *mut T)>,
}

impl<T: Element> Output<'_, T> {
    /// A run of adjacent elements, all of them this tile's own.
    ///
    /// # Panics
    /// If it reaches outside; a bound operation never does.
    #[inline]
    pub fn row(&mut self, from: usize, length: usize) -> &mut [T] {
        assert!(from <= self.elements && length <= self.elements - from);
        // SAFETY: inside the tensor (asserted above).
        let first = unsafe { self.first.add(from) };
        // SAFETY: inside; only this tile touches these elements (promise of `BoundOp::run`), and `&mut self` keeps two such
        // slices from existing at a time.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), length) }
    }

    /// Writes `values` to the elements `from`, `from + stride`, ...
    ///
    /// # Panics
    /// If the last of them lies outside; a bound operation never gets there.
    #[inline]
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
            // SAFETY: inside, and this tile's own.
            unsafe { element.write(value) };
        }
    }
}

/// One tile of an operation, with all it may touch.
#[derive(Debug)]
pub(crate) struct Tile<'t> {
    /// Its number.
    pub index: u32,
    pub inputs: Inputs<'t>,
    pub output: OutputPlace<'t>,
    /// The thread's own; aligned to 64.
    pub scratch: &'t mut [u8],
}

impl<'t> Tile<'t> {
    /// # Safety
    /// As [`crate::BoundOp::run`].
    pub unsafe fn new(spaces: &'t Spaces, index: u32, scratch: &'t mut [u8]) -> Self {
        Self { index, inputs: Inputs(spaces), output: OutputPlace(spaces, PhantomData), scratch }
    }
}

/// Floats in any of the types that tensors hold.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FloatSource {
    F32(Source<f32>),
    F16(Source<f16>),
    I8(Source<i8>),
}

impl FloatSource {
    /// Fills `to` with the elements at `from`, `from + stride`, ... as f32.
    #[inline]
    pub fn load(self, inputs: Inputs<'_>, from: usize, stride: usize, to: &mut [f32]) {
        match (self, stride) {
            (Self::F32(source), 1) => to.copy_from_slice(&inputs.read(source)[from..][..to.len()]),
            (Self::F32(source), _) => strided(inputs.read(source), from, stride, to, |value| value),
            (Self::F16(source), 1) => inputs.read(source)[from..][..to.len()].convert_to_f32_slice(to),
            (Self::F16(source), _) => strided(inputs.read(source), from, stride, to, f16::to_f32),
            (Self::I8(source), _) => strided(inputs.read(source), from, stride, to, f32::from),
        }
    }

    /// One element as f32.
    #[inline]
    pub fn at(self, inputs: Inputs<'_>, at: usize) -> f32 {
        match self {
            Self::F32(source) => inputs.read(source)[at],
            Self::F16(source) => inputs.read(source)[at].to_f32(),
            Self::I8(source) => inputs.read(source)[at].into(),
        }
    }

    /// The elements as f32: in place where they are adjacent f32, else loaded into `buffer`.
    #[inline]
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

#[inline]
fn strided<T: Copy>(values: &[T], from: usize, stride: usize, to: &mut [f32], convert: impl Fn(T) -> f32) {
    if stride == 0 {
        return to.fill(convert(values[from]));
    }
    for (to, &value) in to.iter_mut().zip(values[from..].iter().step_by(stride)) {
        *to = convert(value);
    }
}

/// Floats to be written in any of the types that tensors hold.
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
    /// Lets `fill` write `length` elements at `from`, `from + stride`, ...: in place where they are adjacent f32, else by way
    /// of `buffer`, rounded to the nearest (ties to even), saturating.
    #[inline]
    pub fn fill(&mut self, from: usize, stride: usize, buffer: &mut [f32], fill: impl FnOnce(&mut [f32])) {
        match self {
            Self::F32(output) if stride == 1 => fill(output.row(from, buffer.len())),
            Self::F32(output) => {
                fill(buffer);
                output.write(from, stride, buffer);
            }
            Self::F16(output) => {
                fill(buffer);
                for (at, &value) in buffer.iter().enumerate() {
                    output.write(from + at * stride, 1, &[f16::from_f32(value)]);
                }
            }
            Self::I8(output) => {
                fill(buffer);
                for (at, &value) in buffer.iter().enumerate() {
                    // The conversion saturates.
                    output.write(from + at * stride, 1, &[libm::rintf(value) as i8]);
                }
            }
        }
    }
}
