//! Bytes aligned to a page, as models in place and regions of an executor require.

use crate::PAGE_BYTES;
use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};
use std::vec::Vec;

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES as usize]);

/// Bytes aligned to a page.
#[derive(Debug, Clone)]
pub struct AlignedBytes {
    pages: Vec<Page>,
    length: usize,
}

impl AlignedBytes {
    /// Copies `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeroed(bytes.len());
        aligned.bytes_mut().copy_from_slice(bytes);
        aligned
    }

    /// Creates `length` zero bytes.
    pub fn zeroed(length: usize) -> Self {
        Self { pages: std::vec![Page::zeroed(); length.div_ceil(PAGE_BYTES as usize)], length }
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &cast_slice(&self.pages)[..self.length]
    }

    /// Returns the bytes for writing.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut cast_slice_mut(&mut self.pages)[..self.length]
    }
}
