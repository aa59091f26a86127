//! Makes the decoder refuse pictures whose data ends too early.
//!
//! Behind the end of the data, the decoder would read zeros, which are valid codes: the rest of the picture would be made up.
//! No Huffman code consists of ones only (ITU-T T.81 section C.2), so that reading ones there is an error.

/// Ones behind the data: at most 15 of them complete a code, 15 are its further bits, and 16 are no code. More bytes would
/// hide a restart marker from the decoder, which looks for it at most 57 bits ahead. In data, zero follows `ff`.
const GUARD: [u8; 12] = [0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0];

/// The picture with ones at these offsets. At most five times as long: all data but the last of a scan has at least one byte, and a
/// marker follows.
pub(super) fn guarded(bytes: &[u8], data_ends: &[usize]) -> Vec<u8> {
    let mut guarded = Vec::with_capacity(bytes.len() + data_ends.len() * GUARD.len());
    let mut from = 0;
    for &end in data_ends {
        guarded.extend_from_slice(bytes.get(from..end).unwrap_or_default());
        guarded.extend_from_slice(&GUARD);
        from = end;
    }
    guarded.extend_from_slice(bytes.get(from..).unwrap_or_default());
    guarded
}
