//! A session in the caller's memory: its size, opening, stepping, counters, closing.

use crate::config::{CallerClock, Config};
use crate::counters::{BridgeCounters, COUNTERS};
use crate::output::Output;
use crate::part::Part;
use crate::published::Published;
use crate::status::{Failure, Status, call};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use sonotrace::format::Model;
use sonotrace::hal::ring::{ALIGN, CommandProducer, EventConsumer, FrameProducer, OverlayConsumer, Rings};
use sonotrace::memory::RawRegion;
use sonotrace::session::{self as runtime, FrameRules, Poll, Ports, SessionConfig, memory_required};

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
    pub(crate) overlays: Part<Display>,
    pub(crate) events: Part<EventConsumer<'static>>,
    pub(crate) clock: CallerClock,
    counters: Published<COUNTERS>,
    /// Commits refused so far.
    pub(crate) frames_refused: AtomicU64,
}

/// The side that computes.
pub(crate) struct Worker(runtime::Session<'static, CallerClock>);

/// The side that shows overlays.
pub(crate) struct Display {
    pub ring: OverlayConsumer<'static>,
    /// Heartbeat of the last overlay: that of the next one is higher.
    pub heartbeat: u64,
}

impl Display {
    /// Takes the overlays that are still queued, which nobody will fetch. Returns the number of their replies to prompts.
    fn take_unfetched_answers(&mut self) -> u64 {
        // As many as a ring holds, so that damaged positions cannot keep this busy.
        let queued = self.ring.backlog();
        (0..queued).map(|_| self.ring.take().map_or(0, |overlay| overlay.answers().len() as u64)).sum()
    }
}

/// The side that supplies frames.
pub(crate) struct Acquisition {
    pub frames: FrameProducer<'static>,
    pub rules: FrameRules,
    pub is_acquired: bool,
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

/// Computes the memory that a session needs, in bytes, and the alignment of its start; 0 after a failure. The model's first
/// 4096 bytes suffice. The model itself and thread stacks are not included. Any thread may call it.
///
/// Refuses every setting that `sonotrace_open` refuses, with the same status: `SONOTRACE_STATUS_VERSION` for another header,
/// `SONOTRACE_STATUS_CONFIG`. Returns `SONOTRACE_STATUS_MODEL` if the bytes are no model's.
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
    // SAFETY: null, or room for a number, as the caller promises.
    let mut bytes = unsafe { Output::new(bytes) };
    // SAFETY: as above.
    let mut align = unsafe { Output::new(align) };
    bytes.set(0);
    align.set(0);
    call(|| {
        // SAFETY: as this function's caller promises.
        let model = unsafe { bytes_of("model", model, model_bytes) }?;
        // SAFETY: as this function's caller promises.
        let config = unsafe { Config::read(config) }?;
        bytes.required("bytes")?;
        align.required("align")?;
        let layout = RegionLayout::new(&model[..model.len().min(HEAD_BYTES)], &config)?;
        bytes.set(layout.bytes());
        align.set(REGION_ALIGN);
        Ok(())
    })
}

/// Opens a session in `region`: verifies the model, lays out the memory, and runs each program once as a self-test. No
/// later call on the session allocates. Writes to every page of the region, so that none is missing later; to keep them
/// present, lock the region (`sonotrace_memory_lock`). The session uses the region, the model and the clock until it is
/// closed; the configuration and its tables are copied. `session` receives null after a failure. The region's content
/// before does not matter, and it may not move.
///
/// Returns, besides what `sonotrace_memory_required` returns: `SONOTRACE_STATUS_REGION`, after which the region is as it was;
/// `SONOTRACE_STATUS_MODEL` if the model is damaged; `SONOTRACE_STATUS_SESSION` if its programs are not those of a session or
/// fail their self-test. After these two the region's content is arbitrary.
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
    // SAFETY: null, or room for a pointer, as the caller promises.
    let mut session = unsafe { Output::new(session) };
    session.set(core::ptr::null_mut());
    call(|| {
        session.required("session")?;
        let Some(start) = NonNull::new(region) else { return Err(Failure::null("region")) };
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
        // Some pages are otherwise first written in the middle of a scan.
        // SAFETY: `region_bytes` bytes, at least as many as the layout has (checked above), which nothing else uses.
        unsafe { start.write_bytes(0, layout.bytes()) };
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
        let settings = config.session(bytemuck::cast_slice(vendor_tables));
        let place = region.cast::<BridgeSession>();
        // SAFETY: the region starts with room for a session (by the layout) and is aligned for it (checked).
        unsafe { open_at(place, model, settings, memory, &rings, config.clock()) }?;
        session.set(place);
        Ok(())
    })
}

/// Opens a session at `place`, part by part: together, the parts would need too much of the caller's stack.
///
/// # Safety
/// There is room for a session at `place`, aligned for it, which nothing else uses.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "to name a part of the place and to write it belong together"
)]
#[inline(never)]
unsafe fn open_at(
    place: *mut BridgeSession,
    model: &'static [u8],
    settings: SessionConfig<'static>,
    memory: RawRegion<'static>,
    rings: &Rings<'static>,
    clock: CallerClock,
) -> Result<(), Failure> {
    // SAFETY: as this function's caller promises.
    let worker = unsafe { &raw mut (*place).worker };
    // SAFETY: a part of the place.
    let rules = unsafe { open_worker(worker, model, settings, memory, Ports::of(rings)?, clock) }?;
    let acquisition = Acquisition { frames: rings.frames.producer()?, rules, is_acquired: false };
    let display = Display { ring: rings.overlays.consumer()?, heartbeat: 0 };
    // SAFETY: a part of the place, which is written once; so are the others.
    unsafe { Part::write_at(&raw mut (*place).acquisition, acquisition) };
    // SAFETY: as above.
    unsafe { Part::write_at(&raw mut (*place).commands, rings.commands.producer()?) };
    // SAFETY: as above.
    unsafe { Part::write_at(&raw mut (*place).overlays, display) };
    // SAFETY: as above.
    unsafe { Part::write_at(&raw mut (*place).events, rings.events.consumer()?) };
    // SAFETY: as above.
    unsafe { (&raw mut (*place).clock).write(clock) };
    // Zero counters.
    // SAFETY: as above, and zeros are a valid value of it.
    unsafe { (&raw mut (*place).counters).write_bytes(0, 1) };
    // SAFETY: as above.
    unsafe { (&raw mut (*place).frames_refused).write_bytes(0, 1) };
    // SAFETY: as above. With it, all parts are there.
    unsafe { (&raw mut (*place).state).write(AtomicU64::new(OPEN)) };
    Ok(())
}

/// Opens the side that computes at `place`, and returns its rules for frames.
///
/// # Safety
/// There is room for the side at `place`, aligned for it, which nothing else uses.
#[inline(never)]
unsafe fn open_worker(
    place: *mut Part<Worker>,
    model: &'static [u8],
    settings: SessionConfig<'static>,
    memory: RawRegion<'static>,
    ports: Ports<'static>,
    clock: CallerClock,
) -> Result<FrameRules, Failure> {
    let opened = runtime::Session::open(Model::parse(model)?, settings, memory, ports, clock);
    match opened {
        Ok(worker) => {
            let rules = worker.frame_rules();
            // SAFETY: as this function's caller promises.
            unsafe { Part::write_at(place, Worker(worker)) };
            Ok(rules)
        }
        Err(error) => Err(error.into()),
    }
}

impl BridgeSession {
    /// Commits refused so far.
    fn refused(&self) -> u64 {
        self.frames_refused.load(Ordering::Relaxed)
    }

    /// The totals as of the last step.
    fn totals(&self) -> Result<BridgeCounters, Failure> {
        let mut totals = BridgeCounters::default();
        if !self.counters.load(bytemuck::cast_slice_mut(core::slice::from_mut(&mut totals))) {
            let text = "steps end faster than the counters can be read: try again";
            return Err(Failure::new(Status::Busy, text));
        }
        Ok(BridgeCounters { frames_refused: self.refused(), ..totals })
    }

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
    /// A further overlay of a frame that has one was committed: with newer contours.
    Update = 4,
}

/// Continues the frame in work, or takes the next one, for one slice. Never waits. Worker's side: the only call that
/// computes. `step` and `seq` (the frame's sequence number, or 0) may be null; they receive 0 after a failure.
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
    // SAFETY: null, or room for it, as the caller promises.
    let mut step = unsafe { Output::new(step) };
    // SAFETY: as above.
    let mut seq = unsafe { Output::new(seq) };
    step.set(Step::Idle);
    seq.set(0);
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        let mut worker = session.worker.enter("worker")?;
        worker.0.check_rings()?;
        let (what, number) = match worker.0.poll() {
            Poll::Idle => (Step::Idle, 0),
            Poll::Working | Poll::Computed(_) => (Step::Working, 0),
            Poll::Dropped { seq, .. } => (Step::Dropped, seq),
            Poll::Overlay(seq) => (Step::Overlay, seq),
            Poll::Update(seq) => (Step::Update, seq),
        };
        let totals = BridgeCounters::of(&worker.0.counters(), worker.0.heartbeat());
        session.counters.store(bytemuck::cast_slice(&[totals]));
        step.set(what);
        seq.set(number);
        Ok(())
    })
}

/// Reads the totals as of the last step, as far as the caller's structure reaches; 0 after a failure. Any thread may call
/// it. Called by `sonotrace_counters` of the header, with the size of its structure. Returns `SONOTRACE_STATUS_BUSY` if steps
/// end faster than the totals can be read: call it again.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `counters` is null or points to room for `counters_bytes` bytes.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_counters_sized(
    session: *const BridgeSession,
    counters: *mut BridgeCounters,
    counters_bytes: usize,
) -> Status {
    // SAFETY: null, or room for that many bytes, as the caller promises.
    let mut counters = unsafe { Output::sized(counters, counters_bytes) };
    counters.set_prefix(&BridgeCounters::default());
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        counters.required("counters")?;
        counters.set_prefix(&session.totals()?);
        Ok(())
    })
}

/// Closes a session: frames that are queued or in work are counted in `dropped_shut_down`. Events that were not fetched are
/// gone, among them `SONOTRACE_EVENT_CLOSED`. The region and the model are the caller's again, and the handle is no longer
/// valid: until the region is used for something else, calls with it return `SONOTRACE_STATUS_NOT_A_SESSION`. `counters`,
/// if not null, receives the final totals, as far as the caller's structure reaches; 0 if the session stays open. Called by
/// `sonotrace_close` of the header, with the size of its structure.
///
/// Returns `SONOTRACE_STATUS_BUSY`, and leaves the session open, while any other call on it is in progress, also from
/// within the caller's clock. A poisoned session is closed: the call returns `SONOTRACE_STATUS_POISONED`, and the totals
/// are those of the last step. So is one whose rings are damaged (`SONOTRACE_STATUS_RING`).
///
/// # Safety
/// `session` comes from `sonotrace_open`, and no thread begins a call on it from now on; `counters` is null or points to
/// room for `counters_bytes` bytes.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_close_sized(
    session: *mut BridgeSession,
    counters: *mut BridgeCounters,
    counters_bytes: usize,
) -> Status {
    // SAFETY: null, or room for that many bytes, as the caller promises.
    let mut counters = unsafe { Output::sized(counters, counters_bytes) };
    counters.set_prefix(&BridgeCounters::default());
    call(|| {
        if session.is_null() {
            return Err(Failure::null("session"));
        }
        // SAFETY: not null, and the region starts with a session, open or closed, as the caller promises.
        let session = unsafe { &*session };
        let state = session.state.load(Ordering::Relaxed);
        if state != OPEN && state != POISONED {
            return Err(Failure::new(Status::NotASession, "the session is not open"));
        }
        // No side may be in a call, and none can enter one later: the sides stay taken.
        let worker = session.worker.enter("worker")?;
        let acquisition = session.acquisition.enter("acquisition")?;
        let commands = session.commands.enter("user's")?;
        let mut overlays = session.overlays.enter("display's")?;
        let events = session.events.enter("log's")?;
        let unfetched_answers = overlays.take_unfetched_answers();
        acquisition.keep();
        commands.keep();
        overlays.keep();
        events.keep();
        session.state.store(CLOSED, Ordering::Relaxed);
        if state == POISONED {
            worker.keep();
            counters.set_prefix(&session.totals()?);
            return Err(Failure::new(Status::Poisoned, POISONED_TEXT));
        }
        if let Err(damage) = worker.0.check_rings() {
            worker.keep();
            counters.set_prefix(&session.totals()?);
            return Err(damage.into());
        }
        let worker = worker.into_value().0;
        let heartbeat = worker.heartbeat();
        let totals = BridgeCounters::of(&worker.finish(), heartbeat);
        counters.set_prefix(&BridgeCounters {
            frames_refused: session.refused(),
            answers_undelivered: totals.answers_undelivered + unfetched_answers,
            ..totals
        });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonotrace::region::Region;

    /// After a panic in a call, every later call returns `Poisoned`, until the session is closed.
    #[test]
    fn a_panic_poisons_the_session() {
        let model = Region::holding(include_bytes!("../../runtime/tests/data/disc.sono")).expect("memory");
        let model = model.as_slice();
        let config = Config::default();
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
        let counters_bytes = size_of_val(&counters);
        // SAFETY: the session was opened above, and there is room for counters.
        let status = unsafe { sonotrace_close_sized(session, &mut counters, counters_bytes) };
        assert_eq!(status, Status::Poisoned);
        assert_eq!(counters.heartbeat, 1);
        assert_eq!(step(), Status::NotASession);
    }
}
