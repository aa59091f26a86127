//! Colours to grey.

/// Luma of ITU-R BT.601, which JPEG (JFIF) and DICOM's YBR_FULL use, of full-range components. Grey stays as it is.
pub(crate) const fn luma(red: u8, green: u8, blue: u8) -> u8 {
    // Weights of 1/256; they add up to one.
    ((77 * red as u32 + 150 * green as u32 + 29 * blue as u32 + 128) >> 8) as u8
}

/// Luma of pixels of `CHANNELS` bytes each, red, green and blue first.
pub(crate) fn luma_of<const CHANNELS: usize>(pixels: &[u8]) -> Vec<u8> {
    const { assert!(CHANNELS >= 3) };
    pixels.chunks_exact(CHANNELS).map(|pixel| luma(pixel[0], pixel[1], pixel[2])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_stays_and_weights_hold() {
        for grey in 0..=255 {
            assert_eq!(luma(grey, grey, grey), grey);
        }
        assert_eq!([luma(255, 0, 0), luma(0, 255, 0), luma(0, 0, 255)], [77, 149, 29]);
    }
}
