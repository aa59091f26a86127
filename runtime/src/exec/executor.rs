//! A model bound to memory, and its active run.

use super::layout::{ExecutorConfig, ExecutorLayout, MemoryRequired, REGION_ALIGN};
use super::team::{Board, Helper};
use crate::memory::RawRegion;
#[cfg(feature = "std")]
use crate::realtime::{Scheduling, Warnings};
use core::marker::PhantomData;
use core::ptr::NonNull;
use sonotrace_format::{Model, ModelError, PortRecord, ProgramRecord, SLOTS_MAX, TensorRecord, TensorSpace};
use sonotrace_kernels::{BindError, BindOptions, BoundOp, Spaces};

/// Errors of opening an executor or beginning a run.
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
    /// The model or the configuration is refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// This build has no kernel for an operation.
    #[error("operation {op}: {problem}")]
    Bind {
        /// Index of the operation.
        op: usize,
        /// The reason.
        problem: BindError,
    },
    /// There is no such program.
    #[error("program index is {seen}, the model has {programs} programs")]
    Program {
        /// Requested index.
        seen: usize,
        /// Number of programs.
        programs: usize,
    },
    /// The number of copies differs from the number of the program's slots.
    #[error("{seen} copies are named for a program with {needed} slots")]
    Slots {
        /// Copies given.
        seen: usize,
        /// Slots.
        needed: usize,
    },
    /// A bank has no such copy.
    #[error("slot {slot} names copy {seen}, its bank has {copies} copies")]
    Copy {
        /// The slot.
        slot: usize,
        /// Index of the copy.
        seen: u32,
        /// Copies of the bank.
        copies: u32,
    },
    /// Two slots name the same copy, and the program writes to one of them.
    #[error("slots {first} and {second} name the same copy, and one of them is written")]
    SharedCopy {
        /// One slot.
        first: usize,
        /// The other.
        second: usize,
    },
    /// The self-test was called after the first run; it would clear the state.
    #[error("the self-test can run only before the first run")]
    SelfTestTooLate,
    /// An output differs from the stored one: this build computes wrong results on this machine.
    #[error("self-test of program {program}, output {port}: relative error {error}, the limit is {limit}")]
    SelfTest {
        /// Index of the program.
        program: u32,
        /// Index among the program's ports.
        port: u32,
        /// Relative rms error.
        error: f32,
        /// Largest error allowed.
        limit: f32,
    },
}

/// Result of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The program has ended; its outputs can be read.
    Done,
    /// The run was stopped; it can be resumed or abandoned.
    Paused,
}

/// The active run.
#[derive(Debug, Clone, Copy)]
struct Run {
    program: usize,
    spaces: Spaces,
    /// The next operation, counted from the program's first.
    op: usize,
    /// Tiles of that operation that are left to run; `None` if it has not begun.
    left: Option<u32>,
}

/// A verified model bound to a region of memory. It allocates nothing and uses no other memory.
///
/// One run is active at a time. [`Self::begin`] names a copy for each slot of the program, [`Self::advance`] runs a
/// slice, and beginning another run abandons it. A run writes only to scratch and to the copies in its written slots.
#[derive(Debug)]
pub struct Executor<'m> {
    model: Model<'m>,
    layout: ExecutorLayout,
    config: ExecutorConfig,
    /// Banks, scratch and thread scratch.
    memory: NonNull<u8>,
    ops: &'m [BoundOp],
    board: &'m Board<'m>,
    /// Threads that have their scratch: the executor's own, and the helpers that were handed out.
    threads: u32,
    run: Option<Run>,
    pub(super) is_fresh: bool,
    _borrow: PhantomData<&'m mut [u8]>,
}

// SAFETY: the executor owns its memory like a `&mut [u8]` does, and that is Send.
unsafe impl Send for Executor<'_> {}
// SAFETY: a shared reference gives access only to shared slices of memory, which nothing writes while they are
// borrowed.
unsafe impl Sync for Executor<'_> {}

impl<'m> Executor<'m> {
    /// Binds `model` to `region`, which has the size and alignment of [`super::memory_required`]. Every byte of it is
    /// written.
    ///
    /// # Errors
    /// [`ExecError::RegionTooSmall`] with the size needed; [`ExecError::RegionMisaligned`]; a configuration outside its
    /// limits.
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
        let options = BindOptions { threads: config.threads, ..BindOptions::of(config.instructions) };
        let ops = region.take(layout.ops.len()).filled(records.len(), |op| {
            BoundOp::bind(&model, &records[op], &options).map_err(|problem| ExecError::Bind { op, problem })
        })?;
        let board = region.take(layout.board.len()).filled(1, |_| Ok::<_, ExecError>(Board::default()))?;
        Ok(Self {
            model,
            layout,
            config,
            memory: NonNull::from(memory).cast(),
            ops,
            board: &board[0],
            threads: 1,
            run: None,
            is_fresh: true,
            _borrow: PhantomData,
        })
    }

    /// Returns the model.
    pub fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// Returns the size and alignment of the memory in use.
    pub fn memory(&self) -> MemoryRequired {
        self.layout.required()
    }

    /// Returns the index of a program by its name.
    pub fn program(&self, name: &str) -> Option<usize> {
        self.model.program(name).map(|(index, _)| index)
    }

    /// Returns the bound operations of a program.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn ops(&self, program: usize) -> &'m [BoundOp] {
        let record = self.record(program);
        &self.ops[record.first_op as usize..][..record.op_count as usize]
    }

    /// Returns the number of copies of a bank.
    ///
    /// # Panics
    /// If there is no such bank.
    pub fn copies(&self, bank: usize) -> u32 {
        self.model.header().banks()[bank].copies(self.config.kept_frames)
    }

    fn record(&self, program: usize) -> &'m ProgramRecord {
        &self.model.programs()[program]
    }

    /// Begins a run of a program and abandons the active run. `copies` names a copy for each slot of the program, in
    /// order. Two slots may not name the same copy if the program writes to one of them.
    ///
    /// # Errors
    /// An index outside its limits, or a written copy that two slots name.
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
        self.run = Some(Run { program, spaces, op: 0, left: None });
        Ok(())
    }

    /// Begins a run with a different copy for each slot: for tests, self-tests and programs without state.
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

    /// Returns the active run.
    fn active(&self) -> &Run {
        self.run.as_ref().expect("a run is active")
    }

    /// Returns the elements of an input port of the active run. Fill them before the first [`Self::advance`]; a port in
    /// state already holds the content of its slot's copy.
    ///
    /// # Panics
    /// If no run is active, or it has no such port.
    pub fn input_mut(&mut self, port: usize) -> &mut [f32] {
        let run = self.active();
        let (port, spaces) = (&self.model.inputs(self.record(run.program))[port], run.spaces);
        let (first, elements) = self.values(port, &spaces);
        // SAFETY: the verifier checked that this is a tensor of f32 inside the region, aligned to 64; initialised;
        // `&mut self` excludes any other access.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), elements) }
    }

    /// Returns the elements of an input port in state: the content of its slot's copy. Those of a port in scratch are
    /// arbitrary after the first [`Self::advance`].
    ///
    /// # Panics
    /// If no run is active, or it has no such port.
    pub fn input(&self, port: usize) -> &[f32] {
        let run = self.active();
        let (first, elements) = self.values(&self.model.inputs(self.record(run.program))[port], &run.spaces);
        // SAFETY: as for `output`.
        unsafe { core::slice::from_raw_parts(first.as_ptr(), elements) }
    }

    /// Returns the elements of an output port of the active run; valid after [`Progress::Done`].
    ///
    /// # Panics
    /// If no run is active, or it has no such port.
    pub fn output(&self, port: usize) -> &[f32] {
        let run = self.active();
        let (first, elements) = self.values(&self.model.outputs(self.record(run.program))[port], &run.spaces);
        // SAFETY: as for `input_mut`; operations run only inside `advance`, which takes `&mut self`.
        unsafe { core::slice::from_raw_parts(first.as_ptr(), elements) }
    }

    fn values(&self, port: &PortRecord, spaces: &Spaces) -> (NonNull<f32>, usize) {
        let tensor: &TensorRecord = self.model.tensor_of(port);
        let space = match tensor.space() {
            Some(TensorSpace::State) => spaces.slot(tensor.slot as usize),
            // The verifier allows only state and scratch here.
            _ => self.at(self.layout.scratch.start),
        };
        // SAFETY: the verifier checked that it is inside the space.
        (unsafe { space.add(tensor.offset as usize) }.cast(), tensor.elements as usize)
    }

    /// Returns an address in the region.
    fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.layout.ops.start);
        // SAFETY: inside the region or at its end (asserted above).
        unsafe { self.memory.add(offset) }
    }

    /// Runs a slice of the active run: tile after tile, until the program ends or `go_on`, called before each tile,
    /// returns false.
    ///
    /// # Panics
    /// If no run is active.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn advance(&mut self, go_on: &mut dyn FnMut() -> bool) -> Progress {
        self.is_fresh = false;
        let mut run = *self.active();
        let ops = self.ops(run.program);
        if self.threads > 1 {
            self.board.wake();
        }
        while let Some(op) = ops.get(run.op) {
            let opened = run.left.unwrap_or(op.tiles());
            // SAFETY: `begin` resolved the spaces for this program, inside the region; `&mut self` excludes any other
            // access to it; `begin` checked that no other slot names the copy of a written slot.
            unsafe { self.board.open(op, &run.spaces, opened) };
            // SAFETY: the first thread is the caller's, and `&mut self` makes it the only one.
            let scratch = unsafe { self.thread_scratch(0) };
            while self.board.has_tiles() && go_on() && self.board.run_tile(scratch) {}
            let left = self.board.close(opened);
            if left > 0 {
                run.left = Some(left);
                self.run = Some(run);
                return Progress::Paused;
            }
            (run.op, run.left) = (run.op + 1, None);
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

    /// Returns a thread that helps to run operations: the first of [`ExecutorConfig::threads`] less one, then the next one, then
    /// `None`. Call [`Helper::run`] on a thread of its own.
    pub fn helper(&mut self) -> Option<Helper<'m>> {
        if self.threads >= self.config.threads {
            return None;
        }
        // SAFETY: each helper has the scratch of another thread.
        let scratch = unsafe { self.thread_scratch(self.threads) };
        self.threads += 1;
        Some(Helper::new(self.board, scratch))
    }

    /// Makes all helpers return, and waits until they have. From then on, the calling thread runs all tiles.
    pub fn dismiss_helpers(&mut self) {
        self.board.shut_down();
        self.threads = self.config.threads;
    }

    /// Runs `work` while the other threads of [`ExecutorConfig::threads`] help, all scheduled alike: for the calling thread, as long
    /// as the work lasts. The work gets what the system refused; it goes on without it.
    #[cfg(feature = "std")]
    pub fn with_helpers<R>(
        &mut self,
        scheduling: impl Into<Scheduling>,
        work: impl FnOnce(&mut Self, &Warnings) -> R,
    ) -> R {
        super::team::with_helpers(self, scheduling.into(), Self::helper, Self::dismiss_helpers, work)
    }

    /// Returns the scratch of a thread.
    ///
    /// # Safety
    /// No other thread uses this scratch at the same time.
    ///
    /// # Panics
    /// If there are fewer threads.
    unsafe fn thread_scratch(&self, thread: u32) -> &'m mut [u8] {
        assert!(thread < self.config.threads);
        let bytes = self.model.header().thread_scratch_bytes as usize;
        let first = self.at(self.layout.thread_scratch.start + thread as usize * bytes);
        // SAFETY: the layout places it inside the region, disjoint from every tensor and from other threads' scratch; initialised;
        // the caller guarantees that nothing else uses it.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), bytes) }
    }

    /// Sets all state to zero.
    pub(super) fn clear_state(&mut self) {
        self.run = None;
        for range in self.layout.banks.clone() {
            let first = self.at(range.start);
            // SAFETY: the layout places the range inside the region; `&mut self` excludes any other access.
            unsafe { first.write_bytes(0, range.len()) };
        }
    }
}

impl Drop for Executor<'_> {
    /// Makes helpers return, and waits until they have.
    fn drop(&mut self) {
        self.board.shut_down();
    }
}
