//! Natural order of file names.

use std::cmp::Ordering;

/// Compares names and takes runs of digits as numbers: `img2` comes before `img10`. Names that differ only in leading
/// zeros are ordered by their bytes, so that the order is total.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(&l), Some(&r)) = (left.first(), right.first()) else {
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        let order = if l.is_ascii_digit() && r.is_ascii_digit() {
            let (number, number_right) = (digits(&mut left), digits(&mut right));
            // Without leading zeros, the number with more digits is larger.
            number.len().cmp(&number_right.len()).then_with(|| number.cmp(number_right))
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

    #[test]
    fn numbers_may_have_any_length() {
        let (small, large) = (format!("f{}", "9".repeat(60)), format!("f1{}", "0".repeat(60)));
        assert_eq!(natural(&small, &large), Ordering::Less);
    }

    proptest! {
        #[test]
        fn order_is_total(a in "[a0-9]{0,6}", b in "[a0-9]{0,6}", c in "[a0-9]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            if natural(&a, &b) != Ordering::Greater && natural(&b, &c) != Ordering::Greater {
                prop_assert_ne!(natural(&a, &c), Ordering::Greater);
            }
        }
    }
}
