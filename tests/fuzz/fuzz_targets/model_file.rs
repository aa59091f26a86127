//! Model files: any bytes, and a good file with some bytes changed and its hashes made right again, so that the
//! verifier and not a hash has to find them. What is accepted must run without touching anything it should not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace::exec::{Executor, MemoryLayout};
use sonotrace::model::Model;
use sonotrace::model::format::{FileHeader, HEAD_BYTES, SectionRecord, conv};

static GOOD: &[u8] = include_bytes!("../../../runtime/tests/data/disc.sono");
/// More memory than this is not worth a fuzzer's time.
const MEMORY_MAX: usize = 1 << 24;

fuzz_target!(|data: &[u8]| {
    if data.first().is_some_and(|first| first % 8 == 0) {
        try_file(&data[1..]);
        return;
    }
    // Changes of six bytes each: place, operation, value.
    let mut file = GOOD.to_vec();
    for change in data.chunks_exact(6) {
        let at = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize % file.len();
        match change[3] % 4 {
            0 => file[at] = change[4],
            1 => file[at] = file[at].wrapping_add(change[4]),
            2 => file[at] ^= 1 << (change[4] % 8),
            _ => {
                // A whole word: counts, indices and strides are words.
                let word = at / 4 * 4;
                let value = [0, 1, 2, 16, 63, 64, 0x7fff_ffff, u32::MAX][usize::from(change[4] % 8)];
                if let Some(to) = file.get_mut(word..word + 4) {
                    to.copy_from_slice(&value.wrapping_add(u32::from(change[5] % 3)).to_le_bytes());
                }
            }
        }
    }
    make_hashes_right(&mut file);
    try_file(&file);
});

/// An aligned copy, parsed; and if it is accepted, run.
fn try_file(bytes: &[u8]) {
    let mut memory = vec![0u8; bytes.len() + 64];
    let start = memory.as_ptr().align_offset(64);
    let aligned = &mut memory[start..start + bytes.len()];
    aligned.copy_from_slice(bytes);
    let Ok(model) = Model::parse(aligned) else { return };
    let Ok(layout) = MemoryLayout::new(model.header(), 2) else { return };
    let work = model.ops().iter().map(|op| {
        let taps = u64::from(op.params[conv::KERNEL_H].max(1)) * u64::from(op.params[conv::KERNEL_W].max(1));
        op.dims.iter().map(|&extent| u64::from(extent)).product::<u64>().saturating_mul(taps)
    });
    let work = work.fold(0u64, u64::saturating_add);
    if layout.required().bytes > MEMORY_MAX || work > 1 << 20 {
        return;
    }
    let mut region = vec![0u8; layout.required().bytes + 64];
    let start = region.as_ptr().align_offset(64);
    let Ok(mut executor) = Executor::new(model, 2, &mut region[start..]) else { return };
    let _ = executor.self_test();
    for program in 0..model.programs().len() {
        executor.run_to_end(program, 1);
    }
}

fn make_hashes_right(file: &mut [u8]) {
    let header_bytes = size_of::<FileHeader>();
    if file.len() < HEAD_BYTES {
        return;
    }
    let header: FileHeader = bytemuck::pod_read_unaligned(&file[..header_bytes]);
    let record_bytes = size_of::<SectionRecord>();
    for index in 0..(header.section_count as usize).min((HEAD_BYTES - header_bytes) / record_bytes) {
        let at = header_bytes + index * record_bytes;
        let mut record: SectionRecord = bytemuck::pod_read_unaligned(&file[at..at + record_bytes]);
        let range = record.offset as usize..(record.offset as usize).saturating_add(record.bytes as usize);
        if let Some(content) = file.get(range) {
            record.hash = *blake3::hash(content).as_bytes();
            file[at..at + record_bytes].copy_from_slice(bytemuck::bytes_of(&record));
        }
    }
    let hash_at = header_bytes - 32;
    file[hash_at..header_bytes].fill(0);
    let hash = blake3::hash(&file[..HEAD_BYTES]);
    file[hash_at..header_bytes].copy_from_slice(hash.as_bytes());
}
