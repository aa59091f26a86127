//! Walks the segments of a JPEG (ITU-T T.81 annex B): where it ends, how many scans it has, and what it states about its
//! colours.

use crate::grey::Components;

/// What the segments state.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Offset of the byte behind the end-of-image marker; `None` if the file ends before it.
    pub end: Option<usize>,
    /// Number of scans.
    pub scans: u64,
    /// Whether there is a JFIF segment.
    is_jfif: bool,
    /// Colour transform of the Adobe segment.
    adobe_transform: Option<u8>,
    /// Identifier and sampling factors of each component.
    components: Vec<[u8; 2]>,
}

impl Segments {
    /// Walks the segments up to the end of the image. Bytes behind it, and pictures within segments, do not count.
    pub fn of(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let mut at = 2;
        while let Some(marker_at) = next_marker(bytes, at) {
            let marker = bytes[marker_at];
            at = marker_at + 1;
            match marker {
                0xd9 => {
                    found.end = Some(at);
                    break;
                }
                // Without contents.
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let Some(&[high, low]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else { break };
            let next = at + usize::from(u16::from_be_bytes([high, low]));
            found.segment(marker, bytes.get(at + 2..next).unwrap_or_default());
            at = next;
        }
        found
    }

    fn segment(&mut self, marker: u8, content: &[u8]) {
        match marker {
            0xe0 if content.starts_with(b"JFIF") => self.is_jfif = true,
            0xee if content.starts_with(b"Adobe") => self.adobe_transform = content.get(11).copied(),
            // All start-of-frame markers; the others in this range are tables.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let components = content.get(6..).unwrap_or_default().as_chunks::<3>().0;
                self.components = components.iter().map(|&[name, sampling, _]| [name, sampling]).collect();
            }
            0xda => self.scans += 1,
            _ => {}
        }
    }

    /// The colour space of three components, if the JPEG states it; `None` if it does not. Same rule as libjpeg (the JFIF
    /// segment decides, else the Adobe segment, else the names of the components); besides, only chroma is subsampled.
    pub fn components(&self) -> Option<Components> {
        if self.is_jfif {
            return Some(Components::YCbCr);
        }
        if let Some(transform) = self.adobe_transform {
            return Some(if transform == 0 { Components::Rgb } else { Components::YCbCr });
        }
        let [first, second, third] = self.components.as_slice() else { return None };
        if first[1] != second[1] || first[1] != third[1] {
            return Some(Components::YCbCr);
        }
        ([first[0], second[0], third[0]] == *b"RGB").then_some(Components::Rgb)
    }
}

/// Offset of the second byte of the next marker. Within entropy-coded data, `ff 00` is data.
fn next_marker(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff);
    rest.windows(2).position(is_marker).map(|at| from + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
    }

    /// A JPEG with these segments before its scan, and components of these names and sampling factors.
    fn jpeg(before: &[Vec<u8>], components: [[u8; 2]; 3]) -> Vec<u8> {
        let frame = components.map(|[name, sampling]| [name, sampling, 0]).concat();
        [
            vec![0xff, 0xd8],
            before.concat(),
            segment(0xc0, &[&[8, 0, 8, 0, 8, 3], &frame[..]].concat()),
            segment(0xda, &[3, 1, 0, 2, 0, 3, 0, 0, 63, 0]),
            vec![0x12, 0xff, 0, 0xff, 0xd0, 0x34, 0xff, 0xff, 0xd9],
        ]
        .concat()
    }

    #[test]
    fn the_colour_space_is_as_for_libjpeg_and_from_subsampling() {
        const FULL: [[u8; 2]; 3] = [[1, 0x11], [2, 0x11], [3, 0x11]];
        const HALF: [[u8; 2]; 3] = [[1, 0x22], [2, 0x11], [3, 0x11]];
        const NAMED: [[u8; 2]; 3] = [[b'R', 0x11], [b'G', 0x11], [b'B', 0x11]];
        let of = |before: &[Vec<u8>], components| Segments::of(&jpeg(before, components)).components();
        let adobe =
            |transform: u8| segment(0xee, &[b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat());
        assert_eq!(of(&[], FULL), None);
        assert_eq!(of(&[], HALF), Some(Components::YCbCr));
        assert_eq!(of(&[], NAMED), Some(Components::Rgb));
        assert_eq!(of(&[segment(0xe0, b"JFIF\0")], NAMED), Some(Components::YCbCr));
        assert_eq!(of(&[adobe(0)], FULL), Some(Components::Rgb));
        assert_eq!(of(&[adobe(1)], NAMED), Some(Components::YCbCr));
    }

    #[test]
    fn the_end_is_that_of_the_image() {
        let whole = jpeg(&[segment(0xe1, b"a preview \xff\xd8\xff\xda\0\x02\xff\xd9")], [[1, 0x11]; 3]);
        let found = Segments::of(&[&whole[..], b"\xff\xda\xff\xd9"].concat());
        assert_eq!((found.end, found.scans), (Some(whole.len()), 1));
        assert_eq!(Segments::of(&whole[..whole.len() - 1]).end, None);
    }
}
