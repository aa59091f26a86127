//! Walks the elements of a data set (PS3.5 section 7): without copies, without recursion, and with every length
//! checked. dicom-rs decodes each header; this module decides where a header is and which elements may follow it.

use crate::error::{Place, ReplayError, Source};
use dicom_core::{Tag, VR};
use dicom_encoding::decode::Decode;
use dicom_encoding::decode::explicit_le::ExplicitVRLittleEndianDecoder;
use dicom_encoding::decode::implicit_le::StandardImplicitVRLittleEndianDecoder;

/// Group of items and delimiters, which have no type in any encoding.
const DELIMITERS: u16 = 0xfffe;
/// Item of a sequence, or fragment of encapsulated pixel data.
const ITEM: Tag = Tag(DELIMITERS, 0xe000);
/// End of an item of undefined length.
const ITEM_END: Tag = Tag(DELIMITERS, 0xe00d);
/// End of a sequence of undefined length.
const SEQUENCE_END: Tag = Tag(DELIMITERS, 0xe0dd);
/// Largest depth of nested sequences; ultrasound images have fewer than five.
const DEPTH_MAX: usize = 32;
/// Largest number of items in a sequence, or of fragments in pixel data: several for each frame of a long cine.
const ITEMS_MAX: usize = 1 << 20;

/// One data element, or one item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    /// Tag.
    pub tag: Tag,
    /// Value, without the delimiter that ends a value of undefined length.
    pub value: &'a [u8],
    /// Offset of the value in the file.
    pub value_at: usize,
    /// Whether the length is undefined: a sequence, or encapsulated pixel data.
    pub is_open: bool,
    /// Whether nested elements have a type.
    is_explicit: bool,
}

/// One level of nesting, while the end of an undefined length is searched for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Sequence,
    Item,
}

/// A header: tag, and length of the value (`None` if undefined).
struct Header {
    tag: Tag,
    length: Option<usize>,
    /// Type `UN`: with undefined length, nested elements have no types (PS3.5 section 6.2.2).
    is_unknown: bool,
}

/// An iterator over the elements of one level.
#[derive(Debug, Clone)]
pub(super) struct Elements<'a> {
    source: Source<'a>,
    /// The file up to the end of this level.
    bytes: &'a [u8],
    at: usize,
    is_explicit: bool,
}

impl<'a> Elements<'a> {
    /// The elements of `bytes` from offset `at` on.
    pub fn new(source: Source<'a>, bytes: &'a [u8], at: usize, is_explicit: bool) -> Self {
        Self { source, bytes, at, is_explicit }
    }

    /// Offset of the next element.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Tag of the next element; `None` at the end.
    pub fn peek(&self) -> Option<Tag> {
        ExplicitVRLittleEndianDecoder::default().decode_tag(&mut self.bytes.get(self.at..)?).ok()
    }

    /// The next element; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Element<'a>>, ReplayError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let mut at = self.at;
        let header = self.header(&mut at, self.is_explicit)?;
        let is_explicit = self.is_explicit && !(header.is_unknown && header.length.is_none());
        let (value, next) = match header.length {
            Some(length) => {
                let end = self.end_of(at, length, header.tag)?;
                (&self.bytes[at..end], end)
            }
            None => {
                let open = if header.tag == ITEM { Open::Item } else { Open::Sequence };
                let (end, next) = self.close(at, open, is_explicit)?;
                (&self.bytes[at..end], next)
            }
        };
        self.at = next;
        Ok(Some(Element {
            tag: header.tag,
            value,
            value_at: at,
            is_open: header.length.is_none(),
            is_explicit,
        }))
    }

    /// The items of a sequence, or the fragments of encapsulated pixel data.
    pub fn items(&self, sequence: &Element<'a>) -> Result<Vec<Element<'a>>, ReplayError> {
        let mut within = Self::of(self.source, self.bytes, sequence);
        let mut items = Vec::new();
        while let Some(item) = within.next()? {
            if item.tag != ITEM {
                return Err(self.malformed(item.value_at, "an element instead of an item"));
            }
            if items.len() == ITEMS_MAX {
                return Err(self.malformed(item.value_at, format!("more than {ITEMS_MAX} items")));
            }
            items.push(item);
        }
        Ok(items)
    }

    /// The elements of an item.
    pub fn elements(&self, item: &Element<'a>) -> Self {
        Self::of(self.source, self.bytes, item)
    }

    fn of(source: Source<'a>, bytes: &'a [u8], element: &Element<'a>) -> Self {
        let end = element.value_at + element.value.len();
        Self { source, bytes: &bytes[..end], at: element.value_at, is_explicit: element.is_explicit }
    }

    fn malformed(&self, at: usize, problem: impl Into<String>) -> ReplayError {
        self.source.malformed(Place::Byte(at as u64), problem)
    }

    /// End of a value of this length.
    fn end_of(&self, at: usize, length: usize, tag: Tag) -> Result<usize, ReplayError> {
        let left = self.bytes.len() - at;
        if length > left {
            let name = format!("({:04x},{:04x})", tag.group(), tag.element());
            return Err(self.malformed(
                at,
                format!("{name} declares {length} bytes, {left} are left: the file is damaged or truncated"),
            ));
        }
        Ok(at + length)
    }

    /// Decodes a header and moves `at` to the byte after it.
    fn header(&self, at: &mut usize, is_explicit: bool) -> Result<Header, ReplayError> {
        let start = *at;
        let truncated = || self.malformed(start, "the file ends within an element: it is truncated");
        let mut rest = self.bytes.get(start..).ok_or_else(truncated)?;
        let explicit = ExplicitVRLittleEndianDecoder::default();
        let tag = explicit.decode_tag(&mut { rest }).map_err(|_| truncated())?;
        let has_type = is_explicit && tag.group() != DELIMITERS;
        // dicom-rs takes an invalid type for `UN`, but no element has one: the file is damaged.
        if has_type && rest.get(4..6).is_some_and(|vr| !vr.iter().all(u8::is_ascii_uppercase)) {
            return Err(self.malformed(start, "an element without a type: the file is damaged"));
        }
        let decoded = match is_explicit {
            true => explicit.decode_header(&mut rest),
            false => StandardImplicitVRLittleEndianDecoder::default().decode_header(&mut rest),
        };
        let (header, bytes) = decoded.map_err(|_| truncated())?;
        *at += bytes;
        let length = header.len.get().map(|length| length as usize);
        // In implicit encodings the type comes from the dictionary, not from the file.
        Ok(Header { tag, length, is_unknown: has_type && header.vr == VR::UN })
    }

    /// End of the contents of undefined length that begin at `from`, and offset of the next element.
    fn close(&self, from: usize, first: Open, is_explicit: bool) -> Result<(usize, usize), ReplayError> {
        let mut open = vec![(first, is_explicit)];
        let mut at = from;
        while let Some(&(top, is_explicit)) = open.last() {
            let start = at;
            let header = self.header(&mut at, is_explicit)?;
            match (top, header.tag) {
                (Open::Item, ITEM_END) | (Open::Sequence, SEQUENCE_END) => {
                    open.pop();
                    if open.is_empty() {
                        return Ok((start, at));
                    }
                    continue;
                }
                (Open::Sequence, ITEM) => {}
                (Open::Item, tag) if tag.group() != DELIMITERS => {}
                _ => return Err(self.malformed(start, "unexpected item or delimiter")),
            }
            match header.length {
                Some(length) => at = self.end_of(at, length, header.tag)?,
                None if open.len() == DEPTH_MAX => {
                    return Err(self.malformed(start, format!("sequences nested deeper than {DEPTH_MAX}")));
                }
                None if top == Open::Sequence => open.push((Open::Item, is_explicit)),
                None => open.push((Open::Sequence, is_explicit && !header.is_unknown)),
            }
        }
        Err(self.malformed(from, "a sequence without an end"))
    }
}
