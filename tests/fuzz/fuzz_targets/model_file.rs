//! A valid model file with changes gives an error, or a model that runs within its own memory. The hashes are correct, so
//! that the verifier, not a hash, must find the changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace::exec::{Executor, ExecutorConfig, memory_required};
use sonotrace::format::write::{refresh_hashes, section_record};
use sonotrace::format::{FileHeader, Model, OpRecord, Operation, SectionKind, SectionRecord};
use sonotrace_fuzz::Memory;
use std::iter::once;
use std::ops::Range;

static GOOD: &[u8] = include_bytes!("../../../runtime/tests/data/disc.sono");
/// Alignment of a file's bytes.
const FILE_ALIGN: usize = 64;
/// Models that need more memory than this are not run.
const MEMORY_MAX: usize = 1 << 24;
/// Models with more steps than this in their inner loops are not run.
const WORK_MAX: u64 = 1 << 20;
fn config() -> ExecutorConfig {
    ExecutorConfig { kept_frames: 2, ..ExecutorConfig::default() }
}

fuzz_target!(|data: &[u8]| {
    let mut file = Memory::new(GOOD.len(), FILE_ALIGN);
    file.copy_from_slice(GOOD);
    // The header, its table and each section, so that small sections change as often as large ones.
    let places = sections(GOOD).flat_map(<[_; 2]>::from).filter(|place| !place.is_empty());
    let places: Vec<_> = once(0..size_of::<FileHeader>()).chain(places).collect();
    // A change is six bytes of the input: place, offset in it, kind of change, value.
    for change in data.chunks_exact(6) {
        let place = &places[usize::from(change[0]) % places.len()];
        let offset = usize::from(u16::from_le_bytes([change[1], change[2]]));
        let at = place.start + offset % place.len();
        match change[3] % 4 {
            0 => file[at] = change[4],
            1 => file[at] = file[at].wrapping_add(change[4]),
            2 => file[at] ^= 1 << (change[4] % 8),
            _ => {
                // A whole word: counts, indices and strides are words.
                let value = [0, 1, 2, 16, 63, 64, 0x7fff_ffff, u32::MAX][usize::from(change[4] % 8)];
                if let Some(word) = file.get_mut(at / 4 * 4..at / 4 * 4 + 4) {
                    word.copy_from_slice(&value.wrapping_add(u32::from(change[5] % 3)).to_le_bytes());
                }
            }
        }
    }
    refresh_hashes(&mut file);
    parse_and_run(&file);
});

fn parse_and_run(file: &[u8]) {
    let Ok(model) = Model::parse(file) else { return };
    let Ok(required) = memory_required(file, &config()) else { return };
    let work = model.ops().iter().map(work).fold(0, u64::saturating_add);
    if required.bytes > MEMORY_MAX || work > WORK_MAX {
        return;
    }
    let mut region = Memory::new(required.bytes, required.align);
    let mut executor =
        Executor::new(model, config(), &mut *region).expect("the memory that is required is enough");
    // The self-test runs the programs until one gives wrong outputs.
    if executor.self_test().is_err() {
        for program in 0..model.programs().len() {
            // A changed program may have more slots than a bank has copies.
            if executor.begin_apart(program).is_ok() {
                executor.finish();
            }
        }
    }
}

/// Approximate number of steps in an operation's inner loop.
fn work(op: &OpRecord) -> u64 {
    let operation = Operation::decode(op).expect("the verifier decoded it");
    operation.units(&op.dims).saturating_mul(operation.unit_work(&op.dims))
}

/// The sections of a file: places of the record and of the content.
fn sections(file: &[u8]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    SectionKind::ALL.iter().map(|&kind| {
        let at = size_of::<FileHeader>() + (kind as usize - 1) * size_of::<SectionRecord>();
        let record = section_record(file, kind);
        let from = record.offset as usize;
        (at..at + size_of::<SectionRecord>(), from..from + record.bytes as usize)
    })
}
