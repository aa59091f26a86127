//! The order of file names with numbers.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// How the numbers of names were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each run of digits is a number: `1.9` comes before `1.10`. Also if both readings give the same order.
    Natural,
    /// Digits after a point are a fraction: `0.05` comes before `0.1`.
    Decimals,
}

/// Sorts files by name. The names as a whole tell whether numbers with a point are decimals.
pub(crate) fn sort(files: &mut [(String, PathBuf)]) -> Order {
    files.sort_by(|a, b| natural(&a.0, &b.0));
    if !have_decimals(files.iter().map(|(name, _)| name.as_str())) {
        return Order::Natural;
    }
    let before: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    files.sort_by(|a, b| decimal(&a.0, &b.0));
    let is_changed = before.iter().zip(files.iter()).any(|(before, (name, _))| before != name);
    if is_changed { Order::Decimals } else { Order::Natural }
}

/// Whether numbers with one point in these names are decimals. They are not if two are equal as decimals (1.1 and 1.10),
/// or if the digits after the point count up by one (1.8, 1.9, 1.10).
fn have_decimals<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut fractions: HashMap<String, BTreeMap<String, &str>> = HashMap::new();
    let mut has_leading_zero = false;
    for name in names {
        let Some((before, fraction)) = fraction(name) else { continue };
        has_leading_zero |= fraction.len() > 1 && fraction.starts_with('0');
        let value = fraction.trim_end_matches('0').to_owned();
        let same = fractions.entry(before.to_owned()).or_default();
        if same.insert(value, fraction).is_some_and(|other| other.len() != fraction.len()) {
            return false;
        }
    }
    if has_leading_zero {
        return true;
    }
    let counts_up = |same: &BTreeMap<String, &str>| {
        let mut numbers: Vec<u64> = same.values().filter_map(|fraction| fraction.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
    };
    !fractions.is_empty() && !fractions.values().all(counts_up)
}

/// The text up to the point of the first number with exactly one point, and the digits after it. `1.2.3` is not a number,
/// and neither is the point before an extension.
fn fraction(name: &str) -> Option<(&str, &str)> {
    let bytes = name.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    while at < bytes.len() {
        if !is_digit(at) {
            at += 1;
            continue;
        }
        // The run of digits and points between digits.
        let start = at;
        let mut points = Vec::new();
        while is_digit(at) || (bytes.get(at) == Some(&b'.') && is_digit(at + 1)) {
            if bytes[at] == b'.' {
                points.push(at);
            }
            at += 1;
        }
        if let [point] = points[..]
            && point > start
        {
            return Some((&name[..point], &name[point + 1..at]));
        }
    }
    None
}

/// Compares names and takes runs of digits as numbers: `img2` comes before `img10`. Names that differ only in leading
/// zeros are ordered by their bytes, so that the order is total.
pub fn natural(a: &str, b: &str) -> Ordering {
    compare(a, b, false)
}

/// The same, but digits after a number and a point are a fraction.
fn decimal(a: &str, b: &str) -> Ordering {
    compare(a, b, true)
}

fn compare(a: &str, b: &str, has_decimals: bool) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(&l), Some(&r)) = (left.first(), right.first()) else {
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        let order = if l.is_ascii_digit() && r.is_ascii_digit() {
            let (number, number_right) = (digits(&mut left), digits(&mut right));
            // Without leading zeros, the number with more digits is larger.
            let order = number.len().cmp(&number_right.len()).then_with(|| number.cmp(number_right));
            match has_decimals {
                // Digit by digit; a number without a fraction is smaller.
                true => order.then_with(|| fraction_of(&mut left).cmp(fraction_of(&mut right))),
                false => order,
            }
        } else {
            (left, right) = (&left[1..], &right[1..]);
            l.cmp(&r)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Removes the run of digits at the start of `text` and returns it without leading zeros.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (run, rest) = text.split_at(length);
    *text = rest;
    let zeros = run.iter().take_while(|&&byte| byte == b'0').count();
    &run[zeros..]
}

/// Removes a point and the digits after it from the start of `text` and returns the digits without trailing zeros.
fn fraction_of<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let [b'.', rest @ ..] = *text else { return &[] };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return &[];
    }
    let (run, rest) = rest.split_at(length);
    *text = rest;
    let zeros = run.iter().rev().take_while(|&&byte| byte == b'0').count();
    &run[..length - zeros]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_ordered_by_value() {
        let mut names = ["img10.png", "img2.png", "img1.png", "img02.png", "a100b2", "a100b10", "img.png"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a100b2", "a100b10", "img.png", "img1.png", "img02.png", "img2.png", "img10.png"]);
    }

    fn sorted(names: &[&str]) -> (Vec<String>, Order) {
        let mut files: Vec<(String, PathBuf)> =
            names.iter().rev().map(|&name| (name.to_owned(), PathBuf::new())).collect();
        let order = sort(&mut files);
        (files.into_iter().map(|(name, _)| name).collect(), order)
    }

    /// The names of each case are in the right order.
    #[test]
    fn the_names_tell_whether_numbers_are_decimals() {
        let cases: [(&[&str], Order); 9] = [
            (&["0.0.png", "0.05.png", "0.1.png", "0.15.png"], Order::Decimals),
            (&["t0.1s.png", "t0.15s.png", "t0.2s.png", "t0.25s.png", "t10.1s.png"], Order::Decimals),
            (&["0.png", "0.5.png", "0.75.png", "1.png", "10.png"], Order::Decimals),
            (&["v1.8.png", "v1.9.png", "v1.10.png", "v1.11.png"], Order::Natural),
            (&["v1.1.png", "v1.2.png", "v1.10.png", "v2.1.png"], Order::Natural),
            (&["s1.08.png", "s1.09.png", "s1.10.png"], Order::Natural),
            (&["1.2.840.5.png", "1.2.840.40.png"], Order::Natural),
            (&["f1.png", "f2.png", "f10.png"], Order::Natural),
            (&["a.2.png", "a.10.png"], Order::Natural),
        ];
        for (names, order) in cases {
            assert_eq!(sorted(names), (names.iter().map(|&name| name.to_owned()).collect(), order));
        }
    }

    #[test]
    fn numbers_may_have_any_length() {
        let (small, large) = (format!("f{}", "9".repeat(60)), format!("f1{}", "0".repeat(60)));
        assert_eq!(natural(&small, &large), Ordering::Less);
    }

    proptest! {
        #[test]
        fn order_is_total(a in "[a0-9.]{0,6}", b in "[a0-9.]{0,6}", c in "[a0-9.]{0,6}") {
            for compare in [natural, decimal] {
                prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
                prop_assert_eq!(compare(&a, &b) == Ordering::Equal, a == b);
                if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                    prop_assert_ne!(compare(&a, &c), Ordering::Greater);
                }
            }
        }
    }
}
