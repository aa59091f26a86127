//! The pictures side by side, with their histograms.

use crate::picture::Picture;
use image::{Rgb, RgbImage};

/// Space around everything.
const MARGIN: u32 = 12;
/// Height of the tallest bar.
const BARS: u32 = 120;
/// One bar for each grey value.
const GREYS: u32 = 256;
const PAPER: Rgb<u8> = Rgb([24, 24, 30]);
const INK: Rgb<u8> = Rgb([120, 190, 230]);

/// Draws the pictures in a row, each above the histogram of its sector. Black is left out: it is mostly outside.
pub fn draw(pictures: &[Picture]) -> RgbImage {
    let column = pictures.iter().map(|picture| picture.width as u32).max().unwrap_or(0).max(GREYS);
    let row = pictures.iter().map(|picture| picture.height as u32).max().unwrap_or(0);
    let width = MARGIN + (column + MARGIN) * pictures.len() as u32;
    let mut chart = RgbImage::from_pixel(width, row + BARS + 3 * MARGIN, PAPER);
    for (index, picture) in pictures.iter().enumerate() {
        let left = MARGIN + (column + MARGIN) * index as u32;
        for (at, grey) in picture.grey.iter().enumerate() {
            let (x, y) = ((at % picture.width) as u32, (at / picture.width) as u32);
            chart.put_pixel(left + x, MARGIN + y, Rgb([*grey; 3]));
        }
        let mut bins = [0u32; GREYS as usize];
        picture.grey.iter().for_each(|grey| bins[usize::from(*grey)] += 1);
        let shown = &bins[4..];
        let tallest = shown.iter().copied().max().unwrap_or(0).max(1);
        let foot = 2 * MARGIN + row + BARS;
        for (grey, count) in (4u32..).zip(shown) {
            for y in 0..count * BARS / tallest {
                chart.put_pixel(left + grey, foot - 1 - y, INK);
            }
        }
    }
    chart
}
