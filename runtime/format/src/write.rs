//! Writes sections to a file, with offsets, section table and hashes. The compiler defines their content.

use crate::header::{FILE_MAGIC, head_hash};
use crate::sections::SECTION_LAYOUT;
use crate::{FILE_VERSION, FileHeader, HEAD_BYTES, PAGE_BYTES, SectionKind, SectionRecord};
use bytemuck::Zeroable;
use std::vec::Vec;

/// Number of sections of a file.
const SECTIONS: usize = SectionKind::ALL.len();

/// Lays out a file: header and section table on the first page, each section on its own pages, all hashes. `sections`
/// holds the content of each [`SectionKind`] in order. `header` supplies the fields that describe the content; the
/// others are overwritten.
pub fn assemble(mut header: FileHeader, sections: [&[u8]; SECTIONS]) -> Vec<u8> {
    let mut bytes = std::vec![0; HEAD_BYTES];
    let mut table = [SectionRecord::zeroed(); SECTIONS];
    for ((record, &kind), content) in table.iter_mut().zip(SectionKind::ALL).zip(sections) {
        bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES as usize), 0);
        let (offset, content_bytes) = (bytes.len() as u64, content.len() as u64);
        *record = SectionRecord {
            kind: kind as u32,
            layout: SECTION_LAYOUT,
            offset,
            bytes: content_bytes,
            hash: [0; 32],
        };
        bytes.extend_from_slice(content);
    }
    header.magic = FILE_MAGIC;
    header.version = FILE_VERSION;
    header.section_count = SECTIONS as u32;
    header.file_bytes = bytes.len() as u64;
    let header_bytes = size_of::<FileHeader>();
    bytes[..header_bytes].copy_from_slice(bytemuck::bytes_of(&header));
    bytes[header_bytes..][..size_of_val(&table)].copy_from_slice(bytemuck::cast_slice(&table));
    refresh_hashes(&mut bytes);
    bytes
}

/// Returns the record of a section from the file's section table.
///
/// # Panics
/// If the file is shorter than its first page.
pub fn section_record(file: &[u8], kind: SectionKind) -> SectionRecord {
    let bytes = size_of::<SectionRecord>();
    let from = size_of::<FileHeader>() + (kind as usize - 1) * bytes;
    bytemuck::pod_read_unaligned(&file[from..from + bytes])
}

/// Updates the hash of the head and of each section that the section table places inside the file. For the writer, and
/// for tests of the verifier's other checks.
pub fn refresh_hashes(file: &mut [u8]) {
    if file.len() < HEAD_BYTES {
        return;
    }
    for &kind in SectionKind::ALL {
        let mut record = section_record(file, kind);
        let from = record.offset as usize;
        if let Some(content) = file.get(from..from.saturating_add(record.bytes as usize)) {
            record.hash = *blake3::hash(content).as_bytes();
            let at = size_of::<FileHeader>() + (kind as usize - 1) * size_of::<SectionRecord>();
            file[at..][..size_of::<SectionRecord>()].copy_from_slice(bytemuck::bytes_of(&record));
        }
    }
    let (head, _) = file.split_at_mut(HEAD_BYTES);
    if let Ok(head) = <&mut [u8; HEAD_BYTES]>::try_from(head) {
        let hash = head_hash(head);
        head[size_of::<FileHeader>() - 32..size_of::<FileHeader>()].copy_from_slice(&hash);
    }
}
