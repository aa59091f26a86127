//! Element-wise functions over strided operands.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::math;
use crate::memory::{FloatSource, FloatTarget, Inputs, Tile};
use crate::walk::{ROW_CHUNK, RowChunk, Rows};
use sonotrace_format::function::{BinaryFunction, Function, TernaryFunction, Unary, UnaryFunction};
use sonotrace_format::op;

/// Elements that are computed side by side.
const LANES: usize = 16;

/// Bound element-wise operation.
#[derive(Debug)]
pub(crate) struct Elementwise {
    function: Function,
    rows: Rows<4>,
    output: FloatTarget,
    inputs: [Option<FloatSource>; 3],
}

impl Kernel for Elementwise {
    type Operation = op::Elementwise;

    fn bind(operation: &op::Elementwise, binder: &Binder<'_>) -> Result<Self, BindError> {
        Ok(Self {
            function: operation.function,
            rows: Rows::new(binder, [0, 1, 2, 3], op::Elementwise::run(binder.dims())),
            output: binder.any_output()?,
            inputs: [binder.floats_if_any(1)?, binder.floats_if_any(2)?, binder.floats_if_any(3)?],
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, isa: I, tile: Tile<'_>) {
        let mut output = self.output.open(tile.output);
        let [mut a, mut b, mut c, mut buffer] = [[0.0f32; ROW_CHUNK]; 4];
        let steps = self.rows.steps;
        for RowChunk { offsets, length, .. } in self.rows.chunks(tile.units) {
            let a = self.view(tile.inputs, 1, offsets, &mut a[..length]);
            let b = self.view(tile.inputs, 2, offsets, &mut b[..length]);
            let c = self.view(tile.inputs, 3, offsets, &mut c[..length]);
            let is_adjacent = output.row(offsets[0], steps[0], length).is_some();
            let out = match output.row(offsets[0], steps[0], length) {
                Some(row) => row,
                None => &mut buffer[..length],
            };
            out.copy_from_slice(a);
            match self.function {
                Function::Unary(function) => isa.unary(function, out),
                Function::Binary(function) => binary(function, out, b),
                Function::Ternary(function) => ternary(function, out, b, c),
            }
            if !is_adjacent {
                output.write(offsets[0], steps[0], &buffer[..length]);
            }
        }
    }
}

impl Elementwise {
    /// Returns elements of an input as f32; empty for an input that the function does not have.
    #[inline(always)]
    fn view<'a>(&self, inputs: Inputs<'a>, slot: usize, at: [usize; 4], buffer: &'a mut [f32]) -> &'a [f32] {
        match self.inputs[slot - 1] {
            Some(input) => input.view(inputs, at[slot], self.rows.steps[slot], buffer),
            None => &[],
        }
    }
}

#[inline(always)]
fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
    // Whole vectors first: a compiler leaves up to three vectors of a loop of unknown length to single elements.
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    let mut last = [0.0f32; LANES];
    last[..rest.len()].copy_from_slice(rest);
    // One call of `f`, so that it is inlined.
    for chunk in chunks.iter_mut().chain((!rest.is_empty()).then_some(&mut last)) {
        for value in chunk {
            *value = f(*value);
        }
    }
    rest.copy_from_slice(&last[..rest.len()]);
}

#[inline(always)]
fn pairs(a: &mut [f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = f(*a, b);
    }
}

const fn truth(is_true: bool) -> f32 {
    if is_true { 1.0 } else { 0.0 }
}

/// Computes a function of one input, in place; also activations of a product.
#[inline(always)]
pub(crate) fn unary(unary: Unary, values: &mut [f32]) {
    use UnaryFunction as F;
    let Unary { function, p, q } = unary;
    match function {
        F::Copy => {}
        F::Neg => each(values, |a| -a),
        F::Abs => each(values, f32::abs),
        F::Exp => each(values, math::exp),
        F::Ln => each(values, libm::logf),
        F::Sqrt => each(values, libm::sqrtf),
        F::Rsqrt => each(values, |a| 1.0 / libm::sqrtf(a)),
        F::Recip => each(values, |a| 1.0 / a),
        F::Square => each(values, |a| a * a),
        F::Sin => each(values, libm::sinf),
        F::Cos => each(values, libm::cosf),
        F::Tanh => each(values, libm::tanhf),
        F::Sigmoid => each(values, math::sigmoid),
        F::Erf => each(values, math::erf),
        F::Gelu => each(values, math::gelu),
        F::GeluTanh => each(values, math::gelu_tanh),
        F::Silu => each(values, |a| a * math::sigmoid(a)),
        F::Relu => each(values, |a| a.max(0.0)),
        F::Not => each(values, |a| truth(a == 0.0)),
        F::Floor => each(values, libm::floorf),
        F::Ceil => each(values, libm::ceilf),
        F::Round => each(values, libm::rintf),
        F::Clamp => each(values, |a| a.max(p).min(q)),
        F::HardSwish => each(values, |a| a * (a * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)),
        F::LeakyRelu => each(values, |a| if a > 0.0 { a } else { p * a }),
        F::Sign => each(values, |a| truth(a > 0.0) - truth(a < 0.0)),
    }
}

/// Computes a function of two inputs into the first.
#[inline(always)]
fn binary(function: BinaryFunction, a: &mut [f32], b: &[f32]) {
    use BinaryFunction as F;
    match function {
        F::Add => pairs(a, b, |a, b| a + b),
        F::Sub => pairs(a, b, |a, b| a - b),
        F::Mul => pairs(a, b, |a, b| a * b),
        F::Div => pairs(a, b, |a, b| a / b),
        F::Max => pairs(a, b, f32::max),
        F::Min => pairs(a, b, f32::min),
        F::Pow => pairs(a, b, libm::powf),
        F::Equal => pairs(a, b, |a, b| truth(a == b)),
        F::Less => pairs(a, b, |a, b| truth(a < b)),
        F::LessEqual => pairs(a, b, |a, b| truth(a <= b)),
        F::And => pairs(a, b, |a, b| truth(a != 0.0 && b != 0.0)),
        F::Or => pairs(a, b, |a, b| truth(a != 0.0 || b != 0.0)),
    }
}

/// Computes a function of three inputs into the first.
#[inline(always)]
fn ternary(function: TernaryFunction, a: &mut [f32], b: &[f32], c: &[f32]) {
    let inputs = a.iter_mut().zip(b).zip(c);
    match function {
        TernaryFunction::MulAdd => {
            for ((a, b), c) in inputs {
                *a = *a * b + c;
            }
        }
        TernaryFunction::Select => {
            for ((a, &b), &c) in inputs {
                *a = if *a != 0.0 { b } else { c };
            }
        }
    }
}
