//! Turns pictures as their EXIF orientation states, so that positions are those in the picture as shown.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage};

/// A picture and its size, turned as it is shown.
pub(crate) fn turned(
    width: u32,
    height: u32,
    grey: Vec<u8>,
    orientation: Orientation,
) -> (u32, u32, Vec<u8>) {
    if orientation == Orientation::NoTransforms {
        return (width, height, grey);
    }
    let Some(picture) = GrayImage::from_raw(width, height, grey) else { return (width, height, Vec::new()) };
    let mut picture = DynamicImage::ImageLuma8(picture);
    picture.apply_orientation(orientation);
    (picture.width(), picture.height(), picture.into_luma8().into_raw())
}
