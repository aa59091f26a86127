//! The section table: checks the sections' positions and hashes, and reads their bytes as records.

use crate::header::SectionKind;
use crate::{
    FileHeader, HEAD_BYTES, Model, ModelError, OpRecord, PAGE_BYTES, SECTIONS_MAX, SectionRecord,
    TENSOR_ALIGN, read_header,
};
use bytemuck::Pod;

/// Version of every section's content in this version of the file.
pub(crate) const SECTION_LAYOUT: u32 = 1;

pub(crate) fn parse(bytes: &[u8]) -> Result<Model<'_>, ModelError> {
    let checked = read_header(bytes)?;
    if bytes.len() as u64 != checked.file_bytes {
        return Err(ModelError::Length { seen: bytes.len() as u64, announced: checked.file_bytes });
    }
    // Records and panels are read in place.
    let needed = TENSOR_ALIGN as usize;
    if bytes.as_ptr().align_offset(needed) != 0 {
        return Err(ModelError::Misaligned { needed });
    }
    let header_bytes = size_of::<FileHeader>();
    let header: &FileHeader = bytemuck::from_bytes(&bytes[..header_bytes]);
    let count = header.section_count;
    if count > SECTIONS_MAX {
        return Err(ModelError::Limit {
            what: "section_count",
            seen: count.into(),
            limit: SECTIONS_MAX.into(),
        });
    }
    if count as usize != SectionKind::ALL.len() {
        return Err(ModelError::Section { index: count, problem: "the number of sections is wrong" });
    }
    let table_bytes = count as usize * size_of::<SectionRecord>();
    let table: &[SectionRecord] = bytemuck::cast_slice(&bytes[header_bytes..header_bytes + table_bytes]);
    let mut end = HEAD_BYTES as u64;
    for (index, (record, &kind)) in (0u32..).zip(table.iter().zip(SectionKind::ALL)) {
        let wrong = |problem| ModelError::Section { index, problem };
        if record.kind != kind as u32 {
            return Err(wrong("sections are out of order"));
        }
        if record.layout != SECTION_LAYOUT {
            return Err(wrong("unknown layout: compile the model again"));
        }
        // One byte more would be covered by no hash.
        if record.offset != end.next_multiple_of(PAGE_BYTES) {
            return Err(wrong("does not start on the page after the section before it"));
        }
        let padding = end..record.offset;
        end = record.offset.checked_add(record.bytes).ok_or(wrong("length overflows"))?;
        if end > header.file_bytes {
            return Err(wrong("ends beyond the end of the file"));
        }
        if bytes[padding.start as usize..padding.end as usize].iter().any(|&byte| byte != 0) {
            return Err(wrong("the padding before it is not zero"));
        }
    }
    if end != header.file_bytes {
        let problem = "bytes follow the last section";
        return Err(ModelError::Section { index: count - 1, problem });
    }
    let section = |kind: SectionKind| -> Result<&[u8], ModelError> {
        let record = &table[kind as usize - 1];
        let content = &bytes[record.offset as usize..][..record.bytes as usize];
        if blake3::hash(content) != record.hash {
            return Err(ModelError::Hash { what: kind.name() });
        }
        Ok(content)
    };
    let golden_data = section(SectionKind::GoldenData)?;
    let conventions = records(SectionKind::Conventions, section(SectionKind::Conventions)?)?;
    let [conventions] = conventions else {
        let index = SectionKind::Conventions as u32 - 1;
        return Err(ModelError::Section { index, problem: "does not hold exactly one record" });
    };
    let tracking = records(SectionKind::Tracking, section(SectionKind::Tracking)?)?;
    let tracking = match tracking {
        [] => None,
        [tracking] => Some(tracking),
        _ => {
            let index = SectionKind::Tracking as u32 - 1;
            return Err(ModelError::Section { index, problem: "holds more than one record" });
        }
    };
    let ops: &[OpRecord] = records(SectionKind::Ops, section(SectionKind::Ops)?)?;
    if ops.len() != header.op_count as usize {
        let index = SectionKind::Ops as u32 - 1;
        return Err(ModelError::Section {
            index,
            problem: "its number of operations differs from the header's",
        });
    }
    Ok(Model {
        header,
        programs: records(SectionKind::Programs, section(SectionKind::Programs)?)?,
        ports: records(SectionKind::Ports, section(SectionKind::Ports)?)?,
        ops,
        tensors: records(SectionKind::Tensors, section(SectionKind::Tensors)?)?,
        names: text(SectionKind::Names, section(SectionKind::Names)?)?,
        weights: section(SectionKind::Weights)?,
        conventions,
        tracking,
        golden: records(SectionKind::Golden, section(SectionKind::Golden)?)?,
        golden_data: records(SectionKind::GoldenData, golden_data)?,
        provenance: text(SectionKind::Provenance, section(SectionKind::Provenance)?)?,
    })
}

fn records<T: Pod>(kind: SectionKind, content: &[u8]) -> Result<&[T], ModelError> {
    bytemuck::try_cast_slice(content).map_err(|_| ModelError::Section {
        index: kind as u32 - 1,
        problem: "is not a whole number of records",
    })
}

fn text(kind: SectionKind, content: &[u8]) -> Result<&str, ModelError> {
    core::str::from_utf8(content)
        .map_err(|_| ModelError::Section { index: kind as u32 - 1, problem: "is not UTF-8 text" })
}
