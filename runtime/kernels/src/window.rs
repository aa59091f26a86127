//! Positions in an image that a kernel window reads.

use core::ops::Range;
use sonotrace_format::op::Window;

/// One axis of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowAxis {
    kernel: u32,
    stride: u32,
    dilation: u32,
    pad: i32,
    input: u32,
}

impl WindowAxis {
    /// Returns both axes, rows first.
    pub fn both(window: &Window) -> [Self; 2] {
        [0, 1].map(|axis| Self {
            kernel: window.kernel[axis],
            stride: window.stride[axis],
            dilation: window.dilation[axis],
            pad: window.pad[axis],
            input: window.input[axis],
        })
    }

    /// Returns the number of kernel elements.
    pub fn kernel(&self) -> usize {
        self.kernel as usize
    }

    /// Returns the input pixels from one output to the next.
    pub fn stride(&self) -> usize {
        self.stride as usize
    }

    /// Returns the input pixels from one kernel element to the next.
    pub fn dilation(&self) -> usize {
        self.dilation as usize
    }

    /// Returns the kernel elements of an output position that lie inside the image.
    #[inline(always)]
    pub fn taps_inside(&self, out: usize) -> Range<usize> {
        // A division is slow, and most windows are not dilated.
        let taps = |pixels: i64| match i64::from(self.dilation) {
            1 => pixels,
            dilation => (pixels + dilation - 1).div_euclid(dilation),
        };
        let first = self.position(out, 0);
        let from = taps(-first).clamp(0, self.kernel.into());
        let to = taps(i64::from(self.input) - first).clamp(from, self.kernel.into());
        from as usize..to as usize
    }

    /// Returns the input position of an output position and kernel element 0, modulo 2^`usize::BITS` if outside the image.
    #[inline(always)]
    pub fn first(&self, out: usize) -> usize {
        self.position(out, 0) as usize
    }

    /// Returns the input position of an output position and kernel element, if inside the image.
    #[inline(always)]
    pub fn input_at(&self, out: usize, tap: usize) -> Option<usize> {
        let at = self.position(out, tap);
        (0..i64::from(self.input)).contains(&at).then_some(at as usize)
    }

    /// Returns those of `count` outputs whose input position for a kernel element lies inside the image.
    #[inline(always)]
    pub fn outputs_inside(&self, tap: usize, count: usize) -> Range<usize> {
        let (first, stride) = (self.position(0, tap), i64::from(self.stride));
        let from = if first < 0 { (-first + stride - 1) / stride } else { 0 };
        let to =
            if first < i64::from(self.input) { (i64::from(self.input) - 1 - first) / stride + 1 } else { 0 };
        let (from, to) = (from.min(count as i64), to.clamp(0, count as i64));
        from as usize..(to.max(from)) as usize
    }

    fn position(&self, out: usize, tap: usize) -> i64 {
        out as i64 * i64::from(self.stride) + tap as i64 * i64::from(self.dilation) - i64::from(self.pad)
    }
}
