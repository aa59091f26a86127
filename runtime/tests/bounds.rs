//! What a small file can ask for is bounded: work without a stop, work in all, memory, and the work of verifying it.
#![allow(clippy::unwrap_used)]

mod common;
use bytemuck::{Zeroable, bytes_of, cast_slice};
use common::{AlignedBytes, QUEUED, disc, every_frame, refresh_hashes, section_mut};
use sonotrace::exec::{self, ExecutorConfig};
use sonotrace::format::function::Unary;
use sonotrace::format::op::{
    Arithmetic, Conv, DepthwiseConv, Gather, MatMul, Normalize, Pool, PoolFunction, Reduce, Reduction,
    Softmax, Statistics, Window,
};
use sonotrace::format::single::{Constant, Output, file_of};
use sonotrace::format::write::assemble;
use sonotrace::format::{
    ConventionsRecord, DIMS, Dtype, FileHeader, GOLDEN_MAX, GoldenRecord, GoldenRole, HEAD_BYTES,
    INDEX_CHECKS_MAX, MEMORY_MAX, Model, ModelError, NO_TENSOR, NameRef, OPERANDS, OperandRecord, Operation,
    ProgramRecord, SELF_TEST_WORK_MAX, SectionKind, TensorLayout, TensorRecord, TensorSpace,
};
use sonotrace::hal::clock::{Clock, ManualClock};
use sonotrace::hal::ring::{
    ALIGN, CommandProducer, CommandRing, EventRing, FrameRing, OverlayRing, Rings, SharedRegion,
};
use sonotrace::session::{self, DropReason, Poll, Ports, Session};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// A constant of one element, which is repeated over all dims.
fn repeated() -> Option<Constant> {
    Some(Constant::f32(&[1.0], [0; DIMS]))
}

fn error_of(
    operation: impl Into<Operation>,
    dims: [u32; DIMS],
    output: Output,
    inputs: &[Option<Constant>],
) -> ModelError {
    let file = file_of(&operation.into(), dims, output, inputs);
    Model::parse(file.bytes()).map(|_| "accepted").unwrap_err()
}

const LONG: u32 = 1 << 25;
const PIECE: &str =
    "its smallest piece takes more than 2^24 elementary operations: one row, window or sum is too large";

#[test]
fn a_piece_that_takes_long_is_refused() {
    let wrong = ModelError::Record { table: "operation", index: 0, problem: PIECE };
    let one = Output::f32(1, [0; DIMS]);
    let row = Output::f32(LONG.into(), [0, 0, 0, 0, 0, 0, 0, 1]);
    let dims = [1, 1, 1, 1, 1, 1, 1, LONG];
    let sum = Reduce { reduction: Reduction::Sum, kept_dims: 7 };
    assert_eq!(error_of(sum, dims, one, &[repeated()]), wrong);
    assert_eq!(error_of(Softmax { kept_dims: 7 }, dims, row, &[repeated()]), wrong);
    let normalize = Normalize {
        statistics: Statistics::MeanVariance,
        kept_dims: 7,
        epsilon: 1e-5,
        activation: Unary::COPY,
    };
    assert_eq!(error_of(normalize, dims, row, &[repeated()]), wrong);
    let window = |kernel: u32, input: u32| Window {
        kernel: [kernel; 2],
        stride: [1; 2],
        dilation: [1; 2],
        pad: [0; 2],
        input: [input; 2],
    };
    let pool = Pool { function: PoolFunction::Max, window: window(4096, 4096) };
    let pixels = [1, 1, 1, 1, 1, 2, 1, 1];
    assert_eq!(error_of(pool, pixels, Output::f32(2, [0, 0, 0, 0, 0, 1, 0, 0]), &[repeated()]), wrong);
    // A kernel may compute all channels of a pixel together.
    let (channels, activation) = (1 << 20, Unary::COPY);
    let depthwise = DepthwiseConv { window: window(8, 8), activation };
    let output = Output::f32(channels.into(), [0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(
        error_of(depthwise, [1, 1, 1, 1, 1, 1, channels, 1], output, &[repeated(), repeated()]),
        wrong
    );
    let product = MatMul { activation, arithmetic: Arithmetic::Float };
    let deep = [1, 1, 1, 1, 1, 1, 1, (1 << 20) + 1];
    assert_eq!(error_of(product, deep, one, &[repeated(), repeated()]), wrong);
    // Half of it is not: such sums exist.
    let half = file_of(&sum.into(), [1, 1, 1, 1, 1, 1, 1, LONG / 2], one, &[repeated()]);
    Model::parse(half.bytes()).unwrap();
}

#[test]
fn a_program_that_takes_long_is_refused() {
    // 2^20 pixels of 16 channels from 2048 with kernels of 8 x 8: 2^41 multiply-accumulates.
    let window = Window { kernel: [8; 2], stride: [1; 2], dilation: [1; 2], pad: [0; 2], input: [1031; 2] };
    let conv = Conv { window, activation: Unary::COPY, arithmetic: Arithmetic::Float };
    let dims = [1, 1, 1, 1, 1024, 1024, 16, 2048];
    let output = Output::f32(1 << 24, [0, 0, 0, 0, 1 << 14, 16, 1, 0]);
    let weights = Constant::panels(&vec![0; 2 * 16 * 2048 * 64], Dtype::F16);
    let error = error_of(conv, dims, output, &[repeated(), Some(weights)]);
    let what = "elementary operations of a program";
    assert_eq!(error, ModelError::Limit { what, seen: 1 << 41, limit: 1 << 40 });
}

/// Changes the header of the small model; returns the error of parsing it.
fn header_error(change: impl FnOnce(&mut FileHeader)) -> ModelError {
    let mut file = AlignedBytes::new(disc());
    let header: &mut FileHeader = bytemuck::from_bytes_mut(&mut file.bytes_mut()[..size_of::<FileHeader>()]);
    change(header);
    refresh_hashes(file.bytes_mut());
    Model::parse(file.bytes()).map(|_| "accepted").unwrap_err()
}

#[test]
fn memory_that_no_tensor_needs_is_refused() {
    let is_limit_of = |error: ModelError, name: &str| {
        let ModelError::Limit { what, seen, limit } = error else { panic!("{error}") };
        assert!(what.starts_with(name) && seen == limit + 64, "{error}");
    };
    is_limit_of(header_error(|header| header.scratch_bytes += 64), "scratch in bytes");
    is_limit_of(header_error(|header| header.thread_scratch_bytes += 64), "thread scratch in bytes");
    is_limit_of(header_error(|header| header.banks[0].copy_bytes += 64), "copy of a bank in bytes");
}

#[test]
fn memory_in_all_is_bounded() {
    let config = ExecutorConfig::default();
    // Of an executor and of a session.
    let errors = |change: &dyn Fn(&mut FileHeader)| {
        let mut file = AlignedBytes::new(disc());
        change(bytemuck::from_bytes_mut(&mut file.bytes_mut()[..size_of::<FileHeader>()]));
        refresh_hashes(file.bytes_mut());
        let head = &file.bytes()[..HEAD_BYTES];
        [
            exec::memory_required(head, &config).unwrap_err(),
            session::memory_required(head, &every_frame()).unwrap_err(),
        ]
    };
    for error in errors(&|header| (header.banks[0].copies, header.banks[0].copy_bytes) = (64, 1 << 30)) {
        let is_right = matches!(
            error,
            ModelError::Limit { what: "memory of the model in bytes", limit: MEMORY_MAX, .. }
        );
        assert!(is_right, "{error}");
    }
    for size in [2049, 1 << 31, u32::MAX] {
        let error = ModelError::Limit { what: "input_size in pixels", seen: size.into(), limit: 2048 };
        assert_eq!(errors(&|header| (header.input_size, header.mask_size) = (size, 8)), [error; 2]);
        let what = "mask_size in pixels (input_size)";
        let error = ModelError::Limit { what, seen: size.into(), limit: 32 };
        assert_eq!(errors(&|header| header.mask_size = size), [error; 2]);
    }
}

/// Many operations that read one table: it is checked for each of them.
#[test]
fn checks_of_index_tables_are_bounded() {
    let (entries, ops) = (1u32 << 20, INDEX_CHECKS_MAX as usize / (1 << 20) + 1);
    let name = NameRef { offset: 0, bytes: 2 };
    let none = OperandRecord { tensor: NO_TENSOR, offset: 0, strides: [0; DIMS] };
    let mut operands = [none; OPERANDS];
    let row = [0, 0, 0, 0, 0, 0, 0, 1];
    operands[0] = OperandRecord { tensor: 0, offset: 0, strides: row };
    operands[1] = OperandRecord { tensor: 1, offset: 0, strides: [0; DIMS] };
    operands[2] = OperandRecord { tensor: 2, offset: 0, strides: row };
    let gather: Operation = Gather { axis_stride: 1, axis_length: 1 }.into();
    let op = gather.record([1, 1, 1, 1, 1, 1, 1, entries], operands, name);
    let tensor = |space: TensorSpace, dtype: Dtype, offset: u64, elements: u64| TensorRecord {
        space: space as u32,
        dtype: dtype as u32,
        layout: TensorLayout::Strided as u32,
        offset,
        elements,
        name,
        ..TensorRecord::zeroed()
    };
    let scratch = tensor(TensorSpace::Scratch, Dtype::F32, 0, entries.into());
    let tensors = [
        TensorRecord { last_op: ops as u32 - 1, ..scratch },
        tensor(TensorSpace::Weights, Dtype::F32, 0, 1),
        tensor(TensorSpace::Weights, Dtype::I32, 64, entries.into()),
    ];
    let program = ProgramRecord { name, op_count: ops as u32, ..ProgramRecord::zeroed() };
    let header =
        FileHeader { scratch_bytes: 4 * u64::from(entries), op_count: ops as u32, ..FileHeader::zeroed() };
    let weights = vec![0; 64 + 4 * entries as usize];
    let file = assemble(
        header,
        [
            bytes_of(&program),
            &[],
            cast_slice(&vec![op; ops]),
            cast_slice(&tensors),
            b"op",
            &weights,
            bytes_of(&ConventionsRecord::zeroed()),
            &[],
            &[],
            &[],
            b"{}",
        ],
    );
    let error = Model::parse(AlignedBytes::new(&file).bytes()).map(|_| "accepted").unwrap_err();
    let what = "entries of index tables, over all operations that read them,";
    let seen = INDEX_CHECKS_MAX + u64::from(entries);
    assert_eq!(error, ModelError::Limit { what, seen, limit: INDEX_CHECKS_MAX });
}

#[test]
fn golden_records_are_bounded_and_each_is_there_once() {
    let mut file = AlignedBytes::new(disc());
    let golden: &mut [GoldenRecord] = section_mut(file.bytes_mut(), SectionKind::Golden);
    golden[1] = golden[0];
    refresh_hashes(file.bytes_mut());
    let error = Model::parse(file.bytes()).map(|_| "accepted").unwrap_err();
    let problem = "is not in the order of programs, cases and ports, or there twice";
    assert_eq!(error, ModelError::Record { table: "golden tensor", index: 1, problem });

    let sum: Operation = Reduce { reduction: Reduction::Sum, kept_dims: 7 }.into();
    let file = file_of(&sum, [1; DIMS], Output::f32(1, [0; DIMS]), &[repeated()]);
    let record =
        |case| GoldenRecord { role: GoldenRole::Output as u32, case, elements: 1, ..GoldenRecord::zeroed() };
    let with = |count: u32| {
        let records: Vec<GoldenRecord> = (0..count).map(record).collect();
        common::with_sections(file.bytes(), |kind| match kind {
            SectionKind::Golden => Some(cast_slice(&records)),
            SectionKind::GoldenData => Some(&[0, 0]),
            _ => None,
        })
    };
    Model::parse(with(GOLDEN_MAX).bytes()).unwrap();
    let error = Model::parse(with(GOLDEN_MAX + 1).bytes()).map(|_| "accepted").unwrap_err();
    let (what, limit) = ("number of golden tensors", GOLDEN_MAX.into());
    assert_eq!(error, ModelError::Limit { what, seen: limit + 1, limit });
}

/// Golden cases that each take a while: opening a model runs them all.
#[test]
fn the_self_test_is_bounded() {
    // 2^32 elements in sums of 2^22: half of the limit has 512 cases of it.
    let dims = [1, 1, 1, 1, 1, 1, 1 << 10, 1 << 22];
    let sum: Operation = Reduce { reduction: Reduction::Sum, kept_dims: 7 }.into();
    let file = file_of(&sum, dims, Output::f32(1 << 10, [0, 0, 0, 0, 0, 0, 1, 0]), &[repeated()]);
    let with = |count: u64| {
        let record = |case| GoldenRecord {
            role: GoldenRole::Output as u32,
            case: case as u32,
            elements: 1 << 10,
            ..GoldenRecord::zeroed()
        };
        let records: Vec<GoldenRecord> = (0..count).map(record).collect();
        common::with_sections(file.bytes(), |kind| match kind {
            SectionKind::Golden => Some(cast_slice(&records)),
            SectionKind::GoldenData => Some(&[0; 2 << 10]),
            _ => None,
        })
    };
    let allowed = SELF_TEST_WORK_MAX >> 32;
    Model::parse(with(allowed).bytes()).unwrap();
    let error = Model::parse(with(allowed + 1).bytes()).map(|_| "accepted").unwrap_err();
    let what = "elementary operations of the self-test";
    let seen = SELF_TEST_WORK_MAX + (1 << 32);
    assert_eq!(error, ModelError::Limit { what, seen, limit: SELF_TEST_WORK_MAX });
}

/// A clock that sends a command whenever it is read: a device that sends commands faster than they are taken.
struct Flooding<'m> {
    commands: RefCell<CommandProducer<'m>>,
    sent: Cell<u32>,
}

impl Clock for &Flooding<'_> {
    fn now_ns(&self) -> u64 {
        let sent = self.sent.get() + 1;
        self.sent.set(sent);
        let mut commands = self.commands.borrow_mut();
        let _ = commands.set_frozen(sent.is_multiple_of(2));
        sent.into()
    }
}

/// A poll takes the commands that were there when it began, whatever comes meanwhile.
#[test]
fn commands_of_a_poll_are_bounded() {
    let config = every_frame();
    let mut regions = QUEUED.region_bytes().unwrap().map(AlignedBytes::zeroed);
    let rings = Rings::create(regions.each_mut().map(AlignedBytes::bytes_mut), &QUEUED).unwrap();
    let clock = Flooding { commands: RefCell::new(rings.commands.producer().unwrap()), sent: Cell::new(0) };
    let mut memory = AlignedBytes::zeroed(session::memory_required(disc(), &config).unwrap().bytes);
    let ports = Ports::of(&rings).unwrap();
    let mut session = Session::open(common::disc_model(), config, memory.bytes_mut(), ports, &clock).unwrap();
    for _ in 0..100 {
        let before = clock.sent.get();
        assert_eq!(session.poll(), Poll::Idle);
        // Each command that freezes or resumes reads the clock once, for its event.
        let read = clock.sent.get() - before;
        assert!(read <= QUEUED.commands + 8, "the clock was read {read} times");
    }
}

/// The end of a scan counts the frames that are queued. A foreign write has moved the ring's position far off: no more are counted
/// than a ring holds.
#[test]
fn frames_counted_at_the_end_are_bounded() {
    /// Word of the control block with the position of the next frame that is taken: after the header, the producer's and the
    /// consumer's words.
    const READ_POSITION: usize = 3 * ALIGN / 4;
    let config = every_frame();
    let [mut frames, mut overlays, mut commands, mut events] =
        QUEUED.region_bytes().unwrap().map(AlignedBytes::zeroed);
    let region = NonNull::from(frames.bytes_mut());
    // SAFETY: initialised memory that outlives the ring, and is used only through it and the pointer below.
    let shared = unsafe { SharedRegion::from_raw(region) };
    let rings = Rings {
        frames: FrameRing::create_shared(shared, QUEUED.frames, QUEUED.payload_bytes).unwrap(),
        overlays: OverlayRing::create(overlays.bytes_mut(), QUEUED.overlays).unwrap(),
        commands: CommandRing::create(commands.bytes_mut(), QUEUED.commands).unwrap(),
        events: EventRing::create(events.bytes_mut(), QUEUED.events).unwrap(),
    };
    let mut memory = AlignedBytes::zeroed(session::memory_required(disc(), &config).unwrap().bytes);
    let (ports, clock) = (Ports::of(&rings).unwrap(), ManualClock::new(0));
    let session = Session::open(common::disc_model(), config, memory.bytes_mut(), ports, &clock).unwrap();
    // SAFETY: inside the region.
    let place = unsafe { region.cast::<u32>().add(READ_POSITION) };
    // SAFETY: aligned, inside the region, and accessed as an atomic by the ring too.
    let position = unsafe { AtomicU32::from_ptr(place.as_ptr()) };
    position.fetch_sub(1 << 30, Ordering::Relaxed);
    let counted = session.finish().dropped(DropReason::ShutDown);
    assert!(counted <= QUEUED.frames.into(), "{counted} frames of a ring that holds {}", QUEUED.frames);
}
