//! Grey values of any number of bits to grey levels of eight, and a note on pictures that use few of their bits.

use crate::options::Options;
use crate::window::{Window, WindowFunction};

/// How grey values become levels.
#[derive(Debug, Clone)]
pub(crate) enum Shown {
    /// From the smallest to the largest value that the samples can have.
    FullRange {
        /// The smallest value.
        low: f64,
        /// The largest value.
        high: f64,
    },
    /// A window.
    Window(Window),
    /// The brightness of values from `first` on, from 0 to 1; values outside have that of the nearest one.
    Table {
        /// The value of the first entry.
        first: f64,
        /// Brightness of each entry.
        brightness: Vec<f64>,
    },
}

impl Shown {
    fn brightness(&self, value: f64) -> f64 {
        match self {
            Self::FullRange { low, high } => (value - low) / (high - low).max(f64::MIN_POSITIVE),
            Self::Window(window) => window.brightness(value),
            Self::Table { first, brightness } => {
                // Negative and too large positions saturate.
                let at = ((value - first).round().max(0.0) as usize).min(brightness.len().saturating_sub(1));
                brightness.get(at).copied().unwrap_or(0.0)
            }
        }
    }
}

/// A table from stored samples to grey levels, which remembers the samples that occurred.
#[derive(Debug)]
pub(crate) struct Levels {
    values: Vec<f64>,
    levels: Vec<u8>,
    has_occurred: Vec<bool>,
    /// Which samples are padding that would not be black.
    is_hidden: Vec<bool>,
    full_range: Option<(f64, f64)>,
}

impl Levels {
    /// The table for samples of `bits` bits; `value` is the grey value of a stored sample.
    pub fn new(bits: u32, value: impl Fn(u16) -> f64, shown: &Shown, is_inverted: bool) -> Self {
        let values: Vec<f64> = (0..1u32 << bits.min(16)).map(|stored| value(stored as u16)).collect();
        let level = |&value: &f64| {
            // NaN becomes 0.
            let level = (255.0 * shown.brightness(value)).round().clamp(0.0, 255.0) as u8;
            if is_inverted { 255 - level } else { level }
        };
        let full_range = match *shown {
            Shown::FullRange { low, high } => Some((low, high)),
            Shown::Window(_) | Shown::Table { .. } => None,
        };
        Self {
            levels: values.iter().map(level).collect(),
            has_occurred: vec![false; values.len()],
            is_hidden: vec![false; values.len()],
            values,
            full_range,
        }
    }

    /// The table for pictures whose samples have `bits` bits: their full range, or the user's window.
    pub fn of_picture(bits: u32, options: &Options) -> Self {
        let full = Shown::FullRange { low: 0.0, high: f64::from((1u32 << bits) - 1) };
        Self::new(bits, f64::from, &options.window.map_or(full, Shown::Window), false)
    }

    /// The same table, but stored samples that are padding are black. They do not count for [`Self::note`].
    pub fn with_padding(mut self, is_padding: impl Fn(u16) -> bool) -> Self {
        for at in (0..self.levels.len()).filter(|&at| is_padding(at as u16)) {
            self.is_hidden[at] = self.levels[at] != 0;
            self.levels[at] = 0;
            // Neither the smallest nor the largest value.
            self.values[at] = f64::NAN;
        }
        self
    }

    /// Grey levels of samples.
    pub fn map(&mut self, samples: impl Iterator<Item = u16>) -> Vec<u8> {
        let last = self.levels.len() - 1;
        samples
            .map(|sample| {
                let at = usize::from(sample).min(last);
                self.has_occurred[at] = true;
                self.levels[at]
            })
            .collect()
    }

    /// A note, if padding occurred that would not be black.
    pub fn note_on_padding(&self) -> Option<&'static str> {
        let mut both = self.is_hidden.iter().zip(&self.has_occurred);
        both.any(|(is_hidden, has_occurred)| *is_hidden && *has_occurred).then_some(
            "pixels with the padding value that the file states (PixelPaddingValue) are shown black",
        )
    }

    /// A note, if the full range is shown and the samples use only a small part of it: samples of eight bits less than a
    /// quarter, as some pictures are dark; others less than half, as one bit is unused.
    pub fn note(&self) -> Option<String> {
        let (low, high) = self.full_range?;
        let occurring = self.values.iter().zip(&self.has_occurred).filter(|(_, has_occurred)| **has_occurred);
        let (smallest, largest) = occurring
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), (&value, _)| {
                (min.min(value), max.max(value))
            });
        let part = if self.values.len() > 256 { 2.0 } else { 4.0 };
        // Signed samples need not start at the smallest number.
        let floor = if low < 0.0 { smallest.min(0.0) } else { low };
        let is_dark = largest > floor && largest - floor < (high + 1.0 - low) / part;
        is_dark.then(|| {
            let width = match largest - floor + 1.0 {
                width if floor == 0.0 => width.log2().ceil().exp2(),
                width => width.ceil(),
            };
            format!(
                "the brightest sample is {largest}, but white is {high}: the picture is dark, and contours may be wrong; --window {},{width} shows {floor} as black and {} as white",
                floor + width / 2.0,
                floor + width - 1.0
            )
        })
    }
}

/// The user's window for eight-bit grey levels, for example of colour pictures; unchanged without one.
pub(crate) fn windowed(pixels: Vec<u8>, options: &Options) -> Vec<u8> {
    match options.window {
        None => pixels,
        Some(_) => Levels::of_picture(8, options).map(pixels.into_iter().map(u16::from)),
    }
}

/// A window of the default curve.
impl From<(f64, f64)> for Window {
    fn from((centre, width): (f64, f64)) -> Self {
        Self { centre, width, function: WindowFunction::Linear }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_range_is_scaled_and_rounded() {
        let mut levels = Levels::of_picture(16, &Options::default());
        assert_eq!(levels.map([0, 128, 129, 65_535].into_iter()), [0, 0, 1, 255]);
        assert_eq!(levels.note(), None);
    }

    #[test]
    fn dark_samples_get_a_note_with_the_window_that_shows_them() {
        let mut levels = Levels::of_picture(16, &Options::default());
        levels.map([0, 4080].into_iter());
        let note = levels.note().expect("a note");
        assert!(note.contains("brightest sample is 4080") && note.contains("--window 2048,4096 "), "{note}");
        let options = Options { window: Some((2048.0, 4096.0).into()), ..Options::default() };
        let mut levels = Levels::of_picture(16, &options);
        assert_eq!(levels.map([0, 1600, 4080].into_iter()), [0, 100, 254]);
        assert_eq!(levels.note(), None);
        // Signed samples with an offset.
        let signed = Shown::FullRange { low: -32_768.0, high: 32_767.0 };
        let mut levels = Levels::new(16, |stored| f64::from(stored as i16), &signed, false);
        levels.map([(-100i16) as u16, 99].into_iter());
        assert!(levels.note().is_some_and(|note| note.contains("--window 0,200 ")), "{:?}", levels.note());
        // Nothing can be said of a black picture.
        let mut levels = Levels::of_picture(8, &Options::default());
        levels.map([0, 0].into_iter());
        assert_eq!(levels.note(), None);
    }
}
