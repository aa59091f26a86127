//! Decodes an element's value as a number, text or tag.

use super::elements::Element;
use crate::error::{Place, ReplayError, Source};
use crate::recording::FRAMES_MAX;
use dicom_core::Tag;
use dicom_encoding::decode::BasicDecode;
use dicom_encoding::decode::basic::LittleEndianBasicDecoder;

/// An element, whose value can be decoded as several types.
pub(super) struct Value<'a> {
    /// The file, for errors.
    pub source: Source<'a>,
    /// The element.
    pub element: Element<'a>,
}

impl<'a> Value<'a> {
    /// Text without leading and trailing blanks.
    pub fn text(&self) -> &'a [u8] {
        let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
        let value = self.element.value;
        let start = value.iter().take_while(|byte| is_blank(byte)).count();
        let end = value.len() - value.iter().rev().take_while(|byte| is_blank(byte)).count();
        value.get(start..end).unwrap_or_default()
    }

    /// Numbers in text, separated by backslashes (`DS`, `IS`); anything else becomes NaN. At most one number per frame
    /// is used, so no more are read.
    pub fn numbers(&self) -> Vec<f64> {
        let parse = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse().ok();
        let texts = self.text().split(|&byte| byte == b'\\').take(FRAMES_MAX as usize + 1);
        texts.map(|text| parse(text).unwrap_or(f64::NAN)).collect()
    }

    /// The first number in text, if it is finite.
    pub fn number(&self) -> Option<f64> {
        let first = self.text().split(|&byte| byte == b'\\').next()?;
        std::str::from_utf8(first).ok()?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// The first number in text, which changes grey levels, so that it must not be ignored. `None` if the text is empty.
    pub fn number_or_refuse(&self) -> Result<Option<f64>, ReplayError> {
        match self.number() {
            None if !self.text().is_empty() => {
                let place = Place::Attribute(self.element.tag);
                Err(self.source.malformed(place, "not a number; correct or remove it with `dcmodify`"))
            }
            number => Ok(number),
        }
    }

    /// A tag (`AT`).
    pub fn tag(&self) -> Option<Tag> {
        LittleEndianBasicDecoder.decode_tag(self.element.value).ok()
    }

    /// Unsigned 16-bit integer (`US`).
    pub fn u16(&self) -> Result<u16, ReplayError> {
        self.needed(2, LittleEndianBasicDecoder.decode_us(self.element.value).ok())
    }

    /// All unsigned 16-bit integers (`US`).
    pub fn words(&self) -> Vec<u16> {
        self.element.value.as_chunks().0.iter().map(|&word| u16::from_le_bytes(word)).collect()
    }

    /// Unsigned 32-bit integer (`UL`).
    pub fn u32(&self) -> Result<u32, ReplayError> {
        self.needed(4, LittleEndianBasicDecoder.decode_ul(self.element.value).ok())
    }

    /// Signed 32-bit integer (`SL`).
    pub fn i32(&self) -> Result<i32, ReplayError> {
        self.needed(4, LittleEndianBasicDecoder.decode_sl(self.element.value).ok())
    }

    /// 64-bit floating point (`FD`).
    pub fn f64(&self) -> Result<f64, ReplayError> {
        self.needed(8, LittleEndianBasicDecoder.decode_fd(self.element.value).ok())
    }

    /// The decoded value, or an error if the element is too short for its type.
    fn needed<T>(&self, bytes: usize, decoded: Option<T>) -> Result<T, ReplayError> {
        decoded.ok_or_else(|| {
            let seen = self.element.value.len();
            let place = Place::Attribute(self.element.tag);
            self.source.malformed(place, format!("{seen} bytes, {bytes} are needed"))
        })
    }
}
