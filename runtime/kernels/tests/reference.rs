//! Every kernel against a slow, simple reference: index by index, in double precision, over odd shapes, transposed and
//! repeated operands, and all element types.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../tests/common/random_cases.rs"]
mod random_cases;

use common::{Bench, Case, Random, bits, pack_bf16, pack_f32, pack_i8, small_tiles};
use half::{bf16, f16};
use proptest::prelude::*;
use random_cases::random_cases;
use sonotrace_format::function::{BinaryFunction, Function, TernaryFunction, Unary, UnaryFunction};
use sonotrace_format::op::*;
use sonotrace_format::single::{Constant, Output, file_of};
use sonotrace_format::{DIMS, Dtype, Model, Operation};
use sonotrace_kernels::BindOptions;
use sonotrace_kernels::arch::Instructions;

type Index = [usize; DIMS];

/// An operand's values as f64, with their strides.
struct Values {
    values: Vec<f64>,
    strides: [u32; DIMS],
}

impl Values {
    fn of(constant: &Constant) -> Self {
        let values = match constant.dtype {
            Dtype::F32 => {
                bytemuck::cast_slice::<u8, f32>(&constant.bytes).iter().map(|&v| v.into()).collect()
            }
            Dtype::F16 => {
                bytemuck::cast_slice::<u8, f16>(&constant.bytes).iter().map(|v| v.to_f64()).collect()
            }
            Dtype::Bf16 => {
                bytemuck::cast_slice::<u8, bf16>(&constant.bytes).iter().map(|v| v.to_f64()).collect()
            }
            Dtype::I8 => constant.bytes.iter().map(|&v| f64::from(v.cast_signed())).collect(),
            Dtype::I32 => {
                bytemuck::cast_slice::<u8, i32>(&constant.bytes).iter().map(|&v| v.into()).collect()
            }
        };
        Self { values, strides: constant.strides }
    }

    fn place(&self, index: &Index) -> usize {
        index.iter().zip(self.strides).map(|(&at, stride)| at * stride as usize).sum()
    }

    fn at(&self, index: &Index) -> f64 {
        self.values[self.place(index)]
    }
}

/// Returns all indices of some extents, in order.
fn indices(dims: &[u32; DIMS]) -> Vec<Index> {
    let count: usize = dims.iter().map(|&extent| extent as usize).product();
    let index = |mut flat: usize| {
        let mut index = [0; DIMS];
        for dim in (0..DIMS).rev() {
            index[dim] = flat % dims[dim] as usize;
            flat /= dims[dim] as usize;
        }
        index
    };
    (0..count).map(index).collect()
}

fn unary(function: Unary, a: f64) -> f64 {
    use UnaryFunction as F;
    let Unary { function, p, q } = function;
    let (p, q) = (f64::from(p), f64::from(q));
    let truth = |is_true: bool| f64::from(u8::from(is_true));
    let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
    match function {
        F::Copy => a,
        F::Neg => -a,
        F::Abs => a.abs(),
        F::Exp => a.exp(),
        F::Ln => a.ln(),
        F::Sqrt => a.sqrt(),
        F::Rsqrt => 1.0 / a.sqrt(),
        F::Recip => 1.0 / a,
        F::Square => a * a,
        F::Sin => a.sin(),
        F::Cos => a.cos(),
        F::Tanh => a.tanh(),
        F::Sigmoid => sigmoid(a),
        F::Erf => libm::erf(a),
        F::Gelu => 0.5 * a * (1.0 + libm::erf(a * std::f64::consts::FRAC_1_SQRT_2)),
        F::GeluTanh => {
            0.5 * a * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (a + 0.044_715 * a.powi(3))).tanh())
        }
        F::Silu => a * sigmoid(a),
        F::Relu => a.max(0.0),
        F::Not => truth(a == 0.0),
        F::Floor => a.floor(),
        F::Ceil => a.ceil(),
        F::Round => a.round_ties_even(),
        F::Clamp => a.max(p).min(q),
        F::HardSwish => a * (a / 6.0 + 0.5).clamp(0.0, 1.0),
        F::LeakyRelu => {
            if a > 0.0 {
                a
            } else {
                p * a
            }
        }
        F::Sign => truth(a > 0.0) - truth(a < 0.0),
    }
}

fn function(function: Function, [a, b, c]: [f64; 3]) -> f64 {
    use BinaryFunction as B;
    let truth = |is_true: bool| f64::from(u8::from(is_true));
    match function {
        Function::Unary(f) => unary(f, a),
        Function::Binary(f) => match f {
            B::Add => a + b,
            B::Sub => a - b,
            B::Mul => a * b,
            B::Div => a / b,
            B::Max => a.max(b),
            B::Min => a.min(b),
            B::Pow => a.powf(b),
            B::Equal => truth(a == b),
            B::Less => truth(a < b),
            B::LessEqual => truth(a <= b),
            B::And => truth(a != 0.0 && b != 0.0),
            B::Or => truth(a != 0.0 || b != 0.0),
        },
        Function::Ternary(TernaryFunction::MulAdd) => a * b + c,
        Function::Ternary(TernaryFunction::Select) => {
            if a != 0.0 {
                b
            } else {
                c
            }
        }
    }
}

/// Returns the input pixels that the window of an output pixel covers: kernel row and column, and row and column of the
/// image if inside.
fn covered(window: &Window, y: usize, x: usize) -> Vec<([usize; 2], Option<[usize; 2]>)> {
    let position = |axis: usize, out: usize, tap: usize| {
        let at = (out * window.stride[axis] as usize + tap * window.dilation[axis] as usize) as i64;
        let at = at - i64::from(window.pad[axis]);
        (0..i64::from(window.input[axis])).contains(&at).then_some(at as usize)
    };
    let taps =
        (0..window.kernel[0] as usize).flat_map(|ky| (0..window.kernel[1] as usize).map(move |kx| [ky, kx]));
    taps.map(|tap| (tap, position(0, y, tap[0]).zip(position(1, x, tap[1])).map(|(y, x)| [y, x]))).collect()
}

fn with(index: &Index, changes: &[(usize, usize)]) -> Index {
    let mut index = *index;
    changes.iter().for_each(|&(dim, at)| index[dim] = at);
    index
}

/// Returns the expected value of each output element; NaN where nothing is written. `weights` returns those of a
/// product, by output channel and depth.
fn expected(case: &Case, weights: &dyn Fn(usize, usize) -> f64) -> Vec<f64> {
    let values: Vec<Option<Values>> =
        case.inputs.iter().map(|input| input.as_ref().map(Values::of)).collect();
    let read = |slot: usize, index: &Index| match values.get(slot) {
        Some(Some(values)) => values.at(index),
        _ => 0.0,
    };
    let output =
        Values { values: vec![f64::NAN; case.output.elements as usize], strides: case.output.strides };
    let mut result = output.values.clone();
    let dims = &case.dims;
    let kept = |kept_dims: u32| -> Vec<(Index, Vec<Index>)> {
        let (mut outer, mut inner) = ([1; DIMS], [1; DIMS]);
        outer[..kept_dims as usize].copy_from_slice(&dims[..kept_dims as usize]);
        inner[kept_dims as usize..].copy_from_slice(&dims[kept_dims as usize..]);
        let under = |at: Index| {
            let inner = indices(&inner).into_iter();
            (at, inner.map(|other| std::array::from_fn(|dim| at[dim] + other[dim])).collect())
        };
        indices(&outer).into_iter().map(under).collect()
    };
    let mut put = |index: &Index, value: f64| result[output.place(index)] = value;
    match &case.operation {
        Operation::Elementwise(op) => {
            for index in indices(dims) {
                put(&index, function(op.function, [0, 1, 2].map(|slot| read(slot, &index))));
            }
        }
        Operation::Reduce(op) => {
            for (at, under) in kept(op.kept_dims) {
                let values: Vec<f64> = under.iter().map(|index| read(0, index)).collect();
                let (count, sum) = (values.len() as f64, values.iter().sum::<f64>());
                let squares: f64 = values.iter().map(|value| value * value).sum();
                let products = || under.iter().map(|index| read(0, index) * read(1, index)).sum::<f64>();
                let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                put(
                    &at,
                    match op.reduction {
                        Reduction::Sum => sum,
                        Reduction::Mean => sum / count,
                        Reduction::Max => largest,
                        Reduction::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
                        Reduction::Product => values.iter().product(),
                        Reduction::MeanOfSquares => squares / count,
                        Reduction::SumOfSquares => squares,
                        Reduction::SumOfProducts => products(),
                        Reduction::MeanOfProducts => products() / count,
                        Reduction::ArgMax => {
                            values.iter().position(|&value| value == largest).unwrap() as f64
                        }
                    },
                );
            }
        }
        Operation::Normalize(op) => {
            for (_, under) in kept(op.kept_dims) {
                let values: Vec<f64> = under.iter().map(|index| read(0, index)).collect();
                let count = values.len() as f64;
                let mean = match op.statistics {
                    Statistics::MeanVariance => values.iter().sum::<f64>() / count,
                    Statistics::RootMeanSquare => 0.0,
                };
                let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
                for (index, value) in under.iter().zip(values) {
                    let scale = if case.inputs[1].is_some() { read(1, index) } else { 1.0 };
                    let normal = (value - mean) / (variance + f64::from(op.epsilon)).sqrt();
                    put(index, unary(op.activation, normal * scale + read(2, index)));
                }
            }
        }
        Operation::Softmax(op) => {
            for (_, under) in kept(op.kept_dims) {
                let largest = under.iter().map(|index| read(0, index)).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = under.iter().map(|index| (read(0, index) - largest).exp()).sum();
                under.iter().for_each(|index| put(index, (read(0, index) - largest).exp() / sum));
            }
        }
        Operation::MatMul(op) => {
            let mut rows = *dims;
            rows[7] = 1;
            for index in indices(&rows) {
                let a: Vec<f64> = (0..dims[7] as usize).map(|k| read(0, &with(&index, &[(7, k)]))).collect();
                let a = rounded(a, op.arithmetic);
                let is_packed =
                    case.inputs[1].as_ref().unwrap().layout == sonotrace_format::TensorLayout::Panels;
                let column = |k: usize| match is_packed {
                    true => weights(index[6], k),
                    false => read(1, &with(&index, &[(7, k)])),
                };
                let mut b: Vec<f64> = (0..dims[7] as usize).map(column).collect();
                if !is_packed {
                    b = rounded(b, op.arithmetic);
                }
                let sum: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
                put(&index, unary(op.activation, sum + read(2, &index) + read(3, &index)));
            }
        }
        Operation::Conv(op) => {
            let mut pixels = *dims;
            pixels[7] = 1;
            let taps = op.window.taps() as usize;
            for index in indices(&pixels) {
                let mut patch = vec![0.0; dims[7] as usize * taps];
                for (tap, (_, place)) in covered(&op.window, index[4], index[5]).into_iter().enumerate() {
                    let Some([y, x]) = place else { continue };
                    for channel in 0..dims[7] as usize {
                        let at = with(&index, &[(4, y), (5, x), (6, 0), (7, channel)]);
                        patch[tap * dims[7] as usize + channel] = read(0, &at);
                    }
                }
                let patch = rounded(patch, op.arithmetic);
                let column = index[1] * Conv::group_columns(dims) as usize + index[6];
                let sum: f64 = patch.iter().enumerate().map(|(k, value)| value * weights(column, k)).sum();
                put(&index, unary(op.activation, sum + read(2, &index) + read(3, &index)));
            }
        }
        Operation::DepthwiseConv(op) => {
            for index in indices(dims) {
                let mut sum = 0.0;
                for ([ky, kx], place) in covered(&op.window, index[4], index[5]) {
                    let Some([y, x]) = place else { continue };
                    let image = with(&index, &[(4, y), (5, x), (7, 0)]);
                    sum += read(0, &image) * read(1, &with(&index, &[(4, ky), (5, kx)]));
                }
                put(&index, unary(op.activation, sum + read(2, &with(&index, &[(4, 0), (5, 0)]))));
            }
        }
        Operation::Pool(op) => {
            for index in indices(dims) {
                let covered = covered(&op.window, index[4], index[5]);
                let inside: Vec<f64> = covered
                    .iter()
                    .filter_map(|(_, place)| place.map(|[y, x]| read(0, &with(&index, &[(4, y), (5, x)]))))
                    .collect();
                let sum: f64 = inside.iter().sum();
                put(
                    &index,
                    match op.function {
                        PoolFunction::Sum => sum,
                        PoolFunction::MeanInside => sum / inside.len().max(1) as f64,
                        PoolFunction::MeanOfKernel => sum / covered.len() as f64,
                        PoolFunction::Max => inside.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    },
                );
            }
        }
        Operation::Gather(op) => {
            let source = values[0].as_ref().unwrap();
            for index in indices(dims) {
                let place = source.place(&index) + read(1, &index) as usize * op.axis_stride as usize;
                put(&index, source.values[place]);
            }
        }
        Operation::Resample(op) => {
            let [source, table, factors] = [0, 1, 2].map(|slot| values[slot].as_ref().unwrap());
            for index in indices(dims) {
                let first = index[op.axis as usize] * op.taps as usize;
                let tap = |tap: usize| {
                    let place = source.place(&index) + table.values[tap] as usize * op.input_stride as usize;
                    factors.values[tap] * source.values[place]
                };
                put(&index, (first..first + op.taps as usize).map(tap).sum());
            }
        }
        Operation::GridSample(_) => unreachable!("has its own reference below"),
    }
    result
}

/// Returns the strides of a dense tensor over the dims that it `has`, in a random order in memory, with stride 0 over
/// the others; and its number of elements.
fn shuffled(dims: &[u32; DIMS], has: impl Fn(usize) -> bool, random: &mut Random) -> ([u32; DIMS], usize) {
    let mut order: Vec<usize> = (0..DIMS).filter(|&dim| has(dim)).collect();
    (1..order.len()).rev().for_each(|at| order.swap(at, random.below(at + 1)));
    let (mut strides, mut next) = ([0; DIMS], 1);
    for dim in order {
        // A dim of one element may have any stride.
        strides[dim] = if dims[dim] == 1 { 0 } else { next };
        next *= dims[dim];
    }
    (strides, next as usize)
}

/// Returns a strided constant of a random type.
fn any_floats(dims: &[u32; DIMS], has: impl Fn(usize) -> bool, random: &mut Random) -> Constant {
    let (strides, elements) = shuffled(dims, has, random);
    let values = random.floats(elements);
    match random.below(3) {
        0 => Constant::f32(&values, strides),
        1 => {
            let halves: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
            Constant::strided(bytemuck::cast_slice(&halves), Dtype::F16, strides)
        }
        _ => {
            let bytes: Vec<u8> = values.iter().map(|value| ((value * 9.0) as i8).cast_unsigned()).collect();
            Constant::strided(&bytes, Dtype::I8, strides)
        }
    }
}

fn f32s(dims: &[u32; DIMS], has: impl Fn(usize) -> bool, random: &mut Random) -> Constant {
    let (strides, elements) = shuffled(dims, has, random);
    Constant::f32(&random.floats(elements), strides)
}

fn output(dims: &[u32; DIMS], has: impl Fn(usize) -> bool, random: &mut Random) -> Output {
    let (strides, elements) = shuffled(dims, has, random);
    Output::f32(elements as u64, strides)
}

/// Returns small extents, some of them 1.
fn extents(random: &mut Random, dims: std::ops::Range<usize>, most: usize) -> [u32; DIMS] {
    let mut extents = [1; DIMS];
    dims.for_each(|dim| extents[dim] = 1 + (random.below(most) * random.below(2)) as u32);
    extents
}

/// Returns a row of a product as its arithmetic reads it.
fn rounded(row: Vec<f64>, arithmetic: Arithmetic) -> Vec<f64> {
    if arithmetic == Arithmetic::Float {
        return row;
    }
    if arithmetic.is_bf16() {
        return row.into_iter().map(|value| bf16::from_f32(value as f32).to_f64()).collect();
    }
    let largest = row.iter().fold(1e-12f32, |largest, &value| largest.max(value.abs() as f32));
    let level = |value: f64| f64::from((value as f32 * (127.0 / largest)).round_ties_even());
    row.into_iter().map(|value| level(value) * f64::from(largest / 127.0)).collect()
}

/// Returns the arithmetic of a case: that of bf16 weights; at random int8 if the weights are i8; at random any if the columns are
/// strided.
fn any_arithmetic(weights: &Constant, random: &mut Random) -> Arithmetic {
    let is_panels = weights.layout == sonotrace_format::TensorLayout::Panels;
    match (is_panels, weights.dtype, random.below(3)) {
        (true, Dtype::Bf16, _) => Arithmetic::Bf16,
        (true, Dtype::I8, 1 | 2) => Arithmetic::Int8,
        (false, Dtype::F32, 1) => Arithmetic::DynamicInt8,
        (false, Dtype::F32, 2) => Arithmetic::DynamicBf16,
        _ => Arithmetic::Float,
    }
}

/// Whether every instruction set gives the same bits: sums of integers do not depend on their order.
fn is_exact(operation: &Operation) -> bool {
    match operation {
        Operation::MatMul(op) => op.arithmetic.is_int8(),
        Operation::Conv(op) => op.arithmetic.is_int8(),
        _ => false,
    }
}

#[track_caller]
fn check(case: &Case, weights: &dyn Fn(usize, usize) -> f64) {
    let expected = expected(case, weights);
    let smallest = BindOptions { tile_work: 1, tile_macs: 1, ..BindOptions::default() };
    let sizes = [BindOptions::default(), small_tiles(), smallest];
    let portable =
        case.run(&BindOptions { instructions: Instructions::portable(), ..BindOptions::default() });
    for options in Instructions::available()
        .flat_map(|instructions| sizes.map(|options| BindOptions { instructions, ..options }))
    {
        let seen = case.run(&options);
        if is_exact(&case.operation) {
            assert!(bits(&seen) == bits(&portable), "{} {:?} ({options:?})", case.name, case.operation);
        }
        for (at, (&seen, &expected)) in seen.iter().zip(&expected).enumerate() {
            let is_close = (f64::from(seen) - expected).abs() <= 2e-5 * (1.0 + expected.abs());
            let is_same = is_close || (seen.is_nan() && expected.is_nan()) || f64::from(seen) == expected;
            assert!(
                is_same,
                "{} {:?}: {seen} at {at}, not {expected} ({options:?})",
                case.name, case.operation
            );
        }
    }
}

const NONE: &dyn Fn(usize, usize) -> f64 = &|_, _| f64::NAN;

fn any_activation(random: &mut Random) -> Unary {
    use UnaryFunction as F;
    match random.below(4) {
        0 => Unary::COPY,
        1 => Unary::plain([F::Relu, F::Gelu, F::Sigmoid, F::Silu][random.below(4)]),
        2 => Unary::clamp(-0.25, 0.5),
        _ => Unary { function: F::LeakyRelu, p: 0.1, q: 0.0 },
    }
}

/// Returns weights of `n` channels and `k` inputs in a random type of panels, and their values.
fn panels(n: usize, k: usize, random: &mut Random) -> (Constant, Vec<f64>) {
    let values = random.floats(n * k);
    match random.below(4) {
        3 => {
            let packed = pack_bf16(n, k, |channel, at| values[channel * k + at]);
            let rounded = values.iter().map(|&value| bf16::from_f32(value).to_f64()).collect();
            (Constant::panels(bytemuck::cast_slice(&packed), Dtype::Bf16), rounded)
        }
        0 => {
            let packed = pack_f32(n, k, |channel, at| values[channel * k + at]);
            let panels = Constant::panels(bytemuck::cast_slice(&packed), Dtype::F32);
            (panels, values.iter().map(|&value| value.into()).collect())
        }
        1 => {
            let packed = pack_f32(n, k, |channel, at| values[channel * k + at]);
            let halves: Vec<f16> = packed.iter().map(|&value| f16::from_f32(value)).collect();
            let rounded = values.iter().map(|&value| f16::from_f32(value).to_f64()).collect();
            (Constant::panels(bytemuck::cast_slice(&halves), Dtype::F16), rounded)
        }
        _ => {
            let scales: Vec<f32> = (0..n).map(|channel| 0.01 + 0.001 * channel as f32).collect();
            let integer = |channel: usize, at: usize| (values[channel * k + at] * 127.0) as i8;
            let packed = pack_i8(n, k, &scales, integer);
            let of = |at: usize| f64::from(integer(at / k, at % k)) * f64::from(scales[at / k]);
            (Constant::panels(&packed, Dtype::I8), (0..n * k).map(of).collect())
        }
    }
}

fn any_window(random: &mut Random) -> Window {
    let side = |random: &mut Random| 1 + random.below(3) as u32;
    Window {
        kernel: [side(random), side(random)],
        stride: [side(random), side(random)],
        dilation: [side(random), side(random)],
        pad: [random.below(4) as i32 - 1, random.below(4) as i32 - 1],
        input: [1 + random.below(12) as u32, 1 + random.below(12) as u32],
    }
}

/// Returns an image with rows and columns of the window's input over dims 4 and 5, and other dims as given.
fn image(dims: &[u32; DIMS], window: &Window, has: &[usize], random: &mut Random) -> Constant {
    let mut dims = *dims;
    (dims[4], dims[5]) = (window.input[0], window.input[1]);
    f32s(&dims, |dim| has.contains(&dim), random)
}

/// A row with a value that is not finite gives NaN, on every instruction set; other rows are not affected.
#[test]
fn int8_rows_that_are_not_finite_give_nan() {
    let (k, n) = (77, 50);
    for extreme in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut case = common::int8_matmul();
        let expected = case.run(&BindOptions::default());
        let at = 4 * (3 * k + 5);
        case.inputs[0].as_mut().unwrap().bytes[at..at + 4].copy_from_slice(&extreme.to_le_bytes());
        for instructions in Instructions::available() {
            let seen = case.run(&BindOptions { instructions, ..BindOptions::default() });
            for (row, (seen, expected)) in seen.chunks(n).zip(expected.chunks(n)).enumerate() {
                let is_right = if row == 3 {
                    seen.iter().all(|value| value.is_nan())
                } else {
                    bits(seen) == bits(expected)
                };
                assert!(is_right, "row {row}, {extreme} ({instructions:?})");
            }
        }
    }
}

/// The same for a column that is rounded at run time.
#[test]
fn dynamic_columns_that_are_not_finite_give_nan() {
    let n = 50;
    for extreme in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut case = common::dynamic_matmul();
        let expected = case.run(&BindOptions::default());
        // Column 7 of the first batch, of which element k is at `k * n + column`.
        let at = 4 * (5 * n + 7);
        case.inputs[1].as_mut().unwrap().bytes[at..at + 4].copy_from_slice(&extreme.to_le_bytes());
        for instructions in Instructions::available() {
            let seen = case.run(&BindOptions::of(instructions));
            for (at, (seen, expected)) in seen.iter().zip(&expected).enumerate() {
                let is_hit = at < 70 * n && at % n == 7;
                let is_right = if is_hit { seen.is_nan() } else { seen.to_bits() == expected.to_bits() };
                assert!(is_right, "element {at}, {extreme} ({instructions:?})");
            }
        }
    }
}

#[test]
fn int8_products_of_extremes_are_exact() {
    for [m, n, k] in common::BLOCK_SHAPES {
        let case = common::int8_extremes(m, n, k);
        let expected = case.run(&BindOptions::of(Instructions::portable()));
        for instructions in Instructions::available() {
            let seen = case.run(&BindOptions::of(instructions));
            assert!(bits(&seen) == bits(&expected), "{m} x {n} x {k} ({instructions:?})");
        }
    }
}

/// More columns than are rounded at a time.
#[test]
fn many_columns_are_rounded_in_parts() {
    let random = &mut Random(7);
    let dims = [1, 1, 1, 1, 1, 5, 600, 512];
    let a = f32s(&dims, |dim| dim != 6, random);
    let b = f32s(&dims, |dim| dim != 5, random);
    let operation = MatMul { activation: Unary::COPY, arithmetic: Arithmetic::DynamicInt8 };
    let out = output(&dims, |dim| dim != 7, random);
    check(&Case::new("matmul", operation, dims, out, [Some(a), Some(b), None]), NONE);
}

#[test]
fn int8_products_are_refused_without_i8_weights_or_too_deep() {
    let refusal = |case: &Case| {
        let file = file_of(&case.operation, case.dims, case.output, &case.inputs);
        Model::parse(file.bytes()).expect_err("refused").to_string()
    };
    let mut case = common::int8_matmul();
    let panels = pack_f32(50, 77, |_, _| 1.0);
    case.inputs[1] = Some(Constant::panels(bytemuck::cast_slice(&panels), Dtype::F32));
    let another = "the weights of an int8 or bf16 product have another type";
    assert!(refusal(&case).contains(another), "{}", refusal(&case));
    case.inputs[1] = Some(Constant::f32(&[1.0; 77 * 50], [0, 0, 0, 0, 0, 0, 1, 50]));
    assert!(refusal(&case).contains("weights are not in panels"), "{}", refusal(&case));
    case.dims[7] = INT8_DEPTH_MAX as u32 + 1;
    assert!(refusal(&case).contains("deeper than 65536"), "{}", refusal(&case));
    let mut case = common::dynamic_matmul();
    case.dims[7] = 16_385;
    assert!(refusal(&case).contains("a panel of an int8 product has more than 262144"), "{}", refusal(&case));
    let mut case = common::convolution();
    if let Operation::Conv(conv) = &mut case.operation {
        conv.arithmetic = Arithmetic::DynamicInt8;
    }
    assert!(refusal(&case).contains("a convolution rounds its weights"), "{}", refusal(&case));
}

#[test]
fn bf16_weights_are_only_for_products_in_bf16() {
    let refusal = |case: &Case| {
        let file = file_of(&case.operation, case.dims, case.output, &case.inputs);
        Model::parse(file.bytes()).expect_err("refused").to_string()
    };
    let mut case = common::bf16_matmul(5, 7, 9);
    case.operation = MatMul { activation: Unary::COPY, arithmetic: Arithmetic::Float }.into();
    assert!(refusal(&case).contains("bf16 weights of a product that does not"), "{}", refusal(&case));
    case.operation = MatMul { activation: Unary::COPY, arithmetic: Arithmetic::Int8 }.into();
    assert!(refusal(&case).contains("have another type"), "{}", refusal(&case));
    let mut case = common::elementwise();
    let strides = [0, 0, 0, 0, 0, 0, 0, 1];
    case.inputs[1] = Some(Constant::strided(&[0; 140], Dtype::Bf16, strides));
    assert!(refusal(&case).contains("not strided f32, f16 or i8"), "{}", refusal(&case));
    let mut case = common::convolution();
    if let Operation::Conv(conv) = &mut case.operation {
        conv.arithmetic = Arithmetic::DynamicBf16;
    }
    assert!(refusal(&case).contains("a convolution rounds its weights"), "{}", refusal(&case));
}

/// A value that is not finite makes its row or its column not finite, on every instruction set; others are not affected.
#[test]
fn products_in_bf16_keep_what_is_not_finite() {
    let n = 50;
    for extreme in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        for (input, at, is_hit) in [
            (0, 33 * 3 + 5, (&|at: usize| at / n == 3) as &dyn Fn(usize) -> bool),
            (1, 5 * n + 7, &|at: usize| at < 70 * n && at % n == 7),
        ] {
            let mut case = common::dynamic_bf16_matmul();
            let expected = case.run(&BindOptions::default());
            case.inputs[input].as_mut().unwrap().bytes[4 * at..][..4].copy_from_slice(&extreme.to_le_bytes());
            for instructions in Instructions::available() {
                let before = case.clone();
                let seen = before.run(&BindOptions::of(instructions));
                for (at, (seen, expected)) in seen.iter().zip(&expected).enumerate() {
                    let is_close = (seen - expected).abs() <= 2e-5 * (1.0 + expected.abs());
                    assert!(seen.is_finite() != is_hit(at), "element {at}, {extreme} ({instructions:?})");
                    assert!(
                        is_hit(at) || is_close,
                        "element {at}: {seen}, not {expected} ({instructions:?})"
                    );
                }
            }
        }
    }
}

/// Scales and shifts for each channel of a group, in all orders of the axes in memory.
#[test]
fn groups_with_a_scale_for_each_channel() {
    let random = &mut Random(3);
    let dims: [u32; DIMS] = [1, 1, 1, 2, 3, 5, 7, 9];
    let (by_channel, by_pixel) = ([0, 0, 0, 945, 315, 63, 9, 1], [0, 0, 0, 945, 5, 1, 135, 15]);
    for (input, output) in [(by_channel, by_channel), (by_pixel, by_pixel), (by_channel, by_pixel)] {
        for activation in [Unary::COPY, Unary::plain(UnaryFunction::Silu)] {
            let affine = || Some(any_floats(&dims, |dim| dim == 4 || dim == 5, &mut Random(7)));
            let image = Constant::f32(&random.floats(1890), input);
            let normalize =
                Normalize { statistics: Statistics::MeanVariance, kept_dims: 5, epsilon: 1e-5, activation };
            let inputs = [Some(image), affine(), affine()];
            check(&Case::new("groups", normalize, dims, Output::f32(1890, output), inputs), NONE);
        }
    }
}

proptest! {
    #![proptest_config(random_cases(150))]

    #[test]
    fn element_wise(seed: u64) {
        let random = &mut Random(seed);
        let dims = extents(random, 3..8, 9);
        let all: Vec<Function> = UnaryFunction::ALL
            .iter()
            .map(|&function| Function::Unary(Unary { function, p: -0.5, q: 0.75 }))
            .chain(BinaryFunction::ALL.iter().map(|&function| Function::Binary(function)))
            .chain(TernaryFunction::ALL.iter().map(|&function| Function::Ternary(function)))
            .collect();
        let function = all[random.below(all.len())];
        let mut inputs = [None, None, None];
        for input in inputs.iter_mut().take(function.inputs()) {
            // Some operands are repeated over some dims.
            let mask = random.word() | random.word();
            *input = Some(any_floats(&dims, |dim| mask >> dim & 1 == 1, random));
        }
        let case = Case::new("element-wise", Elementwise { function }, dims, output(&dims, |_| true, random), inputs);
        check(&case, NONE);
    }

    #[test]
    fn trailing_dims(seed: u64) {
        let random = &mut Random(seed);
        let dims = extents(random, 3..8, 80);
        let elements: u64 = dims.iter().map(|&extent| u64::from(extent)).product();
        prop_assume!(elements < 20_000);
        let kept_dims = random.below(DIMS + 1) as u32;
        let input = f32s(&dims, |_| true, random);
        let epsilon = [1e-5, 1e-2][random.below(2)];
        let statistics = Statistics::ALL[random.below(2)];
        let reduction = Reduction::ALL[random.below(Reduction::ALL.len())];
        let is_kept = |dim: usize| dim < kept_dims as usize;
        let reduced = output(&dims, is_kept, random);
        let same = output(&dims, |_| true, random);
        // A value for each element of a row, each row, or some of the dims: a channel of a group.
        let [of_scale, of_shift] = [(); 2].map(|()| match random.below(3) {
            0 => u64::MAX << kept_dims,
            1 => !(u64::MAX << kept_dims),
            _ => random.word(),
        });
        let scale = (random.below(2) == 0).then(|| any_floats(&dims, |dim| of_scale >> dim & 1 == 1, random));
        let shift = (random.below(2) == 0).then(|| any_floats(&dims, |dim| of_shift >> dim & 1 == 1, random));
        let one = |input: &Constant| [Some(input.clone()), None, None];
        // The second factor may be repeated over some dims.
        let mask = random.word();
        let second = reduction.is_of_products().then(|| f32s(&dims, |dim| mask >> dim & 1 == 1, random));
        let inputs = [Some(input.clone()), second, None];
        check(&Case::new("reduce", Reduce { reduction, kept_dims }, dims, reduced, inputs), NONE);
        check(&Case::new("softmax", Softmax { kept_dims }, dims, same, one(&input)), NONE);
        // The variance of one element is 0: the divisor is the root of epsilon alone.
        let normalize = Normalize { statistics, kept_dims, epsilon, activation: any_activation(random) };
        check(&Case::new("normalize", normalize, dims, same, [Some(input), scale, shift]), NONE);
    }

    #[test]
    fn products(seed: u64) {
        let random = &mut Random(seed);
        let mut dims = extents(random, 2..8, 40);
        (dims[2], dims[3]) = (1 + dims[2] % 3, 1 + dims[3] % 3);
        // Of more than one chunk of rounded values.
        if random.below(3) == 0 {
            dims[7] = 1 + random.below(100) as u32;
        }
        let (n, k) = (dims[6] as usize, dims[7] as usize);
        let a = f32s(&dims, |dim| dim != 6, random);
        let is_packed = random.below(2) == 0;
        let (b, weights) = match is_packed {
            true => panels(n, k, random),
            false => (f32s(&dims, |dim| dim != 5, random), Vec::new()),
        };
        let mask = random.word();
        let c = (random.below(3) > 0).then(|| any_floats(&dims, |dim| dim != 7 && mask >> dim & 1 == 1, random));
        let mask = random.word();
        let d = (random.below(2) == 0).then(|| any_floats(&dims, |dim| dim != 7 && mask >> dim & 1 == 1, random));
        let arithmetic = any_arithmetic(&b, random);
        let operation = MatMul { activation: any_activation(random), arithmetic };
        let out = output(&dims, |dim| dim != 7, random);
        check(&Case::new("matmul", operation, dims, out, [Some(a), Some(b), c, d]), &|channel, at| weights[channel * k + at]);
    }

    #[test]
    fn convolutions(seed: u64) {
        let random = &mut Random(seed);
        let window = any_window(random);
        let mut dims = extents(random, 4..8, 9);
        (dims[0], dims[6]) = (1 + random.below(2) as u32, 1 + random.below(40) as u32);
        dims[1] = [1, 1, 2, 3][random.below(4)];
        let k = dims[7] as usize * window.taps() as usize;
        let (b, weights) = panels(Conv::group_columns(&dims) as usize * dims[1] as usize, k, random);
        let a = image(&dims, &window, &[0, 1, 4, 5, 7], random);
        let c = (random.below(2) == 0).then(|| any_floats(&dims, |dim| dim == 1 || dim == 6, random));
        let d = (random.below(2) == 0).then(|| any_floats(&dims, |dim| dim != 7, random));
        let arithmetic = any_arithmetic(&b, random);
        let operation = Conv { window, activation: any_activation(random), arithmetic };
        let out = output(&dims, |dim| dim != 7, random);
        check(&Case::new("conv", operation, dims, out, [Some(a), Some(b), c, d]), &|channel, at| weights[channel * k + at]);
    }

    #[test]
    fn depthwise_and_pool(seed: u64) {
        let random = &mut Random(seed);
        let window = any_window(random);
        let mut dims = extents(random, 4..8, 9);
        (dims[0], dims[7]) = (1 + random.below(2) as u32, 1 + random.below(3) as u32);
        let a = image(&dims, &window, &[0, 4, 5, 6], random);
        let mut kernel = dims;
        (kernel[4], kernel[5]) = (window.kernel[0], window.kernel[1]);
        let b = any_floats(&kernel, |dim| (4..8).contains(&dim), random);
        let c = (random.below(2) == 0).then(|| any_floats(&dims, |dim| dim >= 6, random));
        let operation = DepthwiseConv { window, activation: any_activation(random) };
        let out = output(&dims, |_| true, random);
        check(&Case::new("depthwise", operation, dims, out, [Some(a.clone()), Some(b), c]), NONE);
        dims[7] = 1;
        let function = PoolFunction::ALL[random.below(4)];
        let out = output(&dims, |_| true, random);
        check(&Case::new("pool", Pool { function, window }, dims, out, [Some(a), None, None]), NONE);
    }

    #[test]
    fn tables(seed: u64) {
        let random = &mut Random(seed);
        let dims = extents(random, 3..8, 9);
        // The indexed axis is anywhere in memory order.
        let axis = 3 + random.below(5);
        let length = 1 + random.below(7) as u32;
        let mut source = dims;
        source[axis] = length;
        let mut a = any_floats(&source, |_| true, random);
        let axis_stride = if length == 1 { 0 } else { a.strides[axis] };
        a.strides[axis] = 0;
        let mask = random.word() | 1 << axis;
        let (strides, elements) = shuffled(&dims, |dim| mask >> dim & 1 == 1, random);
        let indices: Vec<i32> = (0..elements).map(|_| random.below(length as usize) as i32).collect();
        let gather = Gather { axis_stride, axis_length: length };
        let table = Constant::indices(&indices, strides);
        let out = output(&dims, |_| true, random);
        check(&Case::new("gather", gather, dims, out, [Some(a.clone()), Some(table), None]), NONE);
        if a.dtype != Dtype::F32 {
            return Ok(());
        }
        let taps = 1 + random.below(4) as u32;
        let entries = (dims[axis] * taps) as usize;
        let indices: Vec<i32> = (0..entries).map(|_| random.below(length as usize) as i32).collect();
        let resample = Resample { axis: axis as u32, taps, input_length: length, input_stride: axis_stride };
        let factors = Constant::f32(&random.floats(entries), [0; DIMS]);
        let table = Constant::indices(&indices, [0; DIMS]);
        check(&Case::new("resample", resample, dims, out, [Some(a), Some(table), Some(factors)]), NONE);
    }

    /// Bilinear sampling against the definition of ONNX GridSample.
    #[test]
    fn places(seed: u64) {
        let random = &mut Random(seed);
        let mut dims = extents(random, 4..8, 9);
        (dims[0], dims[6]) = (1 + random.below(2) as u32, 1);
        let input = [1 + random.below(9) as u32, 1 + random.below(9) as u32];
        let window = Window { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pad: [0; 2], input };
        let a = image(&dims, &window, &[0, 4, 5, 7], random);
        let (mut strides, pixels) = shuffled(&dims, |dim| [0, 4, 5].contains(&dim), random);
        strides.iter_mut().for_each(|stride| *stride *= 2);
        let places: Vec<f32> = random.floats(2 * pixels).iter().map(|at| 1.7 * at).collect();
        let op = GridSample {
            outside: Outside::ALL[random.below(2)],
            aligns_corners: random.below(2) == 0,
            input,
            y_offset: 1,
        };
        let out = output(&dims, |dim| dim != 6, random);
        let b = Constant::f32(&places, strides);
        let case = Case::new("grid sample", op, dims, out, [Some(a.clone()), Some(b.clone()), None]);
        let (image, at) = (Values::of(&a), Values::of(&b));
        let target = Values { values: Vec::new(), strides: out.strides };
        let seen = case.run(&small_tiles());
        for index in indices(&dims) {
            let place = at.place(&with(&index, &[(7, 0)]));
            let pixel = |value: f64, extent: u32| {
                let extent = f64::from(extent);
                if op.aligns_corners { (value + 1.0) / 2.0 * (extent - 1.0) } else { ((value + 1.0) * extent - 1.0) / 2.0 }
            };
            let [x, y] = [(0, input[1]), (1, input[0])].map(|(axis, extent)| {
                let at = pixel(at.values[place + axis], extent);
                if op.outside == Outside::Border { at.clamp(0.0, f64::from(extent) - 1.0) } else { at }
            });
            let value = |y: f64, x: f64| {
                let is_inside = y >= 0.0 && x >= 0.0 && y < f64::from(input[0]) && x < f64::from(input[1]);
                if is_inside { image.at(&with(&index, &[(4, y as usize), (5, x as usize)])) } else { 0.0 }
            };
            let (low_y, low_x) = (y.floor(), x.floor());
            let (down, across) = (y - low_y, x - low_x);
            let row = |y: f64| value(y, low_x) * (1.0 - across) + value(y, low_x + 1.0) * across;
            let expected = row(low_y) * (1.0 - down) + row(low_y + 1.0) * down;
            let seen = f64::from(seen[target.place(&index)]);
            prop_assert!((seen - expected).abs() < 1e-4, "{op:?} at {index:?}: {seen}, not {expected}");
        }
    }
}

/// Outputs of other types are rounded to nearest, ties to even, and saturate.
#[test]
fn outputs_of_other_types() {
    let values =
        [0.0f32, 0.5, 1.5, 2.5, -0.5, -1.5, 126.6, 127.5, 1e9, -128.4, -1e9, 65519.0, 1e-7, 3.0e-8, f32::NAN];
    let dims = [1, 1, 1, 1, 1, 1, 1, values.len() as u32];
    let dense = [0, 0, 0, 0, 0, 0, 0, 1];
    let copy = Elementwise { function: Function::Unary(Unary::COPY) };
    for dtype in [Dtype::F16, Dtype::I8] {
        let output = Output { elements: values.len() as u64, dtype, strides: dense };
        let case = Case::new("copy", copy, dims, output, [Some(Constant::f32(&values, dense)), None, None]);
        let file = case.file();
        let mut bench = Bench::new(&file, &BindOptions::default());
        bench.run(0);
        let bytes = bench.output_bytes();
        for (at, &value) in values.iter().enumerate() {
            if dtype == Dtype::I8 {
                let expected =
                    if value.is_nan() { 0 } else { value.round_ties_even().clamp(-128.0, 127.0) as i8 };
                assert_eq!(bytes[at].cast_signed(), expected, "{value}");
            } else {
                let seen = f16::from_bits(u16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]]));
                let expected = f16::from_f32(value);
                assert!(seen.to_bits() == expected.to_bits() || value.is_nan() && seen.is_nan(), "{value}");
            }
        }
    }
}
