//! The settings of a session in C.

use crate::status::{Failure, Status, call};
use core::ffi::c_void;
use sonotrace::hal::clock::{Clock, SystemClock};
use sonotrace::hal::ring::RingSizes;
use sonotrace::session::{Policy, SessionConfig};
use sonotrace::vision::Display;

/// Work on the newest queued frame; older ones are dropped and counted. For live scanning.
pub const SONOTRACE_POLICY_NEWEST: u32 = 1;
/// Work on every frame, in order. For replay.
pub const SONOTRACE_POLICY_ALL: u32 = 2;
/// Maximum number of amplitude tables.
pub const SONOTRACE_VENDOR_TABLES_MAX: u32 = 64;

/// A session's settings: start from `sonotrace_config_default`. They are fixed from opening to closing.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Config {
    /// Size of this structure: set by `sonotrace_config_default`, checked by every call that takes one.
    pub config_bytes: u32,
    /// `SONOTRACE_POLICY_NEWEST` or `SONOTRACE_POLICY_ALL`.
    pub policy: u32,
    /// Time from a frame's commit to its overlay's commit. A later overlay is a deadline miss.
    pub budget_ns: u64,
    /// Time that one step computes. A step may take up to one tile longer.
    pub slice_ns: u64,
    /// Frames whose features are kept, so that prompts on them can be served.
    pub kept_frames: u32,
    /// Rows of a new geometry's sampling table that are computed per frame.
    pub table_rows_per_frame: u32,
    /// Width of the display, in whose pixels contours are reported. If width and height are 0: the picture's own pixels.
    pub display_width: u32,
    /// Height of the display.
    pub display_height: u32,
    /// Confidence below which an object's state is attention.
    pub attention_below: f32,
    /// Confidence below which an object counts as lost.
    pub lost_below: f32,
    /// Capacity of the queue of frames.
    pub frames_queued: u32,
    /// Capacity of the queue of overlays.
    pub overlays_queued: u32,
    /// Capacity of the queue of prompts.
    pub commands_queued: u32,
    /// Capacity of the queue of events.
    pub events_queued: u32,
    /// Largest payload of a frame, in bytes.
    pub payload_bytes: u64,
    /// Amplitude tables that frames may name, 256 bytes each, one after the other; copied when the session is opened.
    pub vendor_tables: *const u8,
    /// Number of amplitude tables in `vendor_tables`.
    pub vendor_table_count: u32,
    /// Zero.
    pub reserved: u32,
    /// The clock, in nanoseconds from an arbitrary start. It must not go backwards. Null for the system's monotonic
    /// clock. Called from the threads that step and that commit frames.
    pub now_ns: Option<unsafe extern "C" fn(user: *mut c_void) -> u64>,
    /// Argument of `now_ns`.
    pub clock_user: *mut c_void,
}

/// Writes the settings for live scanning: newest frame only, 33 ms budget, a 640 x 480 display, frames of up to 1 MiB.
///
/// # Safety
/// `config` is null or points to room for a `sonotrace_config_t`.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_config_default(config: *mut Config) -> Status {
    call(|| {
        if config.is_null() {
            return Err(Failure::null("config"));
        }
        // SAFETY: not null, and room for one, as the caller promises.
        unsafe { config.write(Config::default()) };
        Ok(())
    })
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
            policy: SONOTRACE_POLICY_NEWEST,
            budget_ns: session.budget_ns,
            slice_ns: session.slice_ns,
            kept_frames: session.kept_frames,
            table_rows_per_frame: session.table_rows_per_frame,
            display_width,
            display_height,
            attention_below: session.attention_below,
            lost_below: session.lost_below,
            frames_queued: 4,
            overlays_queued: 4,
            commands_queued: 16,
            events_queued: 256,
            payload_bytes: 1 << 20,
            vendor_tables: core::ptr::null(),
            vendor_table_count: 0,
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
    /// `config` is null or points to a `sonotrace_config_t`, whose `vendor_tables` points to `vendor_table_count`
    /// tables.
    pub(crate) unsafe fn read(config: *const Self) -> Result<Self, Failure> {
        if config.is_null() {
            return Err(Failure::null("config"));
        }
        // Read the size first: an older caller's structure may be shorter.
        // SAFETY: not null, and its first field is a u32 in every version.
        let seen = unsafe { config.cast::<u32>().read() };
        let own = size_of::<Self>();
        if seen as usize != own {
            return Err(Failure::new(
                Status::Config,
                format_args!(
                    "`config_bytes` is {seen}, this library's is {own}: start from sonotrace_config_default"
                ),
            ));
        }
        // SAFETY: not null, and as long as this structure, as the caller promises and its size says.
        let config = unsafe { config.read() };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Failure> {
        let refuse = |field: &str, seen: u64, allowed: &str| {
            Err(Failure::new(Status::Config, format_args!("`{field}` is {seen}, allowed are {allowed}")))
        };
        if !matches!(self.policy, SONOTRACE_POLICY_NEWEST | SONOTRACE_POLICY_ALL) {
            return refuse("policy", self.policy.into(), "1 (newest) and 2 (all)");
        }
        if (self.display_width == 0) != (self.display_height == 0) {
            return refuse("display_height", self.display_height.into(), "0 with a width of 0, else above 0");
        }
        if self.vendor_table_count > SONOTRACE_VENDOR_TABLES_MAX {
            return refuse("vendor_table_count", self.vendor_table_count.into(), "0 to 64");
        }
        if self.vendor_table_count > 0 && self.vendor_tables.is_null() {
            return Err(Failure::null("vendor_tables"));
        }
        Ok(())
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
            lost_below: self.lost_below,
            ..SessionConfig::default()
        }
    }

    /// Capacities of the rings.
    pub(crate) fn rings(&self) -> RingSizes {
        RingSizes {
            frames: self.frames_queued,
            payload_bytes: usize::try_from(self.payload_bytes).unwrap_or(usize::MAX),
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
