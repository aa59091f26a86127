//! Tiles may run on any number of threads, with stops between them, and give the same bits. Runs are sliced, resumed
//! and abandoned.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../kernels/tests/common/mod.rs"]
mod kernel_cases;
use common::{AlignedBytes, Random, disc, disc_model};
use kernel_cases::{Bench, Case, bits, cases, matmul, small_tiles};
use sonotrace::exec::{ExecError, Executor, ExecutorConfig, Progress, memory_required};
use sonotrace::format::TensorSpace;
use sonotrace::kernels::claims::Claims;
use sonotrace::realtime::{Pinning, Priority, Scheduling};

fn two_frames() -> ExecutorConfig {
    ExecutorConfig { kept_frames: 2, ..ExecutorConfig::default() }
}

fn expected(case: &Case) -> Vec<u32> {
    bits(&case.run(&small_tiles()))
}

/// Claims and runs tiles until none is left.
fn work(bench: &Bench<'_>, claims: &Claims, scratch: &mut AlignedBytes, mut pause: impl FnMut()) {
    while let Some(left) = claims.claim() {
        // SAFETY: the spaces belong to the bench, nothing else accesses them, and each tile is claimed once.
        unsafe { bench.op.run(&bench.spaces, left, scratch.bytes_mut()) };
        claims.finish();
        pause();
    }
}

#[test]
fn several_threads_give_the_same_bits_as_one() {
    for case in cases() {
        let (expected, file) = (expected(&case), case.file());
        for threads in [2, 3, 5] {
            let bench = Bench::new(&file, &small_tiles());
            let claims = Claims::default();
            claims.open(bench.op.tiles());
            let scratch: Vec<AlignedBytes> = (0..threads).map(|_| bench.scratch()).collect();
            std::thread::scope(|scope| {
                for (thread, mut scratch) in scratch.into_iter().enumerate() {
                    let (bench, claims) = (&bench, &claims);
                    scope.spawn(move || {
                        let mut tiles = thread;
                        // Delay some threads now and then, to vary which thread runs which tile.
                        work(bench, claims, &mut scratch, || {
                            tiles += 1;
                            if tiles % 3 == 0 {
                                std::thread::yield_now();
                            }
                        });
                    });
                }
            });
            assert_eq!((claims.left(), claims.finished()), (0, bench.op.tiles()));
            assert!(bits(bench.output()) == expected, "{}, {threads} threads", case.name);
        }
    }
}

/// A thread that sees all tiles finished also sees their results, without other synchronisation.
#[test]
fn finished_tiles_are_visible() {
    let case = matmul();
    let (expected, file) = (expected(&case), case.file());
    for _ in 0..20 {
        let bench = Bench::new(&file, &small_tiles());
        let claims = Claims::default();
        claims.open(bench.op.tiles());
        let [mut first, mut second] = [bench.scratch(), bench.scratch()];
        std::thread::scope(|scope| {
            scope.spawn(|| work(&bench, &claims, &mut first, || {}));
            work(&bench, &claims, &mut second, || {});
            while claims.finished() < bench.op.tiles() {
                std::thread::yield_now();
            }
        });
        assert!(bits(bench.output()) == expected);
    }
}

fn threads(threads: u32) -> ExecutorConfig {
    ExecutorConfig { threads, ..two_frames() }
}

/// Runs `work` on an executor with helpers, each on its own thread.
fn with_helpers(helpers: u32, scheduling: impl Into<Scheduling>, work: impl FnOnce(&mut Executor<'_>)) {
    let config = threads(1 + helpers);
    let mut memory = AlignedBytes::zeroed(memory_required(disc(), &config).unwrap().bytes);
    let mut executor = Executor::new(disc_model(), config, memory.bytes_mut()).unwrap();
    executor.self_test().unwrap();
    executor.with_helpers(scheduling, |executor, _| {
        assert!(executor.helper().is_none(), "all helpers run");
        work(executor);
    });
}

/// Helpers work, are stopped between slices, sleep, wake, and are left an abandoned run: the bits are those of one thread.
#[test]
fn helpers_give_the_same_bits_as_one_thread() {
    for helpers in [1, 2, 4] {
        let mut memory = memory();
        let mut alone = executor(&mut memory);
        // Four helpers may be more than there are cores: pinned, and of one real-time priority, some share a core.
        let scheduling = match helpers {
            1 => Pinning::CoreEach.into(),
            2 => Scheduling::default(),
            _ => Scheduling { pinning: Pinning::CoreEach, priority: Some(Priority::DEFAULT) },
        };
        with_helpers(helpers, scheduling, |executor| {
            for round in 0..20u32 {
                for program in 0..disc_model().programs().len() {
                    begin(&mut alone, program, round % 2);
                    alone.finish();
                    begin(executor, program, round % 2);
                    if round % 4 == 1 {
                        // Abandoned after a few tiles.
                        let mut left = round;
                        executor.advance(&mut || {
                            left = left.saturating_sub(1);
                            left > 0
                        });
                        begin(executor, program, round % 2);
                    }
                    let mut asked = round;
                    while executor.advance(&mut || {
                        asked += 1;
                        asked % 5 != 0
                    }) == Progress::Paused
                    {
                        if round % 5 == 2 && asked % 10 == 0 {
                            // Longer than helpers look for work before they sleep.
                            std::thread::sleep(std::time::Duration::from_millis(2));
                        }
                    }
                    assert!(outputs(executor, program) == outputs(&alone, program), "{helpers} helpers");
                }
            }
        });
    }
}

/// If the work panics, the helpers return, and the panic is seen.
#[test]
fn a_panic_dismisses_the_helpers() {
    let panicked = std::panic::catch_unwind(|| {
        with_helpers(2, Pinning::CoreEach, |executor| {
            begin(executor, 0, 0);
            executor.finish();
            panic!("as a caller may");
        });
    });
    assert!(panicked.is_err());
}

/// Helpers that never run do not keep the executor from working, and return at once if they run after it is gone.
#[test]
fn helpers_may_be_late() {
    let config = threads(3);
    let mut memory = AlignedBytes::zeroed(memory_required(disc(), &config).unwrap().bytes);
    let mut executor = Executor::new(disc_model(), config, memory.bytes_mut()).unwrap();
    let helpers = [executor.helper().unwrap(), executor.helper().unwrap()];
    begin(&mut executor, 0, 0);
    executor.finish();
    drop(executor);
    for helper in helpers {
        helper.run();
    }
}

fn executor(memory: &mut AlignedBytes) -> Executor<'_> {
    Executor::new(disc_model(), two_frames(), memory.bytes_mut()).unwrap()
}

fn memory() -> AlignedBytes {
    AlignedBytes::zeroed(memory_required(disc(), &two_frames()).unwrap().bytes)
}

/// Begins a run on the features in a copy, and fills each input outside state with different numbers. A program with other state runs
/// on any copies.
fn begin(executor: &mut Executor<'_>, program: usize, slot: u32) {
    let model = *executor.model();
    match model.programs()[program].slots() {
        [_] => executor.begin(program, &[slot]).unwrap(),
        _ => executor.begin_apart(program).unwrap(),
    }
    for (port, record) in model.inputs(&model.programs()[program]).iter().enumerate() {
        if model.tensor_of(record).space() == Some(TensorSpace::State) {
            continue;
        }
        let input = executor.input_mut(port);
        let values = Random(100 * program as u64 + port as u64).floats(input.len());
        input.copy_from_slice(&values);
    }
}

fn outputs(executor: &Executor<'_>, program: usize) -> Vec<Vec<u32>> {
    let count = executor.model().programs()[program].output_count as usize;
    (0..count).map(|port| bits(executor.output(port))).collect()
}

#[test]
fn a_run_stopped_after_every_tile_ends_with_the_same_bits() {
    let (mut whole_memory, mut sliced_memory) = (memory(), memory());
    let (mut whole, mut sliced) = (executor(&mut whole_memory), executor(&mut sliced_memory));
    for program in 0..disc_model().programs().len() {
        for slot in 0..2 {
            begin(&mut whole, program, slot);
            whole.finish();
            begin(&mut sliced, program, slot);
            let mut slices = 0;
            loop {
                let mut is_first = true;
                let progress = sliced.advance(&mut || std::mem::take(&mut is_first));
                slices += 1;
                if progress == Progress::Done {
                    break;
                }
            }
            let tiles: u32 = sliced.ops(program).iter().map(|op| op.tiles()).sum();
            assert!(slices >= tiles, "{slices} slices for {tiles} tiles");
            assert!(outputs(&sliced, program) == outputs(&whole, program));
        }
    }
}

/// An abandoned run does not affect later runs.
#[test]
fn an_abandoned_run_has_no_effect() {
    let mut memory = memory();
    let mut executor = executor(&mut memory);
    let encoder = executor.program("encoder").unwrap();
    begin(&mut executor, encoder, 0);
    executor.finish();
    let expected = outputs(&executor, encoder);
    for tiles in 0..12 {
        begin(&mut executor, encoder, 0);
        let mut left = tiles;
        let progress = executor.advance(&mut || {
            left -= 1;
            left >= 0
        });
        assert_eq!(progress, Progress::Paused);
        begin(&mut executor, encoder, 0);
        executor.finish();
        assert!(outputs(&executor, encoder) == expected);
    }
}

/// A run writes only to the copies in its slots: the copy of an earlier frame does not change, whether the run is
/// finished or abandoned.
#[test]
fn a_run_writes_only_its_own_copy() {
    let mut memory = memory();
    let mut executor = executor(&mut memory);
    let (encoder, decoder) = (executor.program("encoder").unwrap(), executor.program("decoder").unwrap());
    begin(&mut executor, encoder, 0);
    executor.finish();
    begin(&mut executor, decoder, 0);
    executor.finish();
    let expected = outputs(&executor, decoder);
    for tiles in [1, 5, i32::MAX] {
        begin(&mut executor, encoder, 1);
        executor.input_mut(0).fill(0.25);
        let mut left = tiles;
        executor.advance(&mut || {
            left -= 1;
            left >= 0
        });
        begin(&mut executor, decoder, 0);
        executor.finish();
        assert!(outputs(&executor, decoder) == expected, "after {tiles} tiles into the other copy");
    }
    begin(&mut executor, decoder, 1);
    executor.finish();
    assert!(outputs(&executor, decoder) != expected, "the other copy holds another frame");
}

#[test]
fn a_run_needs_copies_that_exist() {
    let mut memory = memory();
    let mut executor = executor(&mut memory);
    assert_eq!(executor.begin(7, &[0]), Err(ExecError::Program { seen: 7, programs: 4 }));
    assert_eq!(executor.begin(0, &[]), Err(ExecError::Slots { seen: 0, needed: 1 }));
    assert_eq!(executor.begin(0, &[3]), Err(ExecError::Copy { slot: 0, seen: 3, copies: 3 }));
    assert_eq!(executor.begin(0, &[1]), Ok(()));
}

/// The self-test leaves state at zero, and does not run after the first run.
#[test]
fn a_self_test_leaves_no_state() {
    let mut memory = memory();
    let mut executor = executor(&mut memory);
    executor.self_test().unwrap();
    let decoder = executor.program("decoder").unwrap();
    let model = *executor.model();
    let embedding = model.inputs(&model.programs()[decoder]).iter();
    let embedding = embedding.into_iter().position(|port| model.name(port.name) == "embedding").unwrap();
    for slot in 0..2 {
        executor.begin(decoder, &[slot]).unwrap();
        assert!(executor.input_mut(embedding).iter().all(|&value| value == 0.0));
    }
    executor.self_test().unwrap();
    begin(&mut executor, decoder, 0);
    executor.finish();
    assert_eq!(executor.self_test(), Err(ExecError::SelfTestTooLate));
}
