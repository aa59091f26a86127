//! The memory that tensors live in: the one place where planned places become slices.

use super::layout::MemoryLayout;
use crate::kernels::{Input, Output};
use crate::model::Model;
use crate::model::format::{Dtype, Layout, Space, TensorRecord};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A region bound to a layout. Holds the region's only borrow, so nothing else reads or writes it.
#[derive(Debug)]
pub(super) struct Arena<'m> {
    base: NonNull<f32>,
    layout: MemoryLayout,
    _borrow: PhantomData<&'m mut [u8]>,
}

// SAFETY: the arena owns its region like a `&mut [u8]` does, and that is Send.
unsafe impl Send for Arena<'_> {}
// SAFETY: through a shared reference an arena only gives out shared slices (its unsafe functions state what else).
unsafe impl Sync for Arena<'_> {}

impl<'m> Arena<'m> {
    /// Takes a region that is as large and as aligned as `layout` requires (checked by the caller: the executor).
    pub fn new(region: &'m mut [u8], layout: MemoryLayout) -> Self {
        let required = layout.required();
        assert!(region.len() >= required.bytes && region.as_ptr().align_offset(required.align) == 0);
        Self { base: NonNull::from(region).cast(), layout, _borrow: PhantomData }
    }

    /// First byte of a tensor in the region; a frame state's depends on which copy is bound.
    fn offset_bytes(&self, tensor: &TensorRecord, copy: u32) -> usize {
        let start = if tensor.space == Space::SessionState as u32 {
            self.layout.session_state.start
        } else if tensor.space == Space::FrameState as u32 {
            self.layout.frame_states.start + copy as usize * self.layout.frame_state_bytes
        } else {
            self.layout.scratch.start
        };
        let offset = start + tensor.offset as usize;
        // Holds for every verified tensor and every copy below the layout's count; checked because slices follow.
        assert!(offset + tensor.elements as usize * 4 <= self.layout.scratch.end);
        offset
    }

    fn first(&self, tensor: &TensorRecord, copy: u32) -> NonNull<f32> {
        let elements = self.offset_bytes(tensor, copy) / 4;
        // SAFETY: the offset lies inside the region (asserted in offset_bytes against the layout, and the layout
        // against the region in `new`).
        unsafe { self.base.add(elements) }
    }

    /// A tensor's floats.
    ///
    /// # Safety
    /// No operation that writes the tensor runs while the slice is alive.
    pub unsafe fn read(&self, tensor: &TensorRecord, copy: u32) -> &[f32] {
        let first = self.first(tensor, copy);
        // SAFETY: inside the region, aligned to 64, initialised (the region was handed over as bytes, and any bits are
        // a float); not written meanwhile, as the caller promises.
        unsafe { core::slice::from_raw_parts(first.as_ptr(), tensor.elements as usize) }
    }

    /// A tensor's floats, to be filled from outside.
    pub fn write(&mut self, tensor: &TensorRecord, copy: u32) -> &mut [f32] {
        let first = self.first(tensor, copy);
        // SAFETY: as for `read`; `&mut self` excludes any other access.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), tensor.elements as usize) }
    }

    /// An operation's output.
    ///
    /// # Safety
    /// The tensor shares no byte with another slice of this arena that is alive.
    pub unsafe fn output(&self, tensor: &TensorRecord, copy: u32) -> Output<'_> {
        // SAFETY: inside the region; exclusive as the caller promises.
        unsafe { Output::new(self.first(tensor, copy), tensor.elements as usize) }
    }

    /// The scratch of the thread that runs tiles.
    ///
    /// # Safety
    /// Only one such slice is alive at a time.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn thread_scratch(&self) -> &mut [f32] {
        let range = &self.layout.thread_scratch;
        // SAFETY: inside the region by the layout.
        let first = unsafe { self.base.add(range.start / 4) };
        // SAFETY: inside the region, apart from every tensor; exclusive as the caller promises.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), range.len() / 4) }
    }
}

/// The elements of a tensor in the weights, in place.
pub(super) fn weights<'a>(model: &Model<'a>, tensor: &TensorRecord) -> Input<'a> {
    let is_panels = tensor.layout == Layout::Panel16 as u32;
    let bytes_of = |dtype: Dtype| {
        let from = tensor.offset as usize;
        &model.weights()[from..from + tensor.elements as usize * dtype.bytes() as usize]
    };
    if tensor.dtype == Dtype::F16 as u32 {
        let values = bytemuck::cast_slice(bytes_of(Dtype::F16));
        if is_panels { Input::PanelsF16(values) } else { Input::F16(values) }
    } else if tensor.dtype == Dtype::I8 as u32 {
        Input::PanelsI8(bytemuck::cast_slice(bytes_of(Dtype::I8)))
    } else if tensor.dtype == Dtype::I32 as u32 {
        Input::I32(bytemuck::cast_slice(bytes_of(Dtype::I32)))
    } else {
        let values = bytemuck::cast_slice(bytes_of(Dtype::F32));
        if is_panels { Input::PanelsF32(values) } else { Input::F32(values) }
    }
}
