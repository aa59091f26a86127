//! A model bound to memory, and the run that is active.

use super::claims::{Claims, Job};
use super::layout::{ExecutorConfig, ExecutorLayout, MemoryRequired, REGION_ALIGN};
use crate::memory::RawRegion;
use core::marker::PhantomData;
use core::ptr::NonNull;
use sonotrace_format::{Model, ModelError, PortRecord, ProgramRecord, SLOTS_MAX, TensorRecord, TensorSpace};
use sonotrace_kernels::{BindError, BindOptions, BoundOp, Spaces};

/// Why an executor could not be made or a run not begun.
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
    /// No kernel of this build runs an operation.
    #[error("operation {op}: {problem}")]
    Bind {
        /// Index of the operation.
        op: usize,
        /// Why not.
        problem: BindError,
    },
    /// There is no such program.
    #[error("program {seen} was asked for, the model has {programs}")]
    Program {
        /// Index asked for.
        seen: usize,
        /// Number of programs.
        programs: usize,
    },
    /// A run was given another number of copies than its program has slots.
    #[error("the run was given {seen} copies, its program has {needed} slots")]
    Slots {
        /// Copies given.
        seen: usize,
        /// Slots.
        needed: usize,
    },
    /// A bank has no such copy.
    #[error("slot {slot} was given copy {seen}, its bank has {copies} copies")]
    Copy {
        /// The slot.
        slot: usize,
        /// Index of the copy.
        seen: u32,
        /// Copies of the bank.
        copies: u32,
    },
    /// A copy that the program writes was given to two slots.
    #[error("slots {first} and {second} were given the same copy, and one of them is written")]
    SharedCopy {
        /// One slot.
        first: usize,
        /// The other.
        second: usize,
    },
    /// The self-test was asked for when there was state to lose.
    #[error("the self-test runs before the first run only")]
    SelfTestTooLate,
    /// A stored output was not reproduced: this build computes wrongly here.
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

/// What a slice came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The program has ended; its outputs can be read.
    Done,
    /// It was stopped, and can be resumed or abandoned.
    Paused,
}

/// The run that is active.
#[derive(Debug, Clone, Copy)]
struct Run {
    program: usize,
    spaces: Spaces,
    /// The operation that is next, counted from the program's first.
    op: usize,
    /// Its opening, while some of its tiles are left.
    generation: Option<u32>,
}

/// A verified model bound to a region of memory. After it is made nothing allocates, and the region is all it uses.
///
/// One run is active at a time. It is begun with a copy for each of its program's slots, resumed slice by slice, and abandoned by
/// beginning another. What it leaves behind is in scratch and in the copies that it was given to write.
#[derive(Debug)]
pub struct Executor<'m> {
    model: Model<'m>,
    layout: ExecutorLayout,
    config: ExecutorConfig,
    /// Banks, scratch and thread scratch.
    memory: NonNull<u8>,
    ops: &'m [BoundOp],
    claims: Claims,
    run: Option<Run>,
    pub(super) is_fresh: bool,
    _borrow: PhantomData<&'m mut [u8]>,
}

// SAFETY: the executor owns its memory like a `&mut [u8]` does, and that is Send.
unsafe impl Send for Executor<'_> {}
// SAFETY: through a shared reference it only gives out shared slices of memory that nothing writes meanwhile.
unsafe impl Sync for Executor<'_> {}

impl<'m> Executor<'m> {
    /// Binds `model` to `region`, whose size and alignment are those of [`super::memory_required`]. Every byte of it is written.
    ///
    /// # Errors
    /// [`ExecError::RegionTooSmall`] says how much is needed; [`ExecError::RegionMisaligned`]; a configuration outside its limits.
    pub fn new(
        model: Model<'m>,
        config: ExecutorConfig,
        region: impl Into<RawRegion<'m>>,
    ) -> Result<Self, ExecError> {
        let mut region = region.into();
        let layout = ExecutorLayout::new(model.header(), &config)?;
        let required = layout.required();
        if region.bytes() < required.bytes {
            return Err(ExecError::RegionTooSmall { seen: region.bytes(), needed: required.bytes });
        }
        if !region.is_aligned_to(required.align) {
            return Err(ExecError::RegionMisaligned);
        }
        let memory = region.take(layout.ops.start).zeroed::<u8>();
        let records = model.ops();
        let ops = region.take(layout.ops.len()).filled(records.len(), |op| {
            BoundOp::bind(&model, &records[op], &BindOptions::default())
                .map_err(|problem| ExecError::Bind { op, problem })
        })?;
        Ok(Self {
            model,
            layout,
            config,
            memory: NonNull::from(memory).cast(),
            ops,
            claims: Claims::default(),
            run: None,
            is_fresh: true,
            _borrow: PhantomData,
        })
    }

    /// The model.
    pub fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// Memory of the region that is in use.
    pub fn memory(&self) -> MemoryRequired {
        self.layout.required()
    }

    /// The index of a program.
    pub fn program(&self, name: &str) -> Option<usize> {
        self.model.program(name).map(|(index, _)| index)
    }

    /// The bound operations of a program.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn ops(&self, program: usize) -> &'m [BoundOp] {
        let record = self.record(program);
        &self.ops[record.first_op as usize..][..record.op_count as usize]
    }

    /// Copies of a bank.
    ///
    /// # Panics
    /// If there is no such bank.
    pub fn copies(&self, bank: usize) -> u32 {
        self.model.header().banks()[bank].copies(self.config.kept_frames)
    }

    fn record(&self, program: usize) -> &'m ProgramRecord {
        &self.model.programs()[program]
    }

    /// Begins a run of a program, in place of the one that was active. `copies` names a copy for each slot of the program, in
    /// order: those that are written are not given to another slot of the same bank.
    ///
    /// # Errors
    /// An index outside its limits, or a written copy that is given twice.
    pub fn begin(&mut self, program: usize, copies: &[u32]) -> Result<(), ExecError> {
        let programs = self.model.programs();
        let record =
            programs.get(program).ok_or(ExecError::Program { seen: program, programs: programs.len() })?;
        let slots = record.slots();
        if copies.len() != slots.len() {
            return Err(ExecError::Slots { seen: copies.len(), needed: slots.len() });
        }
        let mut spaces = Spaces::new(self.at(self.layout.scratch.start), self.model.weights());
        for (slot, (&copy, of)) in copies.iter().zip(slots).enumerate() {
            let available = self.copies(of.bank as usize);
            if copy >= available {
                return Err(ExecError::Copy { slot, seen: copy, copies: available });
            }
            let is_shared = |other: &usize| {
                (copies[*other], slots[*other].bank) == (copy, of.bank)
                    && of.is_written | slots[*other].is_written != 0
            };
            if let Some(first) = (0..slot).find(is_shared) {
                return Err(ExecError::SharedCopy { first, second: slot });
            }
            let bank = of.bank as usize;
            let copy_bytes = self.model.header().banks()[bank].copy_bytes as usize;
            spaces.set_slot(slot, self.at(self.layout.banks[bank].start + copy as usize * copy_bytes));
        }
        self.run = Some(Run { program, spaces, op: 0, generation: None });
        Ok(())
    }

    /// A run with a copy of its own for each slot: for tests, self-tests and programs without state.
    ///
    /// # Errors
    /// As [`Self::begin`], if a bank has fewer copies than the program has slots of it.
    pub fn begin_apart(&mut self, program: usize) -> Result<(), ExecError> {
        let programs = self.model.programs();
        let record =
            programs.get(program).ok_or(ExecError::Program { seen: program, programs: programs.len() })?;
        let mut copies = [0u32; SLOTS_MAX];
        for (at, slot) in record.slots().iter().enumerate() {
            copies[at] = record.slots()[..at].iter().filter(|other| other.bank == slot.bank).count() as u32;
        }
        self.begin(program, &copies[..record.slots().len()])
    }

    /// The run that is active.
    fn active(&self) -> &Run {
        self.run.as_ref().expect("a run was begun")
    }

    /// The elements of an input port of the run that is active, to be filled before it is first resumed. (A port that is state
    /// keeps what the copy of its slot holds.)
    ///
    /// # Panics
    /// If no run is active, or it has no such port.
    pub fn input_mut(&mut self, port: usize) -> &mut [f32] {
        let run = self.active();
        let (port, spaces) = (&self.model.inputs(self.record(run.program))[port], run.spaces);
        let (first, elements) = self.values(port, &spaces);
        // SAFETY: a tensor of f32 inside the region by the verifier, aligned to 64, initialised; `&mut self` excludes any other
        // access.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), elements) }
    }

    /// The elements of an output port of the run that is active: valid once [`Progress::Done`] was returned.
    ///
    /// # Panics
    /// If no run is active, or it has no such port.
    pub fn output(&self, port: usize) -> &[f32] {
        let run = self.active();
        let (first, elements) = self.values(&self.model.outputs(self.record(run.program))[port], &run.spaces);
        // SAFETY: as for `input_mut`; operations run only within `advance`, which takes `&mut self`.
        unsafe { core::slice::from_raw_parts(first.as_ptr(), elements) }
    }

    fn values(&self, port: &PortRecord, spaces: &Spaces) -> (NonNull<f32>, usize) {
        let tensor: &TensorRecord = self.model.tensor_of(port);
        let space = match tensor.space() {
            Some(TensorSpace::State) => spaces.slot(tensor.slot as usize),
            // The verifier allows scratch beside state only.
            _ => self.at(self.layout.scratch.start),
        };
        // SAFETY: inside the space by the verifier.
        (unsafe { space.add(tensor.offset as usize) }.cast(), tensor.elements as usize)
    }

    /// An address in the region.
    fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.layout.ops.start);
        // SAFETY: inside the region or at its end (asserted above).
        unsafe { self.memory.add(offset) }
    }

    /// Runs a slice of the run that is active: tiles one after the other until the program ends or `go_on`, asked before each
    /// tile, says no.
    ///
    /// # Panics
    /// If no run is active.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn advance(&mut self, go_on: &mut dyn FnMut() -> bool) -> Progress {
        self.is_fresh = false;
        let mut run = *self.active();
        let ops = self.ops(run.program);
        while let Some(op) = ops.get(run.op) {
            let generation = *run.generation.get_or_insert_with(|| self.claims.open());
            // SAFETY: the spaces are those that `begin` resolved for this program, inside the region, which `&mut self` keeps
            // anybody else from; slots that are written name copies of their own, as `begin` checked.
            let job = unsafe { Job::new(op, &run.spaces, &self.claims, generation) };
            job.work(self.thread_scratch(), go_on);
            if !job.is_done() {
                self.run = Some(run);
                return Progress::Paused;
            }
            (run.op, run.generation) = (run.op + 1, None);
        }
        self.run = Some(run);
        Progress::Done
    }

    /// Runs the active run to its end.
    ///
    /// # Panics
    /// If no run is active.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn finish(&mut self) {
        while self.advance(&mut || true) == Progress::Paused {}
    }

    /// The scratch of the calling thread.
    #[expect(clippy::mut_from_ref, reason = "apart from everything that slices are made of elsewhere")]
    fn thread_scratch(&self) -> &mut [u8] {
        let bytes = self.model.header().thread_scratch_bytes as usize;
        let first = self.at(self.layout.thread_scratch.start);
        // SAFETY: inside the region by the layout, apart from every tensor, initialised; only `advance`, with `&mut self`, asks
        // for it.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), bytes) }
    }

    /// Sets all state to zero.
    pub(super) fn clear_state(&mut self) {
        self.run = None;
        for range in self.layout.banks.clone() {
            let first = self.at(range.start);
            // SAFETY: inside the region by the layout; `&mut self` excludes any other access.
            unsafe { first.write_bytes(0, range.len()) };
        }
    }
}
