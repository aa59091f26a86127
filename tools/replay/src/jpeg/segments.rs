//! Walks the segments of a JPEG (ITU-T T.81 annex B): where it ends, how many scans it has, and what it states about its
//! colours.

use crate::grey::Components;

/// What the segments state.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Offset of the byte behind the end-of-image marker; `None` if the file ends before it.
    pub end: Option<usize>,
    /// Offsets of the bytes behind entropy-coded data: one for each scan, or for each restart interval of a scan up to the
    /// first one without data.
    pub data_ends: Vec<usize>,
    /// Number of scans.
    pub scans: u64,
    /// Whether there is a JFIF segment.
    is_jfif: bool,
    /// Colour transform of the Adobe segment.
    adobe_transform: Option<u8>,
    /// Identifier and sampling factors of each component.
    components: Vec<[u8; 2]>,
    /// Whether each coefficient is sent in several scans.
    is_progressive: bool,
    /// Identifier of a component, and a bit for each of its coefficients of which a scan has the last bit.
    finished: Vec<(u8, u64)>,
}

impl Segments {
    /// Walks the segments up to the end of the image. Bytes behind it, and pictures within segments, do not count.
    pub fn of(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let mut at = 2;
        let (mut is_in_scan, mut was_empty) = (false, false);
        while let Some(marker_at) = next_marker(bytes, at) {
            let marker = bytes[marker_at];
            if is_in_scan {
                let data = &bytes[at..marker_at];
                let fill = data.iter().rev().take_while(|&&byte| byte == 0xff).count();
                // The decoder fails behind the first restart interval without data.
                found.data_ends.extend((!was_empty).then_some(marker_at - fill));
                was_empty = fill == data.len();
                is_in_scan = matches!(marker, 0xd0..=0xd7);
            }
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
            (is_in_scan, was_empty) = (marker == 0xda, false);
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
                self.is_progressive = marker == 0xc2;
            }
            0xda => self.scan(content),
            _ => {}
        }
    }

    fn scan(&mut self, content: &[u8]) {
        self.scans += 1;
        let Some((&count, rest)) = content.split_first() else { return };
        let (components, rest) = rest.split_at(rest.len().min(2 * usize::from(count)));
        let Some(&[first, last, approximation]) = rest.first_chunk() else { return };
        // The lower half is the number of bits that are left to later scans.
        if approximation & 0x0f == 0 && first <= last && last < 64 {
            let coefficients = (u64::MAX >> (63 - last)) & (u64::MAX << first);
            // A scan has at most four components.
            self.finished.extend(components.iter().step_by(2).take(4).map(|&name| (name, coefficients)));
        }
    }

    /// Whether the scans have all bits of all coefficients. Those of sequential pictures have.
    pub fn is_complete(&self) -> bool {
        let of = |name: u8| {
            self.finished.iter().filter(|(of, _)| *of == name).fold(0, |all, (_, bits)| all | bits)
        };
        !self.is_progressive || self.components.iter().all(|&[name, _]| of(name) == u64::MAX)
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

/// Whether these bytes behind the end of a picture are another one.
pub(super) fn is_followed(behind: &[u8]) -> bool {
    let padding = behind.iter().take_while(|&&byte| byte == 0).count();
    behind[padding..].starts_with(&[0xff, 0xd8, 0xff])
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
