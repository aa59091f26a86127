//! Tiles may run in any order, on any thread, and be stopped between: the bits of the result are the same.
#![allow(clippy::unwrap_used)]

mod common;
use bytemuck::Zeroable;
use common::{AlignedBytes, Chance, disc, disc_model};
use core::ptr::NonNull;
use sonotrace::exec::{Executor, Job, Progress, memory_required};
use sonotrace::kernels::{Input, Op, Output, gemm_tile_count, run_tile, thread_scratch_elements};
use sonotrace::model::format::{DIMS, OpKind, OpRecord, PANEL, conv, grid, map, norm};

/// An operation by hand: its record, its inputs, and how many floats it writes.
struct Case {
    name: &'static str,
    record: OpRecord,
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    b_is_panels: bool,
    out_elements: usize,
}

impl Case {
    /// The operation with its output over `out`.
    fn op<'a>(&'a self, out: &'a mut [f32]) -> Op<'a> {
        let plain = |values: &'a [f32]| if values.is_empty() { Input::Missing } else { Input::F32(values) };
        let b = if self.b_is_panels { Input::PanelsF32(&self.b) } else { plain(&self.b) };
        let inputs = [plain(&self.a), b, plain(&self.c), Input::Missing];
        let elements = out.len();
        // SAFETY: the slice is borrowed for 'a and read only when the job is done; the operation's strides put no two
        // indices on one element, so no two tiles write the same.
        let output = unsafe { Output::new(NonNull::from(out).cast(), elements) };
        Op { record: &self.record, output, inputs }
    }

    fn scratch(&self) -> Vec<f32> {
        vec![f32::NAN; thread_scratch_elements(&self.record) as usize]
    }

    /// The output before the first tile: what no tile writes stays NaN.
    fn blank(&self) -> Vec<f32> {
        vec![f32::NAN; self.out_elements]
    }

    /// The result of one thread, tile after tile.
    fn expected(&self) -> Vec<u32> {
        let mut out = self.blank();
        let op = self.op(&mut out);
        let job = Job::new(op, 0);
        job.work(&mut self.scratch(), &mut || true);
        assert!(job.is_done());
        assert!(out.iter().all(|value| !value.is_nan()), "{}: the tiles leave elements out", self.name);
        bits(&out)
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn record(kind: OpKind, function: u32, dims: [u32; DIMS], strides: &[[u32; DIMS]]) -> OpRecord {
    let mut record = OpRecord { kind: kind as u32, function, dims, ..OpRecord::zeroed() };
    for (operand, &strides) in record.operands.iter_mut().zip(strides) {
        operand.strides = strides;
    }
    record
}

/// Three products of 70 x 33 by 33 x 50, both strided, with bias and GELU.
fn matmul() -> Case {
    let (batch, m, n, k) = (3, 70, 50, 33);
    let strides = [
        [0, 0, 0, 0, m * n, n, 1, 0],
        [0, 0, 0, 0, m * k, k, 0, 1],
        [0, 0, 0, 0, k * n, 0, 1, n],
        [0, 0, 0, 0, 0, 0, 1, 0],
    ];
    let mut record = record(OpKind::MatMul, map::GELU, [1, 1, 1, 1, batch, m, n, k], &strides);
    (record.params[0], record.params[1]) = (8, 16);
    record.tiles = gemm_tile_count(&record).unwrap();
    let mut chance = Chance(1);
    Case {
        name: "matmul",
        record,
        a: chance.floats((batch * m * k) as usize),
        b: chance.floats((batch * k * n) as usize),
        c: chance.floats(n as usize),
        b_is_panels: false,
        out_elements: (batch * m * n) as usize,
    }
}

/// Two images of 5 channels, 3 x 3 kernels, stride 2, one row and column of padding, weights in panels.
fn convolution() -> Case {
    let (batch, out_h, out_w, out_c, in_c, in_h, in_w) = (2, 9, 11, 20, 5, 17, 21);
    let strides = [
        [out_c * out_h * out_w, 0, 0, 0, out_w, 1, out_h * out_w, 0],
        [in_c * in_h * in_w, 0, 0, 0, in_w, 1, 0, in_h * in_w],
        [0; DIMS],
        [0, 0, 0, 0, 0, 0, 1, 0],
    ];
    let dims = [batch, 1, 1, 1, out_h, out_w, out_c, in_c];
    let mut record = record(OpKind::Conv, map::RELU, dims, &strides);
    let p = &mut record.params;
    (p[conv::TILE_M], p[conv::TILE_N]) = (12, 16);
    (p[conv::KERNEL_H], p[conv::KERNEL_W], p[conv::STRIDE_Y], p[conv::STRIDE_X]) = (3, 3, 2, 2);
    (p[conv::DILATION_Y], p[conv::DILATION_X], p[conv::IN_H], p[conv::IN_W]) = (1, 1, in_h, in_w);
    (p[conv::PAD_TOP], p[conv::PAD_LEFT]) = (1, 1);
    record.tiles = gemm_tile_count(&record).unwrap();
    let mut chance = Chance(2);
    let panels = (out_c as usize).div_ceil(PANEL) * PANEL;
    Case {
        name: "convolution",
        record,
        a: chance.floats((batch * in_c * in_h * in_w) as usize),
        b: chance.floats(panels * (in_c * 9) as usize),
        c: chance.floats(out_c as usize),
        b_is_panels: true,
        out_elements: (batch * out_c * out_h * out_w) as usize,
    }
}

/// `a * b + c`: `a` transposed, `b` repeated over rows, `c` plain.
fn element_wise() -> Case {
    let (planes, rows, columns) = (6, 35, 70);
    let strides = [
        [0, 0, 0, 0, 0, rows * columns, columns, 1],
        [0, 0, 0, 0, 0, rows * columns, 1, rows],
        [0, 0, 0, 0, 0, columns, 0, 1],
        [0, 0, 0, 0, 0, rows * columns, columns, 1],
    ];
    let dims = [1, 1, 1, 1, 1, planes, rows, columns];
    let mut record = record(OpKind::Map, map::MUL_ADD, dims, &strides);
    record.tiles = 13;
    let mut chance = Chance(3);
    let elements = (planes * rows * columns) as usize;
    Case {
        name: "element-wise",
        record,
        a: chance.floats(elements),
        b: chance.floats((planes * columns) as usize),
        c: chance.floats(elements),
        b_is_panels: false,
        out_elements: elements,
    }
}

/// Rows of 77 elements.
fn rows_of(kind: OpKind, function: u32) -> Case {
    let (planes, rows, columns) = (4, 25, 77);
    let dense = [0, 0, 0, 0, 0, rows * columns, columns, 1];
    let mut record = record(kind, function, [1, 1, 1, 1, 1, planes, rows, columns], &[dense, dense]);
    (record.kept_dims, record.tiles) = (7, 9);
    record.floats[0] = 1e-5;
    let elements = (planes * rows * columns) as usize;
    Case {
        name: if kind == OpKind::Softmax { "softmax" } else { "normalize" },
        record,
        a: Chance(4).floats(elements),
        b: Vec::new(),
        c: Vec::new(),
        b_is_panels: false,
        out_elements: elements,
    }
}

/// Two images of 20 channels, sampled at 13 x 11 places, some of them outside, all of them numbers.
fn sampling() -> Case {
    let (batch, out_h, out_w, channels, in_h, in_w) = (2, 13, 11, 20, 6, 9);
    let strides = [
        [channels * out_h * out_w, 0, 0, 0, out_w, 1, 0, out_h * out_w],
        [channels * in_h * in_w, 0, 0, 0, in_w, 1, 0, in_h * in_w],
        [2 * out_h * out_w, 0, 0, 0, 2 * out_w, 2, 0, 0],
    ];
    let mut record =
        record(OpKind::GridSample, grid::BORDER, [batch, 1, 1, 1, out_h, out_w, 1, channels], &strides);
    (record.params[conv::IN_H], record.params[conv::IN_W], record.params[grid::Y_STRIDE]) = (in_h, in_w, 1);
    (record.floats, record.tiles) = ([4.5, 4.0, 3.0, 2.5], 10);
    let mut chance = Chance(5);
    Case {
        name: "sampling",
        record,
        a: chance.floats((batch * channels * in_h * in_w) as usize),
        b: chance.floats((2 * batch * out_h * out_w) as usize).iter().map(|at| 1.5 * at).collect(),
        c: Vec::new(),
        b_is_panels: false,
        out_elements: (batch * channels * out_h * out_w) as usize,
    }
}

fn cases() -> [Case; 6] {
    let normalize = rows_of(OpKind::Normalize, norm::MEAN_VARIANCE);
    [matmul(), convolution(), element_wise(), rows_of(OpKind::Softmax, 0), normalize, sampling()]
}

/// A network that went wrong may ask for any place; what it gets lies inside the image, or is no number.
#[test]
fn no_place_is_outside_the_image() {
    for function in [grid::BORDER, grid::ZEROS] {
        for wild in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e9, -1e9] {
            let mut case = sampling();
            case.record.function = function;
            // Two places inside; then the x of one and the y of the other are none.
            (case.b[6], case.b[7], case.b[12], case.b[13]) = (0.1, 0.2, -0.3, 0.4);
            let tame = case.expected();
            (case.b[6], case.b[13]) = (wild, wild);
            let mut out = case.blank();
            let job = Job::new(case.op(&mut out), 0);
            job.work(&mut case.scratch(), &mut || true);
            let changed: Vec<usize> =
                (0..out.len()).filter(|&at| out[at].to_bits() != tame[at]).map(|at| at % 143).collect();
            assert!(!changed.is_empty() && changed.iter().all(|at| [3, 6].contains(at)), "{function} {wild}");
            let reach = case.a.iter().fold(0.0f32, |reach, value| reach.max(value.abs()));
            assert!(
                out.iter().all(|value| value.is_nan() || value.abs() <= 1.0001 * reach),
                "{function} {wild}"
            );
            let expected_nan = if wild.is_nan() { 40 } else { 0 };
            assert_eq!(out.iter().filter(|value| value.is_nan()).count(), expected_nan, "{function} {wild}");
        }
    }
}

#[test]
fn several_threads_give_the_bits_of_one() {
    for case in cases() {
        let expected = case.expected();
        assert!(case.record.tiles > 8, "{}: too few tiles to share", case.name);
        for threads in [2, 3, 5] {
            let mut out = case.blank();
            let job = Job::new(case.op(&mut out), 0);
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    let (job, case) = (&job, &case);
                    scope.spawn(move || {
                        let mut asked = thread;
                        // Some threads are late now and then, so that tiles change hands.
                        let mut go_on = || {
                            asked += 1;
                            if asked % 3 == 0 {
                                std::thread::yield_now();
                            }
                            true
                        };
                        job.work(&mut case.scratch(), &mut go_on);
                    });
                }
            });
            assert!(job.is_done());
            assert_eq!(job.claimed(), case.record.tiles);
            assert_eq!(bits(&out), expected, "{}, {threads} threads", case.name);
        }
    }
}

/// Who comes last sees the job done, without any other meeting point: done means that the results are visible.
#[test]
fn a_job_that_is_done_shows_its_results() {
    let case = matmul();
    let expected = case.expected();
    for _ in 0..20 {
        let mut out = case.blank();
        let job = Job::new(case.op(&mut out), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| job.work(&mut case.scratch(), &mut || true));
            job.work(&mut case.scratch(), &mut || true);
            while !job.is_done() {
                std::thread::yield_now();
            }
        });
        assert_eq!(bits(&out), expected);
    }
}

#[test]
fn any_order_of_tiles_gives_the_same_bits() {
    for case in cases() {
        let expected = case.expected();
        for seed in 0..5 {
            let mut order: Vec<u32> = (0..case.record.tiles).rev().collect();
            let mut chance = Chance(seed);
            if seed > 0 {
                (1..order.len()).rev().for_each(|at| order.swap(at, chance.below(at + 1)));
            }
            let mut out = case.blank();
            let op = case.op(&mut out);
            for tile in order {
                run_tile(&op, tile, &mut case.scratch());
            }
            assert_eq!(bits(&out), expected, "{}, order {seed}", case.name);
        }
    }
}

/// Each tile writes elements that no other writes, and all together write all.
#[test]
fn tiles_share_no_element() {
    for case in cases() {
        let mut writers = vec![0; case.out_elements];
        for tile in 0..case.record.tiles {
            let mut out = case.blank();
            run_tile(&case.op(&mut out), tile, &mut case.scratch());
            writers.iter_mut().zip(&out).for_each(|(count, value)| *count += u32::from(!value.is_nan()));
        }
        assert!(writers.iter().all(|&count| count == 1), "{}", case.name);
    }
}

/// Into how many tiles the work was cut does not show.
#[test]
fn the_number_of_tiles_does_not_show() {
    for mut case in cases() {
        let expected = case.expected();
        if matches!(case.name, "matmul" | "convolution") {
            // A product is cut by tile sizes; every sum is one tile's alone.
            (case.record.params[0], case.record.params[1]) = (64, 64);
            case.record.tiles = gemm_tile_count(&case.record).unwrap();
        } else {
            case.record.tiles = 1;
        }
        assert_eq!(case.expected(), expected, "{}", case.name);
    }
}

/// A job stopped after any number of tiles is gone on with by another job over the rest.
#[test]
fn a_stopped_job_is_gone_on_with() {
    for case in cases() {
        let expected = case.expected();
        for stop in [0, 1, case.record.tiles / 2, case.record.tiles] {
            let mut out = case.blank();
            let op = case.op(&mut out);
            let (record, output, inputs) = (op.record, op.output, op.inputs);
            let first = Job::new(op, 0);
            let mut left = stop;
            first.work(&mut case.scratch(), &mut || {
                left = left.wrapping_sub(1);
                left != u32::MAX
            });
            assert_eq!(first.claimed(), stop);
            assert_eq!(first.is_done(), stop == case.record.tiles);
            let rest = Job::new(Op { record, output, inputs }, first.claimed());
            rest.work(&mut case.scratch(), &mut || true);
            assert!(rest.is_done());
            assert_eq!(bits(&out), expected, "{} stopped after {stop}", case.name);
        }
    }
}

/// Fills every input of a program with numbers of its own.
fn fill_inputs(executor: &mut Executor<'_>, program: usize, copy: u32) {
    let count = executor.model().programs()[program].input_count as usize;
    for port in 0..count {
        let input = executor.input_mut(program, port, copy);
        let values = Chance(100 * program as u64 + port as u64).floats(input.len());
        input.copy_from_slice(&values);
    }
}

fn outputs(executor: &Executor<'_>, program: usize, copy: u32) -> Vec<Vec<u32>> {
    let count = executor.model().programs()[program].output_count as usize;
    (0..count).map(|port| bits(executor.output(program, port, copy))).collect()
}

#[test]
fn a_run_stopped_after_every_tile_ends_with_the_same_bits() {
    let bytes = memory_required(disc(), 2).unwrap().bytes;
    let (mut whole_memory, mut sliced_memory) = (AlignedBytes::zeroed(bytes), AlignedBytes::zeroed(bytes));
    let mut whole = Executor::new(disc_model(), 2, whole_memory.bytes_mut()).unwrap();
    let mut sliced = Executor::new(disc_model(), 2, sliced_memory.bytes_mut()).unwrap();
    for program in 0..disc_model().programs().len() {
        for copy in 0..2 {
            fill_inputs(&mut whole, program, copy);
            whole.run_to_end(program, copy);
            fill_inputs(&mut sliced, program, copy);
            let mut run = sliced.begin(program, copy);
            let mut slices = 0;
            loop {
                let mut is_first = true;
                let progress = sliced.advance(&mut run, &mut || std::mem::take(&mut is_first));
                slices += 1;
                if progress == Progress::Done {
                    break;
                }
            }
            let ops = disc_model().program_ops(&disc_model().programs()[program]);
            let tiles: u32 = ops.iter().map(|op| op.tiles).sum();
            assert!(slices >= tiles, "{slices} slices for {tiles} tiles");
            assert_eq!(outputs(&sliced, program, copy), outputs(&whole, program, copy));
        }
    }
}

/// A run that was given up leaves nothing behind that a later one sees.
#[test]
fn a_run_that_was_given_up_does_not_show() {
    let bytes = memory_required(disc(), 1).unwrap().bytes;
    let mut memory = AlignedBytes::zeroed(bytes);
    let mut executor = Executor::new(disc_model(), 1, memory.bytes_mut()).unwrap();
    let encoder = executor.program("encoder").unwrap();
    fill_inputs(&mut executor, encoder, 0);
    executor.run_to_end(encoder, 0);
    let expected = outputs(&executor, encoder, 0);
    for tiles in 0..12 {
        fill_inputs(&mut executor, encoder, 0);
        let mut run = executor.begin(encoder, 0);
        let mut left = tiles;
        let progress = executor.advance(&mut run, &mut || {
            left -= 1;
            left >= 0
        });
        assert_eq!(progress, Progress::Paused);
        fill_inputs(&mut executor, encoder, 0);
        executor.run_to_end(encoder, 0);
        assert_eq!(outputs(&executor, encoder, 0), expected);
    }
}
