//! Writes lossless JPEG (ITU-T T.81 annex H): grey, each sample predicted from its left neighbour.

/// All differences have a code of this length: the number of their bits.
const CODE_BITS: u32 = 5;

/// Encodes samples of `precision` bits, row by row.
pub fn lossless_jpeg(width: u16, height: u16, precision: u8, samples: &[u16]) -> Vec<u8> {
    let segment = |marker: u8, content: &[u8]| {
        [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
    };
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    let frame = [&[precision][..], &size, &[1, 1, 0x11, 0]].concat();
    // Seventeen codes of five bits: differences of 0 to 16 bits.
    let mut table = vec![0u8; 17];
    table[CODE_BITS as usize] = 17;
    table.extend(0..17);
    let mut bits = Vec::new();
    let mut put = |value: u32, count: u32| bits.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    let columns = usize::from(width);
    for (index, &sample) in samples.iter().enumerate() {
        let predicted = match (index / columns, index % columns) {
            (0, 0) => 1 << (precision - 1),
            (_, 0) => samples[index - columns],
            _ => samples[index - 1],
        };
        // Modulo 65536.
        let difference = i32::from(sample.wrapping_sub(predicted) as i16);
        let length = 32 - difference.unsigned_abs().leading_zeros();
        put(length, CODE_BITS);
        if length < 16 {
            put((if difference < 0 { difference - 1 } else { difference }) as u32, length);
        }
    }
    let bytes = bits.chunks(8).map(|bits| {
        // The last byte is filled with ones.
        (0..8).fold(0u8, |byte, at| byte << 1 | u8::from(*bits.get(at).unwrap_or(&true)))
    });
    let coded: Vec<u8> =
        bytes.flat_map(|byte| if byte == 0xff { vec![0xff, 0] } else { vec![byte] }).collect();
    [
        vec![0xff, 0xd8],
        segment(0xc3, &frame),
        segment(0xc4, &table),
        segment(0xda, &[1, 1, 0, 1, 0, 0]),
        coded,
        vec![0xff, 0xd9],
    ]
    .concat()
}
