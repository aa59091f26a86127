//! A verified model file, used in place.

use crate::{
    ConventionsRecord, FILE_VERSION, FileHeader, GoldenRecord, HEAD_BYTES, NameRef, OpRecord, PortRecord,
    ProgramRecord, TensorRecord, TrackingRecord, sections, verify,
};

/// Error of a model file. The text names the thing, the limit and the value seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Shorter than a header.
    #[error("model file holds {seen} bytes, its header alone needs {HEAD_BYTES}")]
    TooShort {
        /// Bytes given.
        seen: u64,
    },
    /// Not a model file.
    #[error("not a model file: it does not start with \"SONOFILE\"")]
    Magic,
    /// A version this build does not read.
    #[error("model file version is {seen}, this build reads {FILE_VERSION}: compile the model again")]
    Version {
        /// Version found.
        seen: u32,
    },
    /// The bytes are not aligned for use in place.
    #[error("model bytes start at an address that is not a multiple of {needed}")]
    Misaligned {
        /// Alignment needed.
        needed: usize,
    },
    /// The file has another length than its header states.
    #[error("model file holds {seen} bytes, its header states {announced}: truncated or extended")]
    Length {
        /// Bytes given.
        seen: u64,
        /// Bytes stated in the header.
        announced: u64,
    },
    /// The content does not match its hash.
    #[error("hash of {what} does not match: the file is damaged, copy or compile it again")]
    Hash {
        /// Section, or `header`.
        what: &'static str,
    },
    /// The section table breaks its rules.
    #[error("section table entry {index}: {problem}")]
    Section {
        /// Entry in the table.
        index: u32,
        /// What is wrong.
        problem: &'static str,
    },
    /// A count or size is above its limit.
    #[error("{what} is {seen}, the limit is {limit}")]
    Limit {
        /// Name of the value.
        what: &'static str,
        /// Value found.
        seen: u64,
        /// Largest allowed.
        limit: u64,
    },
    /// A record breaks its rules.
    #[error("{table} {index}: {problem}")]
    Record {
        /// Kind of record.
        table: &'static str,
        /// Its index.
        index: u32,
        /// What is wrong.
        problem: &'static str,
    },
    /// Two tensors that are live together share bytes.
    #[error("program {program}: tensors {first} and {second} overlap while both are live")]
    Overlap {
        /// Program.
        program: u32,
        /// One tensor.
        first: u32,
        /// The other.
        second: u32,
    },
}

/// A verified model over borrowed bytes. [`Model::parse`] checked all its indices, extents and offsets.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    pub(crate) header: &'a FileHeader,
    pub(crate) programs: &'a [ProgramRecord],
    pub(crate) ports: &'a [PortRecord],
    pub(crate) ops: &'a [OpRecord],
    pub(crate) tensors: &'a [TensorRecord],
    pub(crate) names: &'a str,
    pub(crate) weights: &'a [u8],
    pub(crate) conventions: &'a ConventionsRecord,
    pub(crate) tracking: Option<&'a TrackingRecord>,
    pub(crate) golden: &'a [GoldenRecord],
    pub(crate) golden_data: &'a [u16],
    pub(crate) provenance: &'a str,
}

impl<'a> Model<'a> {
    /// Parses and verifies a whole file: header, section table, every hash, every index, offset, extent and parameter,
    /// and the memory plan. Cost: one hash over the file and one pass over its records.
    ///
    /// # Errors
    /// The first rule that is violated.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let model = sections::parse(bytes)?;
        verify::verify(&model)?;
        Ok(model)
    }

    /// Returns the header.
    pub fn header(&self) -> &'a FileHeader {
        self.header
    }

    /// Returns all programs.
    pub fn programs(&self) -> &'a [ProgramRecord] {
        self.programs
    }

    /// Returns all operations; a program owns a range of them.
    pub fn ops(&self) -> &'a [OpRecord] {
        self.ops
    }

    /// Returns all tensors.
    pub fn tensors(&self) -> &'a [TensorRecord] {
        self.tensors
    }

    /// Returns the operations of a program.
    pub fn program_ops(&self, program: &ProgramRecord) -> &'a [OpRecord] {
        &self.ops[program.first_op as usize..][..program.op_count as usize]
    }

    /// Returns the input ports of a program.
    pub fn inputs(&self, program: &ProgramRecord) -> &'a [PortRecord] {
        &self.ports[program.first_port as usize..][..program.input_count as usize]
    }

    /// Returns the output ports of a program.
    pub fn outputs(&self, program: &ProgramRecord) -> &'a [PortRecord] {
        &self.ports[(program.first_port + program.input_count) as usize..][..program.output_count as usize]
    }

    /// Returns the tensor of a port.
    pub fn tensor_of(&self, port: &PortRecord) -> &'a TensorRecord {
        &self.tensors[port.tensor as usize]
    }

    /// Returns the text of a name.
    pub fn name(&self, name: NameRef) -> &'a str {
        &self.names[name.offset as usize..][..name.bytes as usize]
    }

    /// Returns the weights section.
    pub fn weights(&self) -> &'a [u8] {
        self.weights
    }

    /// Returns the sizes and normalisation that a session uses.
    pub fn conventions(&self) -> &'a ConventionsRecord {
        self.conventions
    }

    /// Returns how a session follows objects; `None` for a file without a tracker.
    pub fn tracking(&self) -> Option<&'a TrackingRecord> {
        self.tracking
    }

    /// Returns the tensors of the self-test.
    pub fn golden(&self) -> &'a [GoldenRecord] {
        self.golden
    }

    /// Returns the values of a golden tensor, as f16 bits.
    pub fn golden_values(&self, record: &GoldenRecord) -> &'a [u16] {
        &self.golden_data[(record.offset / 2) as usize..][..record.elements as usize]
    }

    /// Returns the origin of the file, as JSON.
    pub fn provenance(&self) -> &'a str {
        self.provenance
    }

    /// Returns the program with a name, and its index.
    pub fn program(&self, name: &str) -> Option<(usize, &'a ProgramRecord)> {
        self.programs.iter().enumerate().find(|(_, program)| self.name(program.name) == name)
    }
}
