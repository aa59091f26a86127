//! Look-up tables (PS3.3 sections C.7.6.3.1.5, C.11.1 and C.11.2).

use super::elements::Elements;
use super::value::Value;
use crate::error::{Place, ReplayError, Source};
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// A table of at most 65536 entries.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lut {
    /// The first value that is mapped, as stored: its sign depends on what the table is applied to.
    first: u16,
    /// Entries.
    pub entries: Vec<u16>,
    /// The largest entry possible.
    pub max: u16,
}

impl Lut {
    /// Reads one item of a sequence of tables.
    ///
    /// # Errors
    /// A table without descriptor or data, or with another length than it declares.
    pub fn read<'a>(source: Source<'a>, mut elements: Elements<'a>) -> Result<Self, ReplayError> {
        let (mut descriptor, mut data) = (None, None);
        while let Some(element) = elements.next()? {
            match element.tag {
                tags::LUT_DESCRIPTOR => descriptor = Some(Value { source, element }.words()),
                tags::LUT_DATA => data = Some(element.value),
                _ => {}
            }
        }
        Self::of(source, [tags::LUT_DESCRIPTOR, tags::LUT_DATA], descriptor.as_deref(), data)
    }

    /// The table of these two attributes.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn of(
        source: Source<'_>,
        [descriptor_tag, data_tag]: [Tag; 2],
        descriptor: Option<&[u16]>,
        data: Option<&[u8]>,
    ) -> Result<Self, ReplayError> {
        let Some([count, first, bits]) = descriptor.and_then(<[u16]>::first_chunk).copied() else {
            let problem = "missing, or fewer than three numbers";
            return Err(source.malformed(Place::Attribute(descriptor_tag), problem));
        };
        let (data, count) = (data.unwrap_or_default(), if count == 0 { 1 << 16 } else { usize::from(count) });
        let entries: Vec<u16> = match data.len() {
            length if length == 2 * count => {
                data.as_chunks().0.iter().map(|&word| u16::from_le_bytes(word)).collect()
            }
            // One byte each, and one more if the number is odd.
            length if length == count.next_multiple_of(2) => {
                data[..count].iter().map(|&byte| u16::from(byte)).collect()
            }
            length => {
                let problem = format!("{length} bytes, {} are needed for {count} entries", 2 * count);
                return Err(source.malformed(Place::Attribute(data_tag), problem));
            }
        };
        if !(1..=16).contains(&bits) {
            let problem = format!("entries of {bits} bits, 1 to 16 are possible");
            return Err(source.malformed(Place::Attribute(descriptor_tag), problem));
        }
        Ok(Self { first, entries, max: ((1u32 << bits) - 1) as u16 })
    }

    /// The first value that is mapped.
    pub fn first(&self, is_signed: bool) -> f64 {
        if is_signed { f64::from(self.first as i16) } else { f64::from(self.first) }
    }

    /// The entry for a value; values outside have that of the nearest one.
    pub fn entry(&self, value: f64, is_signed: bool) -> f64 {
        // Negative and too large positions saturate.
        let at = (value - self.first(is_signed)).round().max(0.0) as usize;
        f64::from(self.entries.get(at).or(self.entries.last()).copied().unwrap_or(0))
    }
}
