//! Hand-written operations, each in its own model file, and memory to run their tiles.
// Each test file uses a part of this; a panic here fails the test.
#![allow(dead_code, clippy::unwrap_used)]

use core::ptr::NonNull;
use half::bf16;
use sonotrace_format::function::{Function, TernaryFunction, Unary, UnaryFunction};
use sonotrace_format::op::{
    Arithmetic, Conv, Elementwise, GridSample, MatMul, Normalize, Outside, Softmax, Statistics, Window,
};
use sonotrace_format::single::{Constant, Output, file_of};
use sonotrace_format::{AlignedBytes, DIMS, Dtype, Model, Operation};
use sonotrace_kernels::{BindOptions, BoundOp, Spaces};

/// Pseudo-random numbers: SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.word() % limit as u64) as usize
    }

    /// Returns floats from -1 to 1.
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.word() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }
}

/// An operation over constants.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: &'static str,
    pub operation: Operation,
    pub dims: [u32; DIMS],
    pub output: Output,
    pub inputs: Vec<Option<Constant>>,
}

impl Case {
    pub fn new(
        name: &'static str,
        operation: impl Into<Operation>,
        dims: [u32; DIMS],
        output: Output,
        inputs: impl Into<Vec<Option<Constant>>>,
    ) -> Self {
        Self { name, operation: operation.into(), dims, output, inputs: inputs.into() }
    }

    /// Returns the model file of the operation, which the verifier accepts.
    pub fn file(&self) -> AlignedBytes {
        let file = file_of(&self.operation, self.dims, self.output, &self.inputs);
        if let Err(error) = Model::parse(file.bytes()) {
            panic!("{}: {error}", self.name);
        }
        file
    }

    /// Runs the tiles in order and returns the f32 output.
    pub fn run(&self, options: &BindOptions) -> Vec<f32> {
        let file = self.file();
        let mut bench = Bench::new(&file, options);
        for tile in 0..bench.op.tiles() {
            bench.run(tile);
        }
        bench.output().to_vec()
    }
}

/// A bound operation with its own memory.
pub struct Bench<'f> {
    pub op: BoundOp,
    pub spaces: Spaces,
    memory: AlignedBytes,
    scratch: AlignedBytes,
    file: &'f AlignedBytes,
}

impl<'f> Bench<'f> {
    pub fn new(file: &'f AlignedBytes, options: &BindOptions) -> Self {
        let model = Model::parse(file.bytes()).unwrap();
        let header = model.header();
        let mut memory = AlignedBytes::zeroed(header.scratch_bytes as usize);
        // Elements that no tile writes stay NaN.
        bytemuck::cast_slice_mut::<u8, f32>(memory.bytes_mut()).fill(f32::NAN);
        let spaces = Spaces::new(NonNull::from(memory.bytes_mut()).cast(), model.weights());
        let scratch = AlignedBytes::zeroed(header.thread_scratch_bytes as usize);
        Self { op: BoundOp::bind(&model, &model.ops()[0], options).unwrap(), spaces, memory, scratch, file }
    }

    /// Runs a tile on this thread.
    pub fn run(&mut self, tile: u32) {
        let mut scratch = self.scratch();
        // SAFETY: the spaces and the scratch belong to this bench, and nothing else runs its tiles.
        unsafe { self.op.run(&self.spaces, tile, scratch.bytes_mut()) };
    }

    /// Returns scratch for a thread, filled with arbitrary bytes, as another operation may leave them.
    pub fn scratch(&self) -> AlignedBytes {
        let mut scratch = self.scratch.clone();
        scratch.bytes_mut().fill(0xff);
        scratch
    }

    /// Returns the elements of an f32 output.
    pub fn output(&self) -> &[f32] {
        let elements = Model::parse(self.file.bytes()).unwrap().tensors()[0].elements as usize;
        &bytemuck::cast_slice(self.memory.bytes())[..elements]
    }

    /// Returns the bytes of the output, including the padding of its last line.
    pub fn output_bytes(&self) -> &[u8] {
        self.memory.bytes()
    }
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Packs weights into f32 panels: `[ceil(n / 16)][k][16]`.
pub fn pack_f32(n: usize, k: usize, at: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut panels = vec![0.0; n.div_ceil(16) * k * 16];
    for (panel, values) in panels.chunks_exact_mut(k * 16).enumerate() {
        for (at_k, values) in values.chunks_exact_mut(16).enumerate() {
            for (lane, value) in values.iter_mut().enumerate().take(n.saturating_sub(panel * 16)) {
                *value = at(panel * 16 + lane, at_k);
            }
        }
    }
    panels
}

/// Packs weights into bf16 panels: `[ceil(n / 16)][ceil(k / 2)][16][2]`.
pub fn pack_bf16(n: usize, k: usize, at: impl Fn(usize, usize) -> f32) -> Vec<bf16> {
    let weight = |channel: usize, k_at: usize| if channel < n && k_at < k { at(channel, k_at) } else { 0.0 };
    let mut panels = Vec::new();
    for panel in 0..n.div_ceil(16) {
        for pair in 0..k.div_ceil(2) {
            let elements = (0..32).map(|lane| weight(panel * 16 + lane / 2, pair * 2 + lane % 2));
            panels.extend(elements.map(bf16::from_f32));
        }
    }
    panels
}

/// Packs weights into i8 panels: scales, sums, `[ceil(n / 16)][ceil(k / 4)][16][4]`.
pub fn pack_i8(n: usize, k: usize, scales: &[f32], at: impl Fn(usize, usize) -> i8) -> Vec<u8> {
    let channels = n.div_ceil(16) * 16;
    let weight = |channel: usize, k_at: usize| if channel < n && k_at < k { at(channel, k_at) } else { 0 };
    let mut bytes = Vec::new();
    for channel in 0..channels {
        bytes.extend(scales.get(channel).copied().unwrap_or(0.0).to_le_bytes());
    }
    for channel in 0..channels {
        bytes.extend((0..k).map(|at| i32::from(weight(channel, at))).sum::<i32>().to_le_bytes());
    }
    for panel in 0..channels / 16 {
        for group in 0..k.div_ceil(4) {
            for lane in 0..64 {
                bytes.push(weight(panel * 16 + lane / 4, group * 4 + lane % 4).cast_unsigned());
            }
        }
    }
    bytes
}

/// Returns three products of 70 x 33 by 33 x 50, both strided, with bias and GELU.
pub fn matmul() -> Case {
    let (batch, m, n, k) = (3, 70, 50, 33);
    let mut random = Random(1);
    let gelu = Unary::plain(UnaryFunction::Gelu);
    Case::new(
        "matmul",
        MatMul { activation: gelu, arithmetic: Arithmetic::Float },
        [1, 1, 1, 1, batch, m, n, k],
        Output::f32((batch * m * n).into(), [0, 0, 0, 0, m * n, n, 1, 0]),
        [
            Some(Constant::f32(&random.floats((batch * m * k) as usize), [0, 0, 0, 0, m * k, k, 0, 1])),
            Some(Constant::f32(&random.floats((batch * k * n) as usize), [0, 0, 0, 0, k * n, 0, 1, n])),
            Some(Constant::f32(&random.floats(n as usize), [0, 0, 0, 0, 0, 0, 1, 0])),
        ],
    )
}

/// Returns a product in int8 of 70 x 77 by 77 x 50, with bias and GELU.
pub fn int8_matmul() -> Case {
    let (m, n, k) = (70, 50, 77);
    let mut random = Random(6);
    let weights = random.floats((n * k) as usize);
    let scales: Vec<f32> = (0..n).map(|channel| 0.01 + 0.001 * channel as f32).collect();
    let panels = pack_i8(n as usize, k as usize, &scales, |channel, at| {
        (weights[channel * k as usize + at] * 127.0) as i8
    });
    Case::new(
        "int8 matmul",
        MatMul { activation: Unary::plain(UnaryFunction::Gelu), arithmetic: Arithmetic::Int8 },
        [1, 1, 1, 1, 1, m, n, k],
        Output::f32((m * n).into(), [0, 0, 0, 0, 0, n, 1, 0]),
        [
            Some(Constant::f32(&random.floats((m * k) as usize), [0, 0, 0, 0, 0, k, 0, 1])),
            Some(Constant::panels(&panels, Dtype::I8)),
            Some(Constant::f32(&random.floats(n as usize), [0, 0, 0, 0, 0, 0, 1, 0])),
        ],
    )
}

/// Returns a product in bf16 of `m` x `k` by `k` x `n`, with bias.
pub fn bf16_matmul(m: usize, n: usize, k: usize) -> Case {
    let mut random = Random((m * n * k) as u64);
    let (rows, weights, bias) = (random.floats(m * k), random.floats(n * k), random.floats(n));
    let panels = pack_bf16(n, k, |channel, at| weights[channel * k + at]);
    let [m, n, k] = [m, n, k].map(|extent| extent as u32);
    Case::new(
        "bf16 matmul",
        MatMul { activation: Unary::COPY, arithmetic: Arithmetic::Bf16 },
        [1, 1, 1, 1, 1, m, n, k],
        Output::f32((m * n).into(), [0, 0, 0, 0, 0, n, 1, 0]),
        [
            Some(Constant::f32(&rows, [0, 0, 0, 0, 0, k, 0, 1])),
            Some(Constant::panels(bytemuck::cast_slice(&panels), Dtype::Bf16)),
            Some(Constant::f32(&bias, [0, 0, 0, 0, 0, 0, 1, 0])),
        ],
    )
}

/// Returns a product in int8 of `m` x `k` by `k` x `n` in which most integers have the largest magnitude.
pub fn int8_extremes(m: usize, n: usize, k: usize) -> Case {
    let mut random = Random((m * n * k) as u64);
    let rows: Vec<f32> = (0..m * k).map(|_| [1.0, 1.0, -1.0, 0.3][random.below(4)]).collect();
    let weights: Vec<i8> = (0..n * k).map(|_| [-128, -128, 127, 5][random.below(4)]).collect();
    let panels = pack_i8(n, k, &vec![1.0; n], |channel, at| weights[channel * k + at]);
    let [m, n, k] = [m, n, k].map(|extent| extent as u32);
    Case::new(
        "int8 extremes",
        MatMul { activation: Unary::COPY, arithmetic: Arithmetic::Int8 },
        [1, 1, 1, 1, 1, m, n, k],
        Output::f32((m * n).into(), [0, 0, 0, 0, 0, n, 1, 0]),
        [
            Some(Constant::f32(&rows, [0, 0, 0, 0, 0, k, 0, 1])),
            Some(Constant::panels(&panels, Dtype::I8)),
            None,
        ],
    )
}

/// Extents of products around the sizes of blocks: rows, columns, depth.
pub const BLOCK_SHAPES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [2, 15, 4],
    [5, 17, 12],
    [7, 33, 63],
    [16, 16, 64],
    [17, 31, 68],
    [32, 32, 128],
    [33, 50, 129],
    [70, 65, 1020],
];

/// Returns three products in int8 of 70 x 33 by 33 x 50, both rounded at run time: columns are adjacent in the second operand.
pub fn dynamic_matmul() -> Case {
    let case = matmul();
    let operation = MatMul { activation: Unary::COPY, arithmetic: Arithmetic::DynamicInt8 };
    Case { name: "dynamic int8 matmul", operation: operation.into(), ..case }
}

/// The same in bf16.
pub fn dynamic_bf16_matmul() -> Case {
    let operation = MatMul { activation: Unary::COPY, arithmetic: Arithmetic::DynamicBf16 };
    Case { name: "dynamic bf16 matmul", operation: operation.into(), ..matmul() }
}

/// Returns the convolution of two images of 5 channels, 3 x 3 kernels, stride 2, one row and column of padding, weights
/// in panels.
pub fn convolution() -> Case {
    let (batch, out_h, out_w, out_c, in_c, in_h, in_w) = (2, 9, 11, 20, 5, 17, 21);
    let window =
        Window { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pad: [1, 1], input: [in_h, in_w] };
    let mut random = Random(2);
    let image = random.floats((batch * in_c * in_h * in_w) as usize);
    let weights = random.floats((out_c * in_c * 9) as usize);
    let panels = pack_f32(out_c as usize, (in_c * 9) as usize, |o, k| weights[o * (in_c * 9) as usize + k]);
    Case::new(
        "convolution",
        Conv { window, activation: Unary::plain(UnaryFunction::Relu), arithmetic: Arithmetic::Float },
        [batch, 1, 1, 1, out_h, out_w, out_c, in_c],
        Output::f32(
            (batch * out_c * out_h * out_w).into(),
            [out_c * out_h * out_w, 0, 0, 0, out_w, 1, out_h * out_w, 0],
        ),
        [
            Some(Constant::f32(&image, [in_c * in_h * in_w, 0, 0, 0, in_w, 1, 0, in_h * in_w])),
            Some(Constant::panels(bytemuck::cast_slice(&panels), Dtype::F32)),
            Some(Constant::f32(&random.floats(out_c as usize), [0, 0, 0, 0, 0, 0, 1, 0])),
        ],
    )
}

/// Returns `a * b + c`: `a` transposed, `b` repeated over rows, `c` plain.
pub fn elementwise() -> Case {
    let (planes, rows, columns) = (6, 35, 70);
    let elements = planes * rows * columns;
    let mut random = Random(3);
    Case::new(
        "element-wise",
        Elementwise { function: Function::Ternary(TernaryFunction::MulAdd) },
        [1, 1, 1, 1, 1, planes, rows, columns],
        Output::f32(elements.into(), [0, 0, 0, 0, 0, rows * columns, columns, 1]),
        [
            Some(Constant::f32(&random.floats(elements as usize), [0, 0, 0, 0, 0, rows * columns, 1, rows])),
            Some(Constant::f32(&random.floats((planes * columns) as usize), [0, 0, 0, 0, 0, columns, 0, 1])),
            Some(Constant::f32(
                &random.floats(elements as usize),
                [0, 0, 0, 0, 0, rows * columns, columns, 1],
            )),
        ],
    )
}

/// Returns an operation over rows of 77 elements: those of a row are adjacent, or (`is_blocked`) those of neighbouring
/// rows.
pub fn rows_of(name: &'static str, operation: impl Into<Operation>, is_blocked: bool) -> Case {
    let (planes, rows, columns) = (4, 25, 77);
    let elements = planes * rows * columns;
    let strides = match is_blocked {
        false => [0, 0, 0, 0, 0, rows * columns, columns, 1],
        true => [0, 0, 0, 0, 0, rows * columns, 1, rows],
    };
    let input = Constant::f32(&Random(4).floats(elements as usize), strides);
    let dims = [1, 1, 1, 1, 1, planes, rows, columns];
    Case::new(name, operation, dims, Output::f32(elements.into(), strides), [Some(input), None, None])
}

/// Returns the sampling of two images of 20 channels at 13 x 11 positions, some of them outside, none NaN.
pub fn sampling(outside: Outside) -> Case {
    let (batch, out_h, out_w, channels, in_h, in_w) = (2, 13, 11, 20, 6, 9);
    let mut random = Random(5);
    let image = random.floats((batch * channels * in_h * in_w) as usize);
    let places: Vec<f32> =
        random.floats((2 * batch * out_h * out_w) as usize).iter().map(|at| 1.5 * at).collect();
    Case::new(
        "sampling",
        GridSample { outside, aligns_corners: false, input: [in_h, in_w], y_offset: 1 },
        [batch, 1, 1, 1, out_h, out_w, 1, channels],
        Output::f32(
            (batch * channels * out_h * out_w).into(),
            [channels * out_h * out_w, 0, 0, 0, out_w, 1, 0, out_h * out_w],
        ),
        [
            Some(Constant::f32(&image, [channels * in_h * in_w, 0, 0, 0, in_w, 1, 0, in_h * in_w])),
            Some(Constant::f32(&places, [2 * out_h * out_w, 0, 0, 0, 2 * out_w, 2, 0, 0])),
            None,
        ],
    )
}

/// Returns a case for each way of splitting work.
pub fn cases() -> [Case; 12] {
    let normalize = Normalize {
        statistics: Statistics::MeanVariance,
        kept_dims: 7,
        epsilon: 1e-5,
        activation: Unary::COPY,
    };
    let softmax = Softmax { kept_dims: 7 };
    [
        matmul(),
        int8_matmul(),
        dynamic_matmul(),
        bf16_matmul(70, 50, 77),
        dynamic_bf16_matmul(),
        convolution(),
        elementwise(),
        rows_of("softmax", softmax, false),
        rows_of("softmax of neighbours", softmax, true),
        rows_of("normalize", normalize, false),
        rows_of("normalize of neighbours", normalize, true),
        sampling(Outside::Border),
    ]
}

/// Returns options that split the cases into about ten tiles.
pub fn small_tiles() -> BindOptions {
    BindOptions { tile_work: 1500, tile_macs: 8000, ..BindOptions::default() }
}
