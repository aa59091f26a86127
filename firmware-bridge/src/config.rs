//! The settings of a session in C.

use crate::commands::BridgePrompt;
use crate::frames::{BridgeFrameSlot, GUARD_BYTES};
use crate::status::{Failure, Status, call};
use core::ffi::c_void;
use core::mem::{MaybeUninit, offset_of};
use sonotrace::exec::KEPT_FRAMES_MAX;
use sonotrace::hal::clock::{Clock, SystemClock};
use sonotrace::hal::event::Event;
use sonotrace::hal::frame::FrameDescriptor;
use sonotrace::hal::overlay::Overlay;
use sonotrace::hal::ring::RingSizes;
use sonotrace::session::{Policy, SessionConfig};
use sonotrace::vision::Display;

/// Work on the newest queued frame. One that comes while another one is computed gets an overlay with the last contours, in time; where
/// several wait, all but the newest are dropped and counted. For live scanning.
pub const SONOTRACE_POLICY_NEWEST: u32 = 1;
/// Work on every frame, in order. For replay.
pub const SONOTRACE_POLICY_ALL: u32 = 2;
/// Version of this header: of its structures, functions and constants.
pub const SONOTRACE_ABI_VERSION: u32 = 2;
/// Maximum number of amplitude tables.
pub const SONOTRACE_VENDOR_TABLES_MAX: u32 = 64;

/// A session's settings: start from `sonotrace_config_default`. They are copied when a session is opened, and fixed until
/// it is closed.
///
/// The first seven fields are the sizes and the version that the caller was compiled with. `sonotrace_config_default` sets
/// them; do not change them. If they do not fit this library, no session is opened (`SONOTRACE_STATUS_VERSION`). A
/// configuration may be shorter than the library's, as that of an older header is: fields that it lacks keep their
/// defaults.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Config {
    /// Size of this structure.
    pub config_bytes: u32,
    /// `SONOTRACE_ABI_VERSION`.
    pub abi_version: u32,
    /// Size of `sonotrace_frame_descriptor_t`.
    pub descriptor_bytes: u32,
    /// Size of `sonotrace_frame_slot_t`.
    pub frame_slot_bytes: u32,
    /// Size of `sonotrace_prompt_t`.
    pub prompt_bytes: u32,
    /// Size of `sonotrace_overlay_t`.
    pub overlay_bytes: u32,
    /// Size of `sonotrace_event_t`.
    pub event_bytes: u32,
    /// `SONOTRACE_POLICY_NEWEST` or `SONOTRACE_POLICY_ALL`.
    pub policy: u32,
    /// Time from a frame's commit to its overlay's commit, 1 ns to 1000 s. A later overlay is a deadline miss.
    pub budget_ns: u64,
    /// Time that one step computes, 1 ns to 1000 s. A step may take up to one piece of work longer (see `now_ns`).
    pub slice_ns: u64,
    /// Frames whose features are kept, so that prompts on them can be served: 1 to 64.
    pub kept_frames: u32,
    /// Rows of a new geometry's sampling table that are computed per frame, at least 1. Until the table is complete, frames
    /// repeat the last contours, marked stale.
    pub table_rows_per_frame: u32,
    /// Width of the display, in whose pixels contours are reported, up to 16384. If width and height are 0: the picture's
    /// own pixels; polar frames are refused then.
    pub display_width: u32,
    /// Height of the display, up to 16384.
    pub display_height: u32,
    /// Confidence below which an object's state is attention, 0 to 1; 0 for the model's own threshold.
    pub attention_below: f32,
    /// Probability of being out of sight from which on an object's state is absent, 0.01 to 1.
    pub absent_from: f32,
    /// Capacity of the queue of frames, 1 to 1024.
    pub frames_queued: u32,
    /// Capacity of the queue of overlays, 1 to 1024.
    pub overlays_queued: u32,
    /// Capacity of the queue of prompts, 1 to 1024.
    pub commands_queued: u32,
    /// Capacity of the queue of events, 1 to 1024.
    pub events_queued: u32,
    /// Largest payload of a frame, in bytes.
    pub payload_bytes: u64,
    /// Amplitude tables that frames may name, 256 bytes each, one after the other; copied when the session is opened.
    pub vendor_tables: *const u8,
    /// Number of amplitude tables in `vendor_tables`.
    pub vendor_table_count: u32,
    /// Objects that the segmenter redraws and checks on each frame, in turn, 0 to 10. The others keep the tracker's contour, and their
    /// confidence ages.
    pub checks_per_frame: u32,
    /// 1: a lost object that is checked is shown as the segmenter draws it, which is more precise when it comes back. 0: as a mean of
    /// the segmenter's mask and the tracker's.
    pub correct_lost: u32,
    /// 0.
    pub reserved: u32,
    /// The clock, in nanoseconds from an arbitrary start. It must not go backwards. Null for the system's monotonic
    /// clock, which then counts from the session's opening. Called from the threads that open, step, commit frames and
    /// close, also at the same time: once by a commit, by a step a few times and after each piece of work (a tile of an
    /// operation, 32 KiB of a checksum, some 4096 pixels: some hundred to some thousand times a frame), by no other call
    /// during a scan. It should take less than a microsecond, and it may not wait. Calls on the session from within it
    /// return `SONOTRACE_STATUS_BUSY` for the side in use and for a close.
    pub now_ns: Option<unsafe extern "C" fn(user: *mut c_void) -> u64>,
    /// Argument of `now_ns`.
    pub clock_user: *mut c_void,
}

/// Writes the settings for live scanning, as far as the caller's structure reaches. Called by
/// `sonotrace_config_default` of the header, with the size and the version of that header. Returns
/// `SONOTRACE_STATUS_VERSION`, and an empty configuration, if they do not fit this library. Any thread may call it.
///
/// # Safety
/// `config` is null or points to room for `config_bytes` bytes, aligned for a `sonotrace_config_t`.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_config_sized(
    config: *mut Config,
    config_bytes: u32,
    abi_version: u32,
) -> Status {
    call(|| {
        if config.is_null() {
            return Err(Failure::null("config"));
        }
        let bytes = config.cast::<u8>();
        // SAFETY: room for `config_bytes` bytes, as the caller promises.
        unsafe { bytes.write_bytes(0, config_bytes as usize) };
        check_version(config_bytes, abi_version)?;
        let sizes = Config { config_bytes, ..Config::default() };
        // SAFETY: room for `config_bytes` bytes, which are not more than a configuration has (checked above).
        unsafe { bytes.copy_from_nonoverlapping((&raw const sizes).cast(), config_bytes as usize) };
        Ok(())
    })
}

/// Bytes of the sizes and of the version, which every version of a configuration starts with.
const HEAD_BYTES: usize = offset_of!(Config, policy) + 4;

/// Refuses the header of another version, and a configuration that this library does not understand.
fn check_version(config_bytes: u32, abi_version: u32) -> Result<(), Failure> {
    if abi_version != SONOTRACE_ABI_VERSION {
        return Err(Failure::new(
            Status::Version,
            format_args!(
                "the caller's header has version {abi_version}, this library has {SONOTRACE_ABI_VERSION}: start from \
                 sonotrace_config_default, and compile the caller with this library's header"
            ),
        ));
    }
    let (bytes, own) = (config_bytes as usize, size_of::<Config>());
    if !(HEAD_BYTES..=own).contains(&bytes) || !bytes.is_multiple_of(align_of::<Config>()) {
        return Err(Failure::new(
            Status::Version,
            format_args!(
                "`config_bytes` is {bytes}, this library knows {HEAD_BYTES} to {own}: start from \
                 sonotrace_config_default, and compile the caller with this library's header"
            ),
        ));
    }
    Ok(())
}

impl Default for Config {
    fn default() -> Self {
        let session = SessionConfig::default();
        let (display_width, display_height) = match session.display {
            Display::Raster { width, height } => (width, height),
            Display::Source => (0, 0),
        };
        Self {
            config_bytes: size_of::<Self>() as u32,
            abi_version: SONOTRACE_ABI_VERSION,
            descriptor_bytes: size_of::<FrameDescriptor>() as u32,
            frame_slot_bytes: size_of::<BridgeFrameSlot>() as u32,
            prompt_bytes: size_of::<BridgePrompt>() as u32,
            overlay_bytes: size_of::<Overlay>() as u32,
            event_bytes: size_of::<Event>() as u32,
            policy: SONOTRACE_POLICY_NEWEST,
            budget_ns: session.budget_ns,
            slice_ns: session.slice_ns,
            kept_frames: session.kept_frames,
            table_rows_per_frame: session.table_rows_per_frame,
            display_width,
            display_height,
            attention_below: session.attention_below,
            absent_from: session.absent_from,
            frames_queued: 4,
            overlays_queued: 4,
            commands_queued: 16,
            events_queued: 256,
            payload_bytes: 1 << 20,
            vendor_tables: core::ptr::null(),
            vendor_table_count: 0,
            checks_per_frame: session.checks_per_frame,
            correct_lost: session.correct_lost.into(),
            reserved: 0,
            now_ns: None,
            clock_user: core::ptr::null_mut(),
        }
    }
}

impl Config {
    /// Reads a configuration that C points at.
    ///
    /// # Safety
    /// `config` is null or points to as many bytes of a `sonotrace_config_t` as its first field says, at least eight, and
    /// its `vendor_tables` points to `vendor_table_count` tables.
    pub(crate) unsafe fn read(config: *const Self) -> Result<Self, Failure> {
        if config.is_null() {
            return Err(Failure::null("config"));
        }
        // The first two fields are the same in every version.
        // SAFETY: not null, and its first two fields are there, as the caller promises.
        let [config_bytes, abi_version] = unsafe { config.cast::<[u32; 2]>().read() };
        check_version(config_bytes, abi_version)?;
        let mut whole = MaybeUninit::new(Self::default());
        let bytes = whole.as_mut_ptr().cast::<u8>();
        // SAFETY: not null, and as long as its size says, which is at most that of this structure (checked above).
        unsafe { bytes.copy_from_nonoverlapping(config.cast(), config_bytes as usize) };
        // SAFETY: initialised by `new`; the caller's bytes over it are whole fields, and any bytes are valid ones:
        // numbers, pointers, and an optional function.
        let config = unsafe { whole.assume_init() };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Failure> {
        let refuse = |field: &str, seen: u64, allowed: &str| {
            Err(Failure::new(Status::Config, format_args!("`{field}` is {seen}, allowed are {allowed}")))
        };
        let own = Self::default();
        for (name, seen, own) in [
            ("descriptor_bytes", self.descriptor_bytes, own.descriptor_bytes),
            ("frame_slot_bytes", self.frame_slot_bytes, own.frame_slot_bytes),
            ("prompt_bytes", self.prompt_bytes, own.prompt_bytes),
            ("overlay_bytes", self.overlay_bytes, own.overlay_bytes),
            ("event_bytes", self.event_bytes, own.event_bytes),
        ] {
            if seen != own {
                return Err(Failure::new(
                    Status::Version,
                    format_args!(
                        "`{name}` is {seen}, this library's is {own}: compile the caller with this library's header"
                    ),
                ));
            }
        }
        if !matches!(self.policy, SONOTRACE_POLICY_NEWEST | SONOTRACE_POLICY_ALL) {
            return refuse("policy", self.policy.into(), "1 (newest) and 2 (all)");
        }
        if self.correct_lost > 1 {
            return refuse("correct_lost", self.correct_lost.into(), "0 and 1");
        }
        if self.reserved != 0 {
            return refuse("reserved", self.reserved.into(), "0");
        }
        if (self.display_width == 0) != (self.display_height == 0) {
            return refuse("display_height", self.display_height.into(), "0 with a width of 0, else above 0");
        }
        const { assert!(KEPT_FRAMES_MAX == 64, "the header and this message name the limit") };
        if self.kept_frames == 0 || self.kept_frames > KEPT_FRAMES_MAX {
            return refuse("kept_frames", self.kept_frames.into(), "1 to 64");
        }
        if self.vendor_table_count > SONOTRACE_VENDOR_TABLES_MAX {
            return refuse("vendor_table_count", self.vendor_table_count.into(), "0 to 64");
        }
        if self.vendor_table_count > 0 && self.vendor_tables.is_null() {
            return Err(Failure::null("vendor_tables"));
        }
        Ok(self.session(&[]).check()?)
    }

    /// The runtime's settings, with borrowed amplitude tables.
    pub(crate) fn session<'a>(&self, vendor_tables: &'a [[u8; 256]]) -> SessionConfig<'a> {
        SessionConfig {
            policy: if self.policy == SONOTRACE_POLICY_ALL { Policy::All } else { Policy::Newest },
            budget_ns: self.budget_ns,
            slice_ns: self.slice_ns,
            kept_frames: self.kept_frames,
            table_rows_per_frame: self.table_rows_per_frame,
            display: match (self.display_width, self.display_height) {
                (0, 0) => Display::Source,
                (width, height) => Display::Raster { width, height },
            },
            vendor_tables,
            attention_below: self.attention_below,
            absent_from: self.absent_from,
            checks_per_frame: self.checks_per_frame,
            correct_lost: self.correct_lost == 1,
            ..SessionConfig::default()
        }
    }

    /// Capacities of the rings. A slot for a frame has a guard behind its samples.
    pub(crate) fn rings(&self) -> RingSizes {
        RingSizes {
            frames: self.frames_queued,
            payload_bytes: usize::try_from(self.payload_bytes)
                .unwrap_or(usize::MAX)
                .saturating_add(GUARD_BYTES),
            overlays: self.overlays_queued,
            commands: self.commands_queued,
            events: self.events_queued,
        }
    }

    pub(crate) fn clock(&self) -> CallerClock {
        CallerClock { now_ns: self.now_ns, user: self.clock_user, system: SystemClock::start() }
    }
}

/// The caller's clock, or the system's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallerClock {
    now_ns: Option<unsafe extern "C" fn(user: *mut c_void) -> u64>,
    user: *mut c_void,
    system: SystemClock,
}

// SAFETY: the caller's clock may be called from any thread with its own argument, as the configuration requires.
unsafe impl Send for CallerClock {}
// SAFETY: as for Send.
unsafe impl Sync for CallerClock {}

impl Clock for CallerClock {
    fn now_ns(&self) -> u64 {
        match self.now_ns {
            // SAFETY: a clock may be called from the session's threads with its own argument, as its field requires.
            Some(now_ns) => unsafe { now_ns(self.user) },
            None => self.system.now_ns(),
        }
    }
}
