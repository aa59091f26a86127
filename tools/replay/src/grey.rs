//! Colour to grey.

/// Luma of full-range components after ITU-R BT.601, as in JPEG (JFIF) and DICOM's YBR_FULL. Grey is unchanged.
pub(crate) const fn luma(red: u8, green: u8, blue: u8) -> u8 {
    // Weights in units of 1/256; their sum is one.
    ((77 * red as u32 + 150 * green as u32 + 29 * blue as u32 + 128) >> 8) as u8
}

/// Luma of interleaved pixels of `CHANNELS` bytes each; red, green and blue come first.
pub(crate) fn luma_of<const CHANNELS: usize>(pixels: &[u8]) -> Vec<u8> {
    const { assert!(CHANNELS >= 3) };
    pixels.chunks_exact(CHANNELS).map(|pixel| luma(pixel[0], pixel[1], pixel[2])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_is_unchanged_and_primaries_have_their_weights() {
        for grey in 0..=255 {
            assert_eq!(luma(grey, grey, grey), grey);
        }
        assert_eq!([luma(255, 0, 0), luma(0, 255, 0), luma(0, 0, 255)], [77, 149, 29]);
    }
}
