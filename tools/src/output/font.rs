//! The letters of the overlays, as strokes on a grid, so that they are sharp at every size and need no font file.
//!
//! Each glyph is a text of points, two hexadecimal digits each: across from 0, and down from the top of a capital (0)
//! through its base line (C) to the foot of a descender (F). A slash ends a stroke.

use super::draw::Vertex;

/// Height of a capital on the glyphs' grid.
const CAPITAL: f32 = 12.0;
/// From one glyph's right edge to the next one's left.
const GAP: f32 = 3.2;
/// Width of a space.
const SPACE: f32 = 3.5;
/// Drawn for a character that has no glyph.
const UNKNOWN: &str = "00 60 6C 0C 00";

/// Strokes of a character; none for one that has no glyph.
const fn glyph(character: char) -> Option<&'static str> {
    Some(match character {
        '0' => "30 50 71 83 89 7B 5C 3C 1B 09 03 11 30",
        '1' => "23 50 5C / 2C 8C",
        '2' => "03 11 30 50 71 83 84 76 0C 8C",
        '3' => "02 11 30 50 71 82 84 75 56 36 / 56 77 88 8A 7B 5C 3C 1B 0A",
        '4' => "6C 60 08 88",
        '5' => "70 10 05 24 54 75 87 89 7B 5C 3C 1B 0A",
        '6' => "72 61 50 30 11 03 09 1B 3C 5C 7B 89 88 76 55 35 16 08",
        '7' => "00 80 3C",
        '8' => "30 50 71 82 84 75 56 36 15 04 02 11 30 / 36 17 08 0A 1B 3C 5C 7B 8A 88 77 56",
        '9' => "1A 2B 3C 5C 7B 89 83 71 50 30 11 03 04 16 37 57 76 84",
        'A' => "0C 40 8C / 18 78",
        'B' => "06 00 50 71 82 84 75 56 06 0C 5C 7B 8A 88 77 56",
        'C' => "83 71 50 30 11 03 09 1B 3C 5C 7B 89",
        'D' => "00 0C 4C 6B 89 83 61 40 00",
        'E' => "70 00 0C 7C / 06 56",
        'F' => "70 00 0C / 06 56",
        'G' => "83 71 50 30 11 03 09 1B 3C 5C 7B 89 87 57",
        'H' => "00 0C / 80 8C / 06 86",
        'I' => "00 40 / 20 2C / 0C 4C",
        'J' => "60 69 5B 4C 2C 1B 09",
        'K' => "00 0C / 80 08 / 35 8C",
        'L' => "00 0C 7C",
        'M' => "0C 00 48 80 8C",
        'N' => "0C 00 8C 80",
        'O' => "30 60 81 93 99 8B 6C 3C 1B 09 03 11 30",
        'P' => "0C 00 50 71 82 84 75 56 06",
        'Q' => "30 60 81 93 99 8B 6C 3C 1B 09 03 11 30 / 69 9C",
        'R' => "0C 00 50 71 82 84 75 56 06 / 46 8C",
        'S' => "82 71 50 30 11 02 04 15 36 56 77 88 8A 7B 5C 3C 1B 0A",
        'T' => "00 80 / 40 4C",
        'U' => "00 09 1B 3C 5C 7B 89 80",
        'V' => "00 4C 80",
        'W' => "00 2C 53 8C A0",
        'X' => "00 8C / 80 0C",
        'Y' => "00 46 80 / 46 4C",
        'Z' => "00 80 0C 8C",
        'a' => "74 7C / 76 65 54 34 15 07 09 1B 3C 5C 6B 7A",
        'b' => "00 0C / 06 15 24 44 65 77 79 6B 4C 2C 1B 0A",
        'c' => "76 65 44 34 15 07 09 1B 3C 4C 6B 7A",
        'd' => "70 7C / 76 65 54 34 15 07 09 1B 3C 5C 6B 7A",
        'e' => "08 78 77 65 54 34 15 07 09 1B 3C 5C 7B",
        'f' => "50 40 21 22 2C / 04 54",
        'g' => "74 7D 6E 4F 2F 0E / 76 65 54 34 15 07 09 1B 3C 5C 6B 7A",
        'h' => "00 0C / 06 15 34 44 65 76 7C",
        'i' => "14 1C / 10 11",
        'j' => "24 2D 1F 0F / 20 21",
        'k' => "00 0C / 64 09 / 27 6C",
        'l' => "10 1C",
        'm' => "04 0C / 06 15 24 34 45 56 5C / 56 65 74 84 95 A6 AC",
        'n' => "04 0C / 06 15 34 44 65 76 7C",
        'o' => "34 44 65 77 79 6B 4C 3C 1B 09 07 15 34",
        'p' => "04 0F / 06 15 24 44 65 77 79 6B 4C 2C 1B 0A",
        'q' => "74 7F / 76 65 54 34 15 07 09 1B 3C 5C 6B 7A",
        'r' => "04 0C / 07 15 34 54",
        's' => "65 54 24 05 06 17 48 69 6A 5C 1C 0B",
        't' => "21 2A 3C 5C / 04 54",
        'u' => "04 0A 1B 3C 4C 6B 7A / 74 7C",
        'v' => "04 3C 64",
        'w' => "04 2C 55 8C A4",
        'x' => "04 6C / 64 0C",
        'y' => "04 3C / 64 2E 1F 0F",
        'z' => "04 64 0C 6C",
        '.' => "1B 1C",
        ',' => "2B 2C 1E",
        ':' => "15 16 / 1B 1C",
        ';' => "25 26 / 2B 2C 1E",
        '-' => "08 58",
        '+' => "08 68 / 35 3B",
        '=' => "06 66 / 0A 6A",
        '_' => "0D 7D",
        '/' => "0D 60",
        '|' => "10 1D",
        '%' => "10 30 41 43 34 14 03 01 10 / 68 88 99 9B 8C 6C 5B 59 68 / 80 1C",
        '(' => "30 13 19 3C",
        ')' => "00 23 29 0C",
        '[' => "30 00 0C 3C",
        ']' => "00 30 3C 0C",
        '<' => "64 08 6C",
        '>' => "04 68 0C",
        '#' => "30 1C / 70 5C / 04 84 / 08 88",
        '*' => "32 38 / 03 67 / 63 07",
        '!' => "10 18 / 1B 1C",
        '?' => "02 11 20 40 61 63 36 38 / 3B 3C",
        '\'' => "10 12",
        '"' => "00 02 / 30 32",
        '\u{b2}' => "01 10 30 41 42 06 46",
        '\u{b5}' => "04 0F / 0A 1B 3C 4C 6B 7A / 74 7C",
        _ => return None,
    })
}

/// A hexadecimal digit's value on the grid. The table above holds no other characters.
fn grid(digit: u8) -> f32 {
    f32::from(if digit.is_ascii_digit() { digit - b'0' } else { digit - b'A' + 10 })
}

/// The points of each stroke of a character.
fn glyph_strokes(character: char) -> impl Iterator<Item = Vec<Vertex>> {
    let points = |stroke: &str| {
        stroke.split_whitespace().map(|at| [grid(at.as_bytes()[0]), grid(at.as_bytes()[1])]).collect()
    };
    glyph(character).unwrap_or(UNKNOWN).split('/').map(points)
}

fn glyph_width(character: char) -> f32 {
    if character == ' ' {
        return SPACE;
    }
    glyph_strokes(character).flatten().fold(0.0, |width: f32, [x, _]| width.max(x))
}

/// Length of a text with capitals `size_px` high.
pub fn width_px(text: &str, size_px: f32) -> f32 {
    let advance: f32 = text.chars().map(|character| glyph_width(character) + GAP).sum();
    (advance - GAP).max(0.0) * size_px / CAPITAL
}

/// The straight pieces of a line of text: `at` is the left end of its base line, `size_px` the height of a capital.
pub fn lines(text: &str, at: Vertex, size_px: f32) -> Vec<[Vertex; 2]> {
    let unit = size_px / CAPITAL;
    let mut left = at[0];
    let mut pieces = Vec::new();
    for character in text.chars() {
        if character != ' ' {
            for stroke in glyph_strokes(character) {
                let place = |[x, y]: Vertex| [left + x * unit, at[1] + (y - CAPITAL) * unit];
                pieces.extend(stroke.windows(2).map(|pair| [place(pair[0]), place(pair[1])]));
            }
        }
        left += (glyph_width(character) + GAP) * unit;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,:;-+=_/|%()[]<>#*!?'\"\u{b2}\u{b5}";

    /// Every glyph is written in whole points within the grid, and no two are alike.
    #[test]
    fn glyphs_are_well_formed_and_differ() {
        for character in ALL.chars() {
            let text = glyph(character).unwrap();
            for point in text.split(['/', ' ']).filter(|point| !point.is_empty()) {
                assert_eq!(point.len(), 2, "{character}: {point}");
                assert!(u8::from_str_radix(&point[..1], 16).unwrap() <= 10, "{character}: {point}");
                assert!(u8::from_str_radix(&point[1..], 16).is_ok(), "{character}: {point}");
            }
            assert!(glyph_strokes(character).all(|stroke| stroke.len() >= 2), "{character}");
            assert!(
                ALL.chars().all(|other| other == character || glyph(other) != glyph(character)),
                "{character}"
            );
        }
    }

    #[test]
    fn digits_are_as_wide_as_each_other() {
        for digit in "0123456789".chars() {
            assert_eq!(glyph_width(digit), 8.0, "{digit}");
        }
    }

    #[test]
    fn text_lies_on_its_base_line_and_is_as_long_as_said() {
        let pieces = lines("EH 42", [10.0, 50.0], 24.0);
        let xs: Vec<f32> = pieces.as_flattened().iter().map(|point| point[0]).collect();
        let ys: Vec<f32> = pieces.as_flattened().iter().map(|point| point[1]).collect();
        let most = |values: &[f32]| values.iter().copied().fold(f32::MIN, f32::max);
        let least = |values: &[f32]| values.iter().copied().fold(f32::MAX, f32::min);
        assert_eq!((least(&xs), least(&ys), most(&ys)), (10.0, 26.0, 50.0));
        assert!((most(&xs) - 10.0 - width_px("EH 42", 24.0)).abs() < 1e-3);
    }

    #[test]
    fn unknown_characters_get_a_box() {
        assert_eq!(lines("\u{4e00}", [0.0, 12.0], 12.0).len(), 4);
        assert_eq!(width_px("", 12.0), 0.0);
    }
}
