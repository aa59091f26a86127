//! Operations that are products with constant matrices, and products of tensors.

use super::fragment::{Fragment, find, text};
use super::{Rewritten, Rule, one};

pub(super) const RULES: &[Rule] = &[
    // tract gives an ellipsis that only one operand has to the wrong axes.
    Rule::new("Einsum", &[], einsum).only_if(|node, _| {
        let equation =
            find(node, "equation").map(|equation| String::from_utf8_lossy(&equation.s).into_owned());
        equation.is_some_and(|equation| equation.contains(['.', ' ']) || !equation.contains("->"))
    }),
    Rule::new("DFT", &[1, 2], fourier),
];

/// An equation with a letter for every axis of an ellipsis, counted from the last one.
fn einsum(f: &mut Fragment<'_>) -> Rewritten {
    let equation: String = f.text("equation", "").chars().filter(|letter| !letter.is_whitespace()).collect();
    let (terms, output) = match equation.split_once("->") {
        Some((terms, output)) => (terms.to_owned(), Some(output.to_owned())),
        None => (equation.clone(), None),
    };
    let terms: Vec<&str> = terms.split(',').collect();
    if terms.len() != f.node.input.len() {
        return Err(format!("equation {equation} for {} inputs", f.node.input.len()));
    }
    let mut hidden = Vec::new();
    for (slot, term) in terms.iter().enumerate() {
        let rank = f.shape(slot)?.len();
        let letters = term.replace("...", "").chars().count();
        let axes = rank.checked_sub(letters).filter(|&axes| axes == 0 || term.contains("..."));
        hidden.push(axes.ok_or_else(|| format!("term {term} for an input with {rank} axes"))?);
    }
    let most = hidden.iter().copied().max().unwrap_or(0);
    let free: String =
        ('a'..='z').chain('A'..='Z').filter(|&letter| !equation.contains(letter)).take(most).collect();
    if free.chars().count() < most {
        return Err(format!("equation {equation} has too many letters"));
    }
    let explicit = |term: &str, axes: usize| term.replace("...", &free[most - axes..]);
    let output = output.unwrap_or_else(|| {
        // By default: the ellipsis, then the letters that occur once, in alphabetical order.
        let letters: String = terms.concat().replace("...", "");
        let mut once: Vec<char> =
            letters.chars().filter(|letter| letters.matches(*letter).count() == 1).collect();
        once.sort_unstable();
        let ellipsis = if equation.contains("...") { "..." } else { "" };
        format!("{ellipsis}{}", once.into_iter().collect::<String>())
    });
    let written: Vec<String> = terms.iter().zip(&hidden).map(|(term, &axes)| explicit(term, axes)).collect();
    let equation = format!("{}->{}", written.join(","), explicit(&output, most));
    let names: Vec<String> = (0..terms.len()).map(|slot| f.input(slot)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    one(f.op("Einsum", &names, &[text("equation", &equation)]))
}

/// Largest matrix of a transform, in elements: beyond it the product is slower than any transform should be.
const MATRIX_ELEMENTS_MAX: usize = 1 << 22;

/// The discrete Fourier transform as a product with a constant matrix.
fn fourier(f: &mut Fragment<'_>) -> Rewritten {
    let shape = f.shape(0)?;
    let rank = shape.len();
    // The last axis holds the real and the imaginary part, or the real part only.
    let axis = match f.integers(2)? {
        Some(axis) => axis.first().copied().unwrap_or(-2),
        None if f.opset < 20 => f.int("axis", 1),
        None => -2,
    };
    let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).unwrap_or(rank);
    if axis + 1 >= rank {
        return Err(format!("its axis is not among the {rank} axes before the last"));
    }
    let parts = shape[rank - 1];
    let (is_inverse, is_onesided) = (f.int("inverse", 0) != 0, f.int("onesided", 0) != 0);
    let length = match f.integers(1)? {
        Some(length) => usize::try_from(length.first().copied().unwrap_or(0)).unwrap_or(0),
        None if is_inverse && is_onesided => 2 * (shape[axis].saturating_sub(1)),
        None => shape[axis],
    };
    let (inputs, outputs) = if is_onesided && !is_inverse {
        (shape[axis].min(length), length / 2 + 1)
    } else if is_onesided {
        (shape[axis].min(length / 2 + 1), length)
    } else {
        (shape[axis].min(length), length)
    };
    let real_only = is_onesided && is_inverse;
    let kept = if real_only { 1 } else { 2 };
    let (rows, columns) = (shape[axis] * parts, outputs * kept);
    if length == 0 || rows.saturating_mul(columns) > MATRIX_ELEMENTS_MAX {
        return Err(format!("its length is {length}, at most 1024 points are supported"));
    }
    let mut matrix = vec![0.0; rows * columns];
    for input in 0..inputs {
        for output in 0..outputs {
            let turns = (input * output % length) as f64 / length as f64;
            let angle = std::f64::consts::TAU * if is_inverse { turns } else { -turns };
            // The other half of a one-sided spectrum is the conjugate: each bin but the ends counts twice.
            let is_end = input == 0 || 2 * input == length;
            let weight = if real_only && !is_end { 2.0 } else { 1.0 };
            let scale = if is_inverse { weight / length as f64 } else { 1.0 };
            let (sin, cos) = (angle.sin() * scale, angle.cos() * scale);
            let mut set = |part: usize, to: usize, value: f64| {
                if part < parts && to < kept {
                    matrix[(input * parts + part) * columns + output * kept + to] = value as f32;
                }
            };
            set(0, 0, cos);
            set(0, 1, sin);
            set(1, 0, -sin);
            set(1, 1, cos);
        }
    }
    // The axis next to the last one, the two as one, a product, and back.
    let mut order: Vec<usize> = (0..rank).filter(|&at| at != axis).collect();
    order.insert(rank - 2, axis);
    let outer: Vec<usize> = order[..rank - 2].iter().map(|&at| shape[at]).collect();
    let x = f.input(0);
    let turned = f.transpose(&x, &order);
    let lines = f.reshape(&turned, &[outer.clone(), vec![rows]].concat());
    let matrix = f.floats(&[rows, columns], &matrix);
    let product = f.op("MatMul", &[&lines, &matrix], &[]);
    let apart = f.reshape(&product, &[outer, vec![outputs, kept]].concat());
    let mut back = vec![0; rank];
    order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
    one(f.transpose(&apart, &back))
}
