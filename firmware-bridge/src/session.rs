//! A session in the caller's memory: its size, opening, stepping, counters, closing.

use crate::config::{CallerClock, Config};
use crate::part::Part;
use crate::status::{Failure, Status, call};
use bytemuck::{Pod, Zeroable};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use sonotrace::format::Model;
use sonotrace::hal::ring::{ALIGN, CommandProducer, EventConsumer, FrameProducer, OverlayConsumer, Rings};
use sonotrace::memory::RawRegion;
use sonotrace::session::{self as runtime, DropReason, Poll, Ports, memory_required};

/// State of an open session.
const OPEN: u64 = u64::from_le_bytes(*b"SNTOPEN1");
/// State after a panic in a call: the session may be half updated.
const POISONED: u64 = u64::from_le_bytes(*b"SNTPOISN");
/// State of a closed session.
const CLOSED: u64 = 0;
/// First bytes of a model file, which suffice to compute its memory.
const HEAD_BYTES: usize = 4096;

/// A session, opaque to C. It lies at the start of the caller's region.
pub struct BridgeSession {
    /// [`OPEN`], [`POISONED`] or [`CLOSED`].
    state: AtomicU64,
    pub(crate) worker: Part<Worker>,
    pub(crate) acquisition: Part<Acquisition>,
    pub(crate) commands: Part<CommandProducer<'static>>,
    pub(crate) overlays: Part<OverlayConsumer<'static>>,
    pub(crate) events: Part<EventConsumer<'static>>,
    pub(crate) clock: CallerClock,
    counters: Published,
}

/// The side that computes.
pub(crate) struct Worker(runtime::Session<'static, CallerClock>);

/// The side that supplies frames.
pub(crate) struct Acquisition {
    pub frames: FrameProducer<'static>,
    pub is_acquired: bool,
}

/// Totals since a session was opened. At any time, frames committed = `overlays` + all `dropped_` + frames that are
/// queued or in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct BridgeCounters {
    /// Overlays committed, one per frame.
    pub overlays: u64,
    /// Frames superseded by a newer one.
    pub dropped_superseded: u64,
    /// Frames whose descriptor or payload was refused.
    pub dropped_malformed: u64,
    /// Frames not newer than a delivered one.
    pub dropped_out_of_order: u64,
    /// Frames that arrived while the image was frozen.
    pub dropped_frozen: u64,
    /// Frames still queued when the session was closed.
    pub dropped_shut_down: u64,
    /// Overlays evicted before they were fetched.
    pub overlays_unfetched: u64,
    /// Overlays later than the budget.
    pub deadline_misses: u64,
    /// Part of `overlays`: those that repeat contours of an earlier frame, marked stale.
    pub repeats: u64,
    /// Further overlays of a frozen frame.
    pub updates: u64,
    /// Frames that never arrived: gaps in the sequence numbers.
    pub frames_missing: u64,
    /// Restarts of the stream.
    pub restarts: u64,
    /// Changes of geometry.
    pub geometry_changes: u64,
    /// Prompts served.
    pub prompts_served: u64,
    /// Prompts whose frame's features were no longer kept.
    pub prompts_too_old: u64,
    /// Prompts that could not be served for another reason.
    pub prompts_refused: u64,
    /// Prompts still unanswered when the session was closed.
    pub prompts_unanswered: u64,
    /// Invalid commands.
    pub bad_commands: u64,
    /// Steps so far. A watchdog can check that it grows.
    pub heartbeat: u64,
}

impl BridgeCounters {
    fn of(counters: &runtime::Counters, heartbeat: u64) -> Self {
        Self {
            overlays: counters.overlays,
            dropped_superseded: counters.dropped(DropReason::Superseded),
            dropped_malformed: counters.dropped(DropReason::Malformed),
            dropped_out_of_order: counters.dropped(DropReason::OutOfOrder),
            dropped_frozen: counters.dropped(DropReason::Frozen),
            dropped_shut_down: counters.dropped(DropReason::ShutDown),
            overlays_unfetched: counters.overlays_unfetched,
            deadline_misses: counters.deadline_misses,
            repeats: counters.repeats,
            updates: counters.updates,
            frames_missing: counters.frames_missing,
            restarts: counters.restarts,
            geometry_changes: counters.geometry_changes,
            prompts_served: counters.prompts_served,
            prompts_too_old: counters.prompts_too_old,
            prompts_refused: counters.prompts_refused,
            prompts_unanswered: counters.prompts_unanswered,
            bad_commands: counters.bad_commands,
            heartbeat,
        }
    }
}

const COUNTERS: usize = size_of::<BridgeCounters>() / 8;

/// BridgeCounters that any thread may read; each of them is atomic by itself.
struct Published([AtomicU64; COUNTERS]);

impl Published {
    fn new() -> Self {
        Self([const { AtomicU64::new(0) }; COUNTERS])
    }

    fn store(&self, counters: BridgeCounters) {
        let words: [u64; COUNTERS] = bytemuck::cast(counters);
        for (word, value) in self.0.iter().zip(words) {
            // Relaxed: each counter is independent, and no other data is published through it.
            word.store(value, Ordering::Relaxed);
        }
    }

    fn load(&self) -> BridgeCounters {
        bytemuck::cast::<[u64; COUNTERS], _>(core::array::from_fn(|at| self.0[at].load(Ordering::Relaxed)))
    }
}

/// Where each part of a session lies in its region.
struct RegionLayout {
    rings: [Range<usize>; 4],
    vendor_tables: Range<usize>,
    memory: Range<usize>,
}

impl RegionLayout {
    fn new(head: &[u8], config: &Config) -> Result<Self, Failure> {
        let rings = config.rings().region_bytes().map_err(|error| Failure::new(Status::Config, error))?;
        let [frames, overlays, commands, events] = rings;
        let mut end = size_of::<BridgeSession>();
        let mut take = |bytes: usize| {
            let from = end.next_multiple_of(ALIGN);
            end = from.checked_add(bytes).ok_or_else(|| {
                Failure::new(
                    Status::Config,
                    format_args!("another {bytes} bytes do not fit into the address space"),
                )
            })?;
            Ok::<_, Failure>(from..end)
        };
        Ok(Self {
            rings: [take(frames)?, take(overlays)?, take(commands)?, take(events)?],
            vendor_tables: take(256 * config.vendor_table_count as usize)?,
            memory: take(memory_required(head, &config.session(&[]))?.bytes)?,
        })
    }

    fn bytes(&self) -> usize {
        self.memory.end
    }
}

/// Alignment of a session's region.
const REGION_ALIGN: usize =
    if align_of::<BridgeSession>() > ALIGN { align_of::<BridgeSession>() } else { ALIGN };

/// The bytes that C points at.
///
/// # Safety
/// `data` is null or points to `bytes` bytes that do not change while the slice is used.
unsafe fn bytes_of<'a>(name: &'static str, data: *const u8, bytes: usize) -> Result<&'a [u8], Failure> {
    if data.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: not null, and `bytes` bytes, as the caller promises.
    Ok(unsafe { core::slice::from_raw_parts(data, bytes) })
}

/// Computes the memory that a session needs, in bytes, and the alignment of its start. The model's first 4096 bytes
/// suffice. The model itself and thread stacks are not included.
///
/// # Safety
/// Each pointer is null or valid for what its name says: `model_bytes` bytes, one configuration with its tables, room
/// for a `size_t` each.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_memory_required(
    model: *const u8,
    model_bytes: usize,
    config: *const Config,
    bytes: *mut usize,
    align: *mut usize,
) -> Status {
    call(|| {
        // SAFETY: as this function's caller promises.
        let model = unsafe { bytes_of("model", model, model_bytes) }?;
        // SAFETY: as this function's caller promises.
        let config = unsafe { Config::read(config) }?;
        if bytes.is_null() || align.is_null() {
            return Err(Failure::null(if bytes.is_null() { "bytes" } else { "align" }));
        }
        let layout = RegionLayout::new(&model[..model.len().min(HEAD_BYTES)], &config)?;
        // SAFETY: not null, and room for a number, as the caller promises.
        unsafe { bytes.write(layout.bytes()) };
        // SAFETY: as above.
        unsafe { align.write(REGION_ALIGN) };
        Ok(())
    })
}

/// Opens a session in `region`: verifies the model, lays out the memory, and runs each program once as a self-test. No
/// later call allocates. The session uses the region and the model until it is closed.
///
/// # Safety
/// Each pointer is null or valid for what its name says; nothing else uses the `region_bytes` bytes at `region` until
/// the session is closed, and the model does not change until then.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_open(
    model: *const u8,
    model_bytes: usize,
    config: *const Config,
    region: *mut u8,
    region_bytes: usize,
    session: *mut *mut BridgeSession,
) -> Status {
    call(|| {
        if session.is_null() || region.is_null() {
            return Err(Failure::null(if session.is_null() { "session" } else { "region" }));
        }
        // SAFETY: as this function's caller promises, until the session is closed.
        let model: &'static [u8] = unsafe { bytes_of("model", model, model_bytes) }?;
        // SAFETY: as this function's caller promises.
        let config = unsafe { Config::read(config) }?;
        let layout = RegionLayout::new(&model[..model.len().min(HEAD_BYTES)], &config)?;
        if region_bytes < layout.bytes() {
            let needed = layout.bytes();
            return Err(Failure::new(
                Status::Region,
                format_args!("the region holds {region_bytes} bytes, the session needs {needed}"),
            ));
        }
        if !(region as usize).is_multiple_of(REGION_ALIGN) {
            return Err(Failure::new(
                Status::Region,
                format_args!("the region starts at an address that is not a multiple of {REGION_ALIGN}"),
            ));
        }
        let start = NonNull::new(region).ok_or(Failure::null("region"))?;
        // SAFETY: `region_bytes` bytes, the session's until it is closed, as the caller promises; they may be
        // uninitialised.
        let mut whole = unsafe { RawRegion::<'static>::from_raw(start, region_bytes) };
        let mut taken = 0;
        let mut part = |range: &Range<usize>| {
            whole.take(range.start - taken);
            taken = range.end;
            whole.take(range.len())
        };
        let rings = layout.rings.each_ref().map(|range| part(range).zeroed());
        let vendor_tables = part(&layout.vendor_tables).zeroed::<u8>();
        let memory = part(&layout.memory);
        if config.vendor_table_count > 0 {
            // SAFETY: `vendor_table_count` tables, as the caller promises.
            let given = unsafe { bytes_of("vendor_tables", config.vendor_tables, vendor_tables.len()) }?;
            vendor_tables.copy_from_slice(given);
        }
        let rings = Rings::create(rings, &config.rings())?;
        let ports = Ports::of(&rings)?;
        let clock = config.clock();
        let worker = runtime::Session::open(
            Model::parse(model)?,
            config.session(bytemuck::cast_slice(vendor_tables)),
            memory,
            ports,
            clock,
        )?;
        let opened = BridgeSession {
            state: AtomicU64::new(OPEN),
            worker: Part::new(Worker(worker)),
            acquisition: Part::new(Acquisition { frames: rings.frames.producer()?, is_acquired: false }),
            commands: Part::new(rings.commands.producer()?),
            overlays: Part::new(rings.overlays.consumer()?),
            events: Part::new(rings.events.consumer()?),
            clock,
            counters: Published::new(),
        };
        let place = region.cast::<BridgeSession>();
        // SAFETY: the region starts with room for a session (by the layout) and is aligned for it (checked).
        unsafe { place.write(opened) };
        // SAFETY: not null, and room for a pointer, as the caller promises.
        unsafe { session.write(place) };
        Ok(())
    })
}

impl BridgeSession {
    /// The session behind a handle.
    ///
    /// # Safety
    /// `session` is null or comes from `sonotrace_open`, and its region has not been reused since.
    pub(crate) unsafe fn behind<'a>(session: *const Self) -> Result<&'a Self, Failure> {
        if session.is_null() {
            return Err(Failure::null("session"));
        }
        // SAFETY: the region starts with a session, open or closed, as the caller promises.
        let session = unsafe { &*session };
        // Relaxed: passing the handle from the thread that opened it synchronises the two.
        match session.state.load(Ordering::Relaxed) {
            OPEN => Ok(session),
            POISONED => Err(Failure::new(Status::Poisoned, POISONED_TEXT)),
            _ => Err(Failure::new(Status::NotASession, "the session is not open")),
        }
    }
}

const POISONED_TEXT: &str =
    "a defect of the library ended an earlier call on this session: close it and open another";

/// Runs the body of a call on a session. Catches a panic and poisons the session, which may be half updated.
pub(crate) fn call_on(
    session: Result<&BridgeSession, Failure>,
    body: impl FnOnce(&BridgeSession) -> Result<(), Failure>,
) -> Status {
    let session = match session {
        Ok(session) => session,
        Err(failure) => return failure.status,
    };
    let status = call(|| body(session));
    if status == Status::Panic {
        // A session that was closed meanwhile stays closed.
        let _ = session.state.compare_exchange(OPEN, POISONED, Ordering::Relaxed, Ordering::Relaxed);
    }
    status
}

// Each side of a session may be on a thread of its own.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<BridgeSession>();
};

/// Result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// There is no frame to work on.
    Idle = 0,
    /// A frame is in work: step again.
    Working = 1,
    /// The frame was dropped, and counted.
    Dropped = 2,
    /// The frame's overlay was committed.
    Overlay = 3,
    /// A further overlay of the frozen frame was committed.
    Update = 4,
}

/// Continues the frame in work, or takes the next one, for one slice. Never waits. `step` and `seq` (the frame's
/// sequence number, or 0) may be null.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `step` and `seq` are null or point to room for their values.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_step(
    session: *mut BridgeSession,
    step: *mut Step,
    seq: *mut u64,
) -> Status {
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        let mut worker = session.worker.enter("worker")?;
        let (what, number) = match worker.0.poll() {
            Poll::Idle => (Step::Idle, 0),
            Poll::Working => (Step::Working, 0),
            Poll::Dropped { seq, .. } => (Step::Dropped, seq),
            Poll::Overlay(seq) => (Step::Overlay, seq),
            Poll::Update(seq) => (Step::Update, seq),
        };
        session.counters.store(BridgeCounters::of(&worker.0.counters(), worker.0.heartbeat()));
        if !step.is_null() {
            // SAFETY: not null, and room for it, as the caller promises.
            unsafe { step.write(what) };
        }
        if !seq.is_null() {
            // SAFETY: as above.
            unsafe { seq.write(number) };
        }
        Ok(())
    })
}

/// Reads the totals as of the last step. Any thread may call it.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `counters` is null or points to room for them.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_counters(
    session: *const BridgeSession,
    counters: *mut BridgeCounters,
) -> Status {
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        if counters.is_null() {
            return Err(Failure::null("counters"));
        }
        // SAFETY: not null, and room for them, as the caller promises.
        unsafe { counters.write(session.counters.load()) };
        Ok(())
    })
}

/// Closes a session: queued frames are counted in `dropped_shut_down`. The region and the model are the caller's again,
/// and the handle is no longer valid. `counters`, if not null, receives the final totals. A poisoned session is closed,
/// too: the call returns `SONOTRACE_STATUS_POISONED`, and the totals are those of the last step.
///
/// # Safety
/// `session` comes from `sonotrace_open`, and no other thread is in a call on it or will be; `counters` is null or
/// points to room for them.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_close(
    session: *mut BridgeSession,
    counters: *mut BridgeCounters,
) -> Status {
    call(|| {
        // SAFETY: as this function's caller promises.
        let behind = unsafe { BridgeSession::behind(session) };
        let is_poisoned = behind.as_ref().is_err_and(|failure| failure.status == Status::Poisoned);
        if is_poisoned {
            // SAFETY: its state is poisoned, so the session is there.
            let poisoned = unsafe { &*session };
            poisoned.state.store(CLOSED, Ordering::Relaxed);
            if !counters.is_null() {
                // SAFETY: not null, and room for them, as the caller promises.
                unsafe { counters.write(poisoned.counters.load()) };
            }
            return Err(Failure::new(Status::Poisoned, POISONED_TEXT));
        }
        let opened = behind?;
        // Do not close while another thread is in a call on the worker's side.
        drop(opened.worker.enter("worker")?);
        opened.state.store(CLOSED, Ordering::Relaxed);
        // SAFETY: written by `sonotrace_open`, read once, because its state is now closed.
        let taken = unsafe { session.read() };
        let worker = taken.worker.into_inner().0;
        let heartbeat = worker.heartbeat();
        let totals = BridgeCounters::of(&worker.finish(), heartbeat);
        if !counters.is_null() {
            // SAFETY: not null, and room for them, as the caller promises.
            unsafe { counters.write(totals) };
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sonotrace_config_default;
    use sonotrace::region::Region;

    /// After a panic in a call, every later call returns `Poisoned`, until the session is closed.
    #[test]
    fn a_panic_poisons_the_session() {
        let model = Region::holding(include_bytes!("../../runtime/tests/data/disc.sono")).expect("memory");
        let model = model.as_slice();
        let mut config = core::mem::MaybeUninit::uninit();
        // SAFETY: there is room for a configuration.
        assert_eq!(unsafe { sonotrace_config_default(config.as_mut_ptr()) }, Status::Ok);
        // SAFETY: filled in by the line above.
        let config = unsafe { config.assume_init() };
        let (mut bytes, mut align) = (0, 0);
        // SAFETY: all of them point to this function's variables.
        let status = unsafe {
            sonotrace_memory_required(model.as_ptr(), model.len(), &config, &mut bytes, &mut align)
        };
        assert_eq!(status, Status::Ok);
        let mut region = Region::new(bytes).expect("memory");
        let mut session = core::ptr::null_mut();
        // SAFETY: as above; the region outlives the session.
        let status = unsafe {
            let region = region.as_mut_slice();
            sonotrace_open(model.as_ptr(), model.len(), &config, region.as_mut_ptr(), bytes, &mut session)
        };
        assert_eq!(status, Status::Ok);
        let step = || {
            // SAFETY: the session was opened above; null is allowed for the rest.
            unsafe { sonotrace_step(session, core::ptr::null_mut(), core::ptr::null_mut()) }
        };
        assert_eq!(step(), Status::Ok);
        std::panic::set_hook(Box::new(|_| {}));
        // SAFETY: the session was opened above.
        let behind = unsafe { BridgeSession::behind(session) };
        assert_eq!(call_on(behind, |_| panic!("on purpose")), Status::Panic);
        let _ = std::panic::take_hook();
        assert_eq!(step(), Status::Poisoned);
        assert_eq!(step(), Status::Poisoned);
        let mut counters = BridgeCounters::default();
        // SAFETY: the session was opened above, and there is room for counters.
        assert_eq!(unsafe { sonotrace_close(session, &mut counters) }, Status::Poisoned);
        assert_eq!(counters.heartbeat, 1);
        assert_eq!(step(), Status::NotASession);
    }
}
