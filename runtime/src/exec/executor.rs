//! A model bound to memory.

use super::arena::{Arena, weights};
use super::job::Job;
use super::layout::{MemoryLayout, REGION_ALIGN};
use crate::kernels::{Input, Op, f16_to_f32};
use crate::model::format::{
    GOLDEN_RELATIVE_RMS_MAX, GoldenRole, NO_TENSOR, OpRecord, PortRecord, ProgramRecord, Space,
};
use crate::model::{Model, ModelError};

/// Why an executor could not be made or a program not be run.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The region is too small.
    #[error("the region holds {seen} bytes, the model needs {needed}")]
    RegionTooSmall {
        /// Bytes given.
        seen: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// The region starts at the wrong address.
    #[error("the region starts at an address that is not a multiple of {REGION_ALIGN}")]
    RegionMisaligned,
    /// The configuration does not go with the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A stored answer was not reproduced: this build computes wrongly here.
    #[error("self-test of program {program}, output {port}: relative error {error}, the limit is {limit}")]
    SelfTest {
        /// Index of the program.
        program: u32,
        /// Index of the port among the program's.
        port: u32,
        /// Relative rms error.
        error: f32,
        /// Largest allowed.
        limit: f32,
    },
}

/// How far a run has come: what [`Executor::advance`] goes on from. Dropping it abandons the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    program: usize,
    copy: u32,
    op: u32,
    tile: u32,
}

/// What a slice came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The program has ended; its outputs can be read.
    Done,
    /// It was stopped, and can be gone on with.
    Paused,
}

/// A verified model bound to a region of memory. After it is made nothing allocates, and the region is all it uses.
#[derive(Debug)]
pub struct Executor<'m> {
    model: Model<'m>,
    arena: Arena<'m>,
    kept_frames: u32,
}

impl<'m> Executor<'m> {
    /// Binds `model` to `region`, keeping the features of `kept_frames` frames. The region's size and alignment are
    /// those of [`super::memory_required`]; it is cleared.
    ///
    /// # Errors
    /// [`ExecError::RegionTooSmall`] says how much is needed; [`ExecError::RegionMisaligned`]; a `kept_frames` outside
    /// its limits.
    pub fn new(model: Model<'m>, kept_frames: u32, region: &'m mut [u8]) -> Result<Self, ExecError> {
        let layout = MemoryLayout::new(model.header(), kept_frames)?;
        let required = layout.required();
        if region.len() < required.bytes {
            return Err(ExecError::RegionTooSmall { seen: region.len(), needed: required.bytes });
        }
        if region.as_ptr().align_offset(required.align) != 0 {
            return Err(ExecError::RegionMisaligned);
        }
        region[..required.bytes].fill(0);
        Ok(Self { model, arena: Arena::new(region, layout), kept_frames })
    }

    /// The model.
    pub fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// The index of a program.
    pub fn program(&self, name: &str) -> Option<usize> {
        self.model.program(name).map(|(index, _)| index)
    }

    fn record(&self, program: usize) -> &'m ProgramRecord {
        &self.model.programs()[program]
    }

    fn tensor_of(&self, port: &PortRecord) -> &'m crate::model::format::TensorRecord {
        &self.model.tensors()[port.tensor as usize]
    }

    /// The elements of an input port, to be filled before a run with the same `copy`.
    ///
    /// # Panics
    /// If the program, port or copy does not exist.
    pub fn input_mut(&mut self, program: usize, port: usize, copy: u32) -> &mut [f32] {
        assert!(copy < self.kept_frames);
        let port = &self.model.inputs(self.record(program))[port];
        let tensor = self.tensor_of(port);
        self.arena.write(tensor, copy)
    }

    /// The elements of an output port: valid after a run of this program with this `copy` is done, until another
    /// program is begun (for a port that is state: until it is written again).
    ///
    /// # Panics
    /// If the program, port or copy does not exist.
    pub fn output(&self, program: usize, port: usize, copy: u32) -> &[f32] {
        assert!(copy < self.kept_frames);
        let port = &self.model.outputs(self.record(program))[port];
        // SAFETY: operations run only within `advance`, which takes `&mut self`.
        unsafe { self.arena.read(self.tensor_of(port), copy) }
    }

    /// Begins a run of a program with the frame state of `copy` bound.
    ///
    /// # Panics
    /// If the program or copy does not exist.
    pub fn begin(&self, program: usize, copy: u32) -> Run {
        assert!(program < self.model.programs().len() && copy < self.kept_frames);
        Run { program, copy, op: 0, tile: 0 }
    }

    /// Runs a slice: tiles one after the other until the program ends or `go_on`, asked before each tile, says no.
    /// A stopped run may be gone on with, or dropped.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn advance(&mut self, run: &mut Run, go_on: &mut dyn FnMut() -> bool) -> Progress {
        let program = self.record(run.program);
        let ops = self.model.program_ops(program);
        while let Some(op) = ops.get(run.op as usize) {
            let job = Job::new(self.bind(op, run.copy), run.tile);
            // SAFETY: the only scratch slice: this function has `&mut self` and one job at a time.
            let scratch = unsafe { self.arena.thread_scratch() };
            job.work(scratch, go_on);
            if !job.is_done() {
                run.tile = job.claimed();
                return Progress::Paused;
            }
            (run.op, run.tile) = (run.op + 1, 0);
        }
        Progress::Done
    }

    /// Runs a program from start to end.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn run_to_end(&mut self, program: usize, copy: u32) {
        let mut run = self.begin(program, copy);
        while self.advance(&mut run, &mut || true) == Progress::Paused {}
    }

    /// An operation with its operands' memory.
    fn bind(&self, op: &'m OpRecord, copy: u32) -> Op<'_> {
        let tensors = self.model.tensors();
        let mut inputs = [Input::Missing; 4];
        for (input, operand) in inputs.iter_mut().zip(&op.operands[1..]) {
            if operand.tensor == NO_TENSOR {
                continue;
            }
            let tensor = &tensors[operand.tensor as usize];
            *input = if tensor.space == Space::Weights as u32 {
                weights(&self.model, tensor)
            } else {
                // SAFETY: the verifier proved that no input of an operation shares a byte with its output, and only
                // this operation runs.
                Input::F32(unsafe { self.arena.read(tensor, copy) })
            };
        }
        let target = &tensors[op.operands[0].tensor as usize];
        // SAFETY: as above: the output shares no byte with the inputs.
        let output = unsafe { self.arena.output(target, copy) };
        Op { record: op, output, inputs }
    }

    /// The golden self-test: feeds each stored input, runs the program (frame state 0), and holds each stored output
    /// to its relative rms bound. Returns the largest error seen. Leaves state as the tests left it.
    ///
    /// # Errors
    /// [`ExecError::SelfTest`] for the first output that is off.
    pub fn self_test(&mut self) -> Result<f32, ExecError> {
        let model = self.model;
        let mut worst = 0.0f32;
        let mut rest = model.golden();
        while let Some(first) = rest.first() {
            let key = (first.program, first.case);
            let count = rest.iter().take_while(|record| (record.program, record.case) == key).count();
            let (case, behind) = rest.split_at(count);
            rest = behind;
            let program = first.program as usize;
            let inputs = self.record(program).input_count;
            for record in case.iter().filter(|record| record.role == GoldenRole::Input as u32) {
                let target = self.input_mut(program, record.port as usize, 0);
                for (to, &bits) in target.iter_mut().zip(model.golden_values(record)) {
                    *to = f16_to_f32(bits);
                }
            }
            self.run_to_end(program, 0);
            for record in case.iter().filter(|record| record.role == GoldenRole::Output as u32) {
                let seen = self.output(program, (record.port - inputs) as usize, 0);
                let error = relative_rms(seen, model.golden_values(record));
                // Written so that NaN fails.
                let is_within = error <= GOLDEN_RELATIVE_RMS_MAX;
                if !is_within {
                    let limit = GOLDEN_RELATIVE_RMS_MAX;
                    return Err(ExecError::SelfTest {
                        program: record.program,
                        port: record.port,
                        error,
                        limit,
                    });
                }
                worst = worst.max(error);
            }
        }
        Ok(worst)
    }
}

/// Rms of the difference over the rms of the reference.
fn relative_rms(seen: &[f32], reference: &[u16]) -> f32 {
    let (mut difference, mut power) = (0.0f64, 0.0f64);
    for (&seen, &bits) in seen.iter().zip(reference) {
        let reference = f64::from(f16_to_f32(bits));
        difference += (f64::from(seen) - reference) * (f64::from(seen) - reference);
        power += reference * reference;
    }
    libm::sqrt(difference / power.max(1e-24)) as f32
}
