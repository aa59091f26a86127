//! Colour to grey.

/// Luma of full-range components after ITU-R BT.601, as in JPEG (JFIF) and DICOM's YBR_FULL. Grey is unchanged.
pub(crate) const fn luma(red: u8, green: u8, blue: u8) -> u8 {
    // At most 255: the weights' sum is one.
    luma16(red as u16, green as u16, blue as u16) as u8
}

/// The same for components of any number of bits up to 16.
pub(crate) const fn luma16(red: u16, green: u16, blue: u16) -> u16 {
    // Weights in units of 1/256; their sum is one.
    ((77 * red as u32 + 150 * green as u32 + 29 * blue as u32 + 128) >> 8) as u16
}

/// Luma of interleaved red, green and blue.
pub(crate) fn luma_of_rgb(pixels: &[u8]) -> Vec<u8> {
    pixels.as_chunks().0.iter().map(|&[red, green, blue]| luma(red, green, blue)).collect()
}

/// Luma of interleaved red, green, blue and alpha, over black.
pub(crate) fn luma_of_rgba(pixels: &[u8]) -> Vec<u8> {
    let over_black = |&[red, green, blue, alpha]: &[u8; 4]| over_black(luma(red, green, blue), alpha);
    pixels.as_chunks().0.iter().map(over_black).collect()
}

/// A partly transparent grey level over black.
pub(crate) const fn over_black(level: u8, alpha: u8) -> u8 {
    ((level as u32 * alpha as u32 + 127) / 255) as u8
}

/// Colour spaces that three components of a pixel can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Components {
    /// Red, green, blue.
    Rgb,
    /// Luma and two chroma components.
    YCbCr,
}

impl Components {
    /// The colour space of pixels that are mostly grey, as those of ultrasound: in RGB the components are equal, in YCbCr
    /// the chroma is in the middle. `None` if the pixels do not tell.
    pub fn of_mostly_grey(pixels: impl Iterator<Item = [u8; 3]>) -> Option<Self> {
        const NEAR: u8 = 4;
        let (mut all, mut rgb, mut ycbcr) = (0u64, 0u64, 0u64);
        for [a, b, c] in pixels {
            let is_rgb = a.abs_diff(b) <= NEAR && b.abs_diff(c) <= NEAR;
            let is_ycbcr = b.abs_diff(128) <= NEAR && c.abs_diff(128) <= NEAR;
            all += u64::from(!(is_rgb && is_ycbcr));
            rgb += u64::from(is_rgb && !is_ycbcr);
            ycbcr += u64::from(is_ycbcr && !is_rgb);
        }
        let is_clear = |most: u64, other: u64| 2 * most > all && 4 * other < most;
        match (is_clear(rgb, ycbcr), is_clear(ycbcr, rgb)) {
            (true, _) => Some(Self::Rgb),
            (_, true) => Some(Self::YCbCr),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_is_unchanged_and_primaries_have_their_weights() {
        for grey in 0..=255 {
            assert_eq!(luma(grey, grey, grey), grey);
            assert_eq!([over_black(grey, 255), over_black(grey, 0)], [grey, 0]);
        }
        assert_eq!([luma(255, 0, 0), luma(0, 255, 0), luma(0, 0, 255)], [77, 149, 29]);
        assert_eq!(luma16(65_535, 65_535, 65_535), 65_535);
    }

    #[test]
    fn mostly_grey_pixels_tell_their_colour_space() {
        let of = |pixels: &[[u8; 3]]| Components::of_mostly_grey(pixels.iter().copied());
        assert_eq!(of(&[[0, 0, 0], [9, 9, 9], [200, 30, 40]]), Some(Components::Rgb));
        assert_eq!(of(&[[0, 128, 128], [9, 128, 127], [200, 30, 40]]), Some(Components::YCbCr));
        assert_eq!(of(&[[128, 128, 128]]), None);
        assert_eq!(of(&[[200, 30, 40], [0, 128, 128], [9, 9, 9]]), None);
    }
}
