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
        let [mut a, mut b, mut c, mut buffer] = [[0.0f32; ROW_CHUNK + LANES]; 4];
        let (steps, row_steps) = (self.rows.steps, self.rows.row_steps());
        for chunk in self.rows.blocks(tile.units) {
            let RowChunk { offsets, rows, length, .. } = chunk;
            let a = self.view(tile.inputs, 1, chunk, &mut a);
            let b = self.view(tile.inputs, 2, chunk, &mut b);
            let c = self.view(tile.inputs, 3, chunk, &mut c);
            // Rows that follow each other are one.
            let is_one = rows == 1 || row_steps[0] == length;
            let in_place = if is_one { output.row(offsets[0], steps[0], rows * length) } else { None };
            let is_in_place = in_place.is_some();
            let out = in_place.unwrap_or(&mut buffer[..rows * length]);
            out.copy_from_slice(a);
            match self.function {
                Function::Unary(function) => isa.unary(function, out),
                Function::Binary(function) => binary(function, out, b),
                Function::Ternary(function) => ternary(function, out, b, c),
            }
            if !is_in_place {
                for (row, values) in buffer[..rows * length].chunks_exact(length).enumerate() {
                    output.write(offsets[0] + row * row_steps[0], steps[0], values);
                }
            }
        }
    }
}

impl Elementwise {
    /// Returns the elements of an input as f32, row after row; none for an input that the function does not have.
    #[inline(always)]
    fn view<'a>(
        &self,
        inputs: Inputs<'a>,
        slot: usize,
        RowChunk { offsets, rows, length, .. }: RowChunk<4>,
        buffer: &'a mut [f32; ROW_CHUNK + LANES],
    ) -> &'a [f32] {
        let Some(input) = self.inputs[slot - 1] else { return &[] };
        let (from, step, row_step) = (offsets[slot], self.rows.steps[slot], self.rows.row_steps()[slot]);
        if rows == 1 || row_step == step * length {
            return input.view(inputs, from, step, &mut buffer[..rows * length]);
        }
        match input {
            FloatSource::F32(source) if length <= LANES && step <= 1 => {
                short_rows(&inputs.read(source)[from..], (row_step, step), (rows, length), buffer);
            }
            _ => {
                for (row, to) in buffer[..rows * length].chunks_exact_mut(length).enumerate() {
                    input.load(inputs, from + row * row_step, step, to);
                }
            }
        }
        &buffer[..rows * length]
    }
}

/// Copies rows of up to [`LANES`] elements, which are adjacent (step 1) or the same (step 0). Writes whole vectors: what is behind
/// the end of a row, the next row overwrites.
#[inline(always)]
fn short_rows(
    values: &[f32],
    (row_step, step): (usize, usize),
    (rows, length): (usize, usize),
    to: &mut [f32; ROW_CHUNK + LANES],
) {
    for row in 0..rows {
        let values = &values[row * row_step..];
        let to = &mut to[row * length..][..LANES];
        match values.first_chunk::<LANES>() {
            _ if step == 0 => to.fill(values[0]),
            Some(values) => to.copy_from_slice(values),
            None => to[..length].copy_from_slice(&values[..length]),
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
        F::Tanh => each(values, math::tanh),
        F::Sigmoid => each(values, math::sigmoid),
        F::Erf => each(values, math::erf),
        F::Gelu => each(values, math::gelu),
        F::GeluTanh => each(values, math::gelu_tanh),
        F::Silu => each(values, |a| a * math::sigmoid(a)),
        // Comparisons, so that NaN stays.
        F::Relu => each(values, |a| if a < 0.0 { 0.0 } else { a }),
        F::Not => each(values, |a| truth(a == 0.0)),
        F::Floor => each(values, libm::floorf),
        F::Ceil => each(values, libm::ceilf),
        F::Round => each(values, libm::rintf),
        F::Clamp => each(values, |a| {
            let a = if a < p { p } else { a };
            if a > q { q } else { a }
        }),
        F::HardSwish => each(values, |a| a * (a * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)),
        F::LeakyRelu => each(values, |a| if a > 0.0 { a } else { p * a }),
        F::Sign => each(values, |a| if a.is_nan() { a } else { truth(a > 0.0) - truth(a < 0.0) }),
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
        F::Max => pairs(a, b, math::max),
        F::Min => pairs(a, b, math::min),
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
