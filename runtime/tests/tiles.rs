//! Tiles may run on any number of threads, with stops between them, and give the same bits. Runs are sliced, resumed
//! and abandoned.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../kernels/tests/common/mod.rs"]
mod kernel_cases;
use common::{AlignedBytes, Random, disc, disc_model};
use kernel_cases::{Bench, Case, bits, cases, matmul, small_tiles};
use sonotrace::exec::{Claims, ExecError, Executor, ExecutorConfig, Job, Progress, memory_required};

fn two_frames() -> ExecutorConfig {
    ExecutorConfig { kept_frames: 2, ..ExecutorConfig::default() }
}

fn expected(case: &Case) -> Vec<u32> {
    bits(&case.run(&small_tiles()))
}

/// Returns a job over a bench's operation.
fn job<'a>(bench: &'a Bench<'_>, claims: &'a Claims, generation: u32) -> Job<'a> {
    // SAFETY: the spaces belong to the bench, live as long as the job, and nothing else accesses them.
    unsafe { Job::new(&bench.op, &bench.spaces, claims, generation) }
}

#[test]
fn several_threads_give_the_same_bits_as_one() {
    for case in cases() {
        let (expected, file) = (expected(&case), case.file());
        for threads in [2, 3, 5] {
            let bench = Bench::new(&file, &small_tiles());
            let mut claims = Claims::default();
            let generation = claims.open();
            let job = job(&bench, &claims, generation);
            let scratch: Vec<AlignedBytes> = (0..threads).map(|_| bench.scratch()).collect();
            std::thread::scope(|scope| {
                for (thread, mut scratch) in scratch.into_iter().enumerate() {
                    scope.spawn(move || {
                        let mut asked = thread;
                        // Delay some threads now and then, to vary which thread runs which tile.
                        let mut go_on = || {
                            asked += 1;
                            if asked % 3 == 0 {
                                std::thread::yield_now();
                            }
                            true
                        };
                        job.work(scratch.bytes_mut(), &mut go_on);
                    });
                }
            });
            assert!(job.is_done());
            assert_eq!(job.claimed(), bench.op.tiles());
            assert!(bits(bench.output()) == expected, "{}, {threads} threads", case.name);
        }
    }
}

/// A thread that sees the job done also sees its results, without other synchronisation.
#[test]
fn a_done_job_makes_its_results_visible() {
    let case = matmul();
    let (expected, file) = (expected(&case), case.file());
    for _ in 0..20 {
        let bench = Bench::new(&file, &small_tiles());
        let mut claims = Claims::default();
        let generation = claims.open();
        let job = job(&bench, &claims, generation);
        let [mut first, mut second] = [bench.scratch(), bench.scratch()];
        std::thread::scope(|scope| {
            scope.spawn(move || job.work(first.bytes_mut(), &mut || true));
            job.work(second.bytes_mut(), &mut || true);
            while !job.is_done() {
                std::thread::yield_now();
            }
        });
        assert!(bits(bench.output()) == expected);
    }
}

/// A thread that wakes late claims no tile of an operation that was opened in the meantime.
#[test]
fn a_job_of_an_earlier_opening_claims_nothing() {
    let file = matmul().file();
    let bench = Bench::new(&file, &small_tiles());
    let mut claims = Claims::default();
    let early = claims.open();
    let late = claims.open();
    let mut scratch = bench.scratch();
    job(&bench, &claims, early).work(scratch.bytes_mut(), &mut || true);
    assert_eq!(job(&bench, &claims, late).claimed(), 0);
    assert!(bench.output().iter().all(|value| value.is_nan()), "nothing was run");
}

/// A job stopped after any number of tiles can be resumed.
#[test]
fn a_stopped_job_is_resumed() {
    for case in cases() {
        let (expected, file) = (expected(&case), case.file());
        let tiles = Bench::new(&file, &small_tiles()).op.tiles();
        for stop in [0, 1, tiles / 2, tiles] {
            let bench = Bench::new(&file, &small_tiles());
            let mut claims = Claims::default();
            let generation = claims.open();
            let job = job(&bench, &claims, generation);
            let (mut left, mut scratch) = (stop, bench.scratch());
            job.work(scratch.bytes_mut(), &mut || {
                left = left.wrapping_sub(1);
                left != u32::MAX
            });
            assert_eq!(job.claimed(), stop);
            assert_eq!(job.is_done(), stop == tiles);
            job.work(scratch.bytes_mut(), &mut || true);
            assert!(job.is_done());
            assert!(bits(bench.output()) == expected, "{} stopped after {stop}", case.name);
        }
    }
}

fn executor(memory: &mut AlignedBytes) -> Executor<'_> {
    Executor::new(disc_model(), two_frames(), memory.bytes_mut()).unwrap()
}

fn memory() -> AlignedBytes {
    AlignedBytes::zeroed(memory_required(disc(), &two_frames()).unwrap().bytes)
}

/// Begins a run on the features in a copy, and fills each input outside state with different numbers.
fn begin(executor: &mut Executor<'_>, program: usize, slot: u32) {
    executor.begin(program, &[slot]).unwrap();
    let model = *executor.model();
    for (port, record) in model.inputs(&model.programs()[program]).iter().enumerate() {
        if model.name(record.name) == "embedding" {
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
    assert_eq!(executor.begin(7, &[0]), Err(ExecError::Program { seen: 7, programs: 2 }));
    assert_eq!(executor.begin(0, &[]), Err(ExecError::Slots { seen: 0, needed: 1 }));
    assert_eq!(executor.begin(0, &[2]), Err(ExecError::Copy { slot: 0, seen: 2, copies: 2 }));
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
