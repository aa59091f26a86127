//! Element-wise functions over strided operands.

use super::rows::{Walk, base, stride};
use super::{Op, math, outer_rows, rows_of_tile};
use crate::model::format::map::{self, inputs};

/// Elements that are loaded, computed and written together.
const CHUNK: usize = 64;

pub(super) fn run(op: &Op<'_>, tile: u32) {
    let record = op.record;
    let rows = rows_of_tile(outer_rows(record), record.tiles, tile);
    let bases = [base(record, 0), base(record, 1), base(record, 2), base(record, 3)];
    let strides = [0, 1, 2, 3].map(|slot| stride(record, slot, 7));
    let mut walk = Walk::new(record, 0..7, [0, 1, 2, 3], bases, rows.start);
    let columns = record.dims[7] as usize;
    let count = inputs(record.function);
    let mut values = [[0.0f32; CHUNK]; 3];
    for _ in rows {
        for from in (0..columns).step_by(CHUNK) {
            let length = CHUNK.min(columns - from);
            let at = |slot: usize| walk.offsets[slot] + from * strides[slot];
            for input in 0..count {
                op.inputs[input].load(at(input + 1), strides[input + 1], &mut values[input][..length]);
            }
            let [a, b, c] = &mut values;
            match count {
                1 => apply_one(record.function, &record.floats, &mut a[..length]),
                2 => apply_two(record.function, &mut a[..length], &b[..length]),
                _ => apply_three(record.function, &mut a[..length], &b[..length], &c[..length]),
            }
            op.output.write(at(0), strides[0], &a[..length]);
        }
        walk.next();
    }
}

fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
    for value in values {
        *value = f(*value);
    }
}

fn pairs(a: &mut [f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = f(*a, b);
    }
}

const fn truth(is_true: bool) -> f32 {
    if is_true { 1.0 } else { 0.0 }
}

/// Functions of one input, in place.
pub(super) fn apply_one(function: u32, floats: &[f32; 4], values: &mut [f32]) {
    let [p, q, ..] = *floats;
    match function {
        map::NEG => each(values, |a| -a),
        map::ABS => each(values, f32::abs),
        map::EXP => each(values, math::exp),
        map::LN => each(values, libm::logf),
        map::SQRT => each(values, libm::sqrtf),
        map::RSQRT => each(values, |a| 1.0 / libm::sqrtf(a)),
        map::RECIP => each(values, |a| 1.0 / a),
        map::SQUARE => each(values, |a| a * a),
        map::SIN => each(values, libm::sinf),
        map::COS => each(values, libm::cosf),
        map::TANH => each(values, libm::tanhf),
        map::SIGMOID => each(values, math::sigmoid),
        map::ERF => each(values, math::erf),
        map::GELU => each(values, math::gelu),
        map::GELU_TANH => each(values, math::gelu_tanh),
        map::SILU => each(values, |a| a * math::sigmoid(a)),
        map::RELU => each(values, |a| a.max(0.0)),
        map::NOT => each(values, |a| truth(a == 0.0)),
        map::FLOOR => each(values, libm::floorf),
        map::CEIL => each(values, libm::ceilf),
        map::ROUND => each(values, libm::rintf),
        map::CLAMP => each(values, |a| a.max(p).min(q)),
        map::HARD_SWISH => each(values, |a| a * (a * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)),
        map::LEAKY_RELU => each(values, |a| if a > 0.0 { a } else { p * a }),
        map::SIGN => each(values, |a| truth(a > 0.0) - truth(a < 0.0)),
        _ => {}
    }
}

/// Functions of two inputs, into the first.
fn apply_two(function: u32, a: &mut [f32], b: &[f32]) {
    match function {
        map::ADD => pairs(a, b, |a, b| a + b),
        map::SUB => pairs(a, b, |a, b| a - b),
        map::MUL => pairs(a, b, |a, b| a * b),
        map::DIV => pairs(a, b, |a, b| a / b),
        map::MAX => pairs(a, b, f32::max),
        map::MIN => pairs(a, b, f32::min),
        map::POW => pairs(a, b, libm::powf),
        map::EQ => pairs(a, b, |a, b| truth(a == b)),
        map::LT => pairs(a, b, |a, b| truth(a < b)),
        map::LE => pairs(a, b, |a, b| truth(a <= b)),
        map::AND => pairs(a, b, |a, b| truth(a != 0.0 && b != 0.0)),
        map::OR => pairs(a, b, |a, b| truth(a != 0.0 || b != 0.0)),
        _ => {}
    }
}

/// Functions of three inputs, into the first.
fn apply_three(function: u32, a: &mut [f32], b: &[f32], c: &[f32]) {
    for ((a, &b), &c) in a.iter_mut().zip(b).zip(c) {
        *a = if function == map::MUL_ADD {
            *a * b + c
        } else if *a != 0.0 {
            b
        } else {
            c
        };
    }
}
