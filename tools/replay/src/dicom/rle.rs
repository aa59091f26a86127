//! Decodes run lengths (PS3.5 annex G): a fragment of up to 15 segments, each one plane of bytes.

/// Length of the header: the number of segments, and the offset of each one.
const HEADER_BYTES: usize = 64;

/// The planes of one frame, of `pixels` bytes each.
///
/// # Errors
/// The problem with the fragment, for the caller's error.
pub(super) fn planes(fragment: &[u8], planes: usize, pixels: usize) -> Result<Vec<Vec<u8>>, String> {
    let word = |index: usize| {
        let bytes = fragment.get(4 * index..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    if fragment.len() < HEADER_BYTES {
        return Err("the header is truncated".to_owned());
    }
    let count = word(0).unwrap_or(0);
    if count != planes {
        return Err(format!("{count} segments, {planes} are needed"));
    }
    let segment = |index: usize| {
        let start = word(1 + index).filter(|&start| start >= HEADER_BYTES)?;
        let end = if index + 1 < planes { word(2 + index)? } else { fragment.len() };
        fragment.get(start..end)
    };
    let plane = |index: usize| {
        let segment =
            segment(index).ok_or_else(|| format!("segment {} is outside the fragment", index + 1))?;
        unpack(segment, pixels).ok_or_else(|| format!("segment {} is too short", index + 1))
    };
    (0..planes).map(plane).collect()
}

/// Decodes one segment up to the end of its plane; padding may follow. Memory is allocated only as data is decoded.
fn unpack(mut segment: &[u8], pixels: usize) -> Option<Vec<u8>> {
    let mut plane = Vec::new();
    while plane.len() < pixels {
        let (&code, rest) = segment.split_first()?;
        let left = pixels - plane.len();
        segment = match code {
            // Literal bytes.
            0..=127 => {
                let (literal, rest) = rest.split_at_checked(usize::from(code) + 1)?;
                plane.extend_from_slice(&literal[..literal.len().min(left)]);
                rest
            }
            128 => rest,
            // A repeated byte.
            _ => {
                let (&byte, rest) = rest.split_first()?;
                plane.resize(plane.len() + (257 - usize::from(code)).min(left), byte);
                rest
            }
        };
    }
    Some(plane)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(segments: &[&[u8]]) -> Vec<u8> {
        let mut header = [0u32; 16];
        header[0] = segments.len() as u32;
        let mut at = HEADER_BYTES as u32;
        for (offset, segment) in header[1..].iter_mut().zip(segments) {
            *offset = at;
            at += segment.len() as u32;
        }
        header.iter().flat_map(|word| word.to_le_bytes()).chain(segments.concat()).collect()
    }

    /// Runs, literals, and the code that does nothing.
    #[test]
    fn literals_and_runs() {
        let coded = fragment(&[&[254, 7, 128, 1, 8, 9, 0], &[252, 1]]);
        assert_eq!(planes(&coded, 2, 5).unwrap(), [vec![7, 7, 7, 8, 9], vec![1; 5]]);
    }

    #[test]
    fn short_or_misplaced_segments_are_refused() {
        assert_eq!(planes(&[0; 10], 1, 4).unwrap_err(), "the header is truncated");
        assert_eq!(planes(&fragment(&[&[254, 7]]), 1, 4).unwrap_err(), "segment 1 is too short");
        assert_eq!(planes(&fragment(&[&[254, 7]]), 3, 4).unwrap_err(), "1 segments, 3 are needed");
        let mut coded = fragment(&[&[252, 7]]);
        coded[4] = 200;
        assert_eq!(planes(&coded, 1, 4).unwrap_err(), "segment 1 is outside the fragment");
    }
}
