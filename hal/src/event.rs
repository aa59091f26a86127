//! The event log: the real-time thread records fixed-size events without waiting, another thread writes them out.
//!
//! A full ring evicts its oldest events and counts them. [`Event`] displays as one line of text; [`write_out`] passes it
//! to `log` (feature `log`) and to `defmt` (feature `defmt`, for builds without an operating system).

use bytemuck::{Pod, Zeroable};
use core::fmt;

/// Content of a ring of events, `SNTE` in memory order.
pub const EVENT_MAGIC: u32 = u32::from_le_bytes(*b"SNTE");

/// How important an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Severity {
    /// A normal part of a scan.
    Info,
    /// Needs the attention of the device or of the user.
    Warning,
}

/// Defines the kinds of events: name, wire value, severity, and the text with the event's two numbers.
macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $wire:literal, $severity:ident, $text:literal $(, $number:ident)*;)*) => {
        /// What an event reports.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr(u32)]
        pub enum EventKind {
            $($(#[$doc])* $name = $wire,)*
        }

        impl EventKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The kind with a wire value.
            pub const fn from_wire(value: u32) -> Option<Self> {
                match value {
                    $($wire => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its severity.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)*
                }
            }
        }

        impl fmt::Display for Event {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self { t_ns, seq, kind, detail, value } = *self;
                write!(out, "{}.{:06} s, frame {seq}: ", t_ns / 1_000_000_000, t_ns / 1_000 % 1_000_000)?;
                match EventKind::from_wire(kind) {
                    $(Some(EventKind::$name) => write!(out, $text $(, $number = self.$number)*),)*
                    None => write!(out, "unknown event {kind} ({detail}, {value})"),
                }
            }
        }
    };
}

event_kinds! {
    /// A session was opened; value: bytes of its memory.
    Opened = 1, Info, "session opened in {value} bytes", value;
    /// A session ended; value: overlays that it committed.
    Closed = 2, Info, "session ended after {value} overlays", value;
    /// The geometry changed, and the session starts a new sampling table; detail: geometry epoch.
    GeometryChanged = 3, Info, "geometry changed (epoch {detail}): a new sampling table is started", detail;
    /// The table for the new geometry is complete; detail: geometry epoch; value: frames that it took.
    TableReady = 4, Info, "sampling table of geometry epoch {detail} is ready after {value} frames", detail, value;
    /// A frame was dropped; detail: the session's drop reason.
    FrameDropped = 5, Warning, "dropped, reason {detail}", detail;
    /// Sequence gap: frames are missing before this one; value: how many.
    FramesMissing = 6, Warning, "{value} frames are missing before it", value;
    /// The stream restarted: its clock or its sequence numbers went back to the start.
    StreamRestarted = 7, Warning, "the stream restarted: its clock or sequence numbers went back";
    /// The image is frozen.
    Frozen = 8, Info, "frozen";
    /// The image is live again.
    Resumed = 9, Info, "live again";
    /// A prompt has an outcome; detail: wire value of the outcome; value: ticket of the prompt.
    PromptAnswered = 10, Info, "prompt {value} has outcome {detail}", detail, value;
    /// An object was lost; detail: its number.
    ObjectLost = 11, Warning, "object {detail} is lost", detail;
    /// An object was reprojected into another geometry; detail: its number.
    ObjectReprojected = 12, Info, "object {detail} is reprojected into the new geometry", detail;
    /// An overlay was later than its budget; value: by how many nanoseconds.
    DeadlineMissed = 13, Warning, "overlay later than its budget by {value} ns", value;
    /// Overlays were evicted unread; value: how many so far.
    OverlaysUnfetched = 14, Warning, "overlays are not fetched: {value} so far", value;
    /// The command ring held a malformed command.
    BadCommand = 15, Warning, "a malformed command was ignored";
}

/// One event: 32 bytes, plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct Event {
    /// Time on the runtime's clock.
    pub t_ns: u64,
    /// Sequence number of its frame; 0 for none.
    pub seq: u64,
    /// An [`EventKind`].
    pub kind: u32,
    /// A number whose meaning depends on the kind.
    pub detail: u32,
    /// A second number whose meaning depends on the kind.
    pub value: u64,
}

impl Event {
    /// Its severity. An event of an unknown kind is a warning.
    pub fn severity(&self) -> Severity {
        EventKind::from_wire(self.kind).map_or(Severity::Warning, EventKind::severity)
    }
}

/// Passes an event to the logging features of this build: `log`, `defmt`, both or none. Not for the real-time thread.
pub fn write_out(event: &Event) {
    #[cfg(feature = "log")]
    match event.severity() {
        Severity::Info => log::info!("{event}"),
        Severity::Warning => log::warn!("{event}"),
    }
    #[cfg(feature = "defmt")]
    match event.severity() {
        Severity::Info => defmt::info!("{}", event),
        Severity::Warning => defmt::warn!("{}", event),
    }
    let _ = event;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_values_round_trip() {
        for &kind in EventKind::ALL {
            assert_eq!(EventKind::from_wire(kind as u32), Some(kind));
        }
        assert_eq!(EventKind::from_wire(0), None);
    }

    #[test]
    fn events_display_as_text() {
        let event =
            |kind: EventKind| Event { t_ns: 12_000_345_678, seq: 9, kind: kind as u32, detail: 3, value: 40 };
        let text = |kind| std::format!("{}", event(kind));
        assert_eq!(
            text(EventKind::TableReady),
            "12.000345 s, frame 9: sampling table of geometry epoch 3 is ready after 40 frames"
        );
        assert_eq!(text(EventKind::Frozen), "12.000345 s, frame 9: frozen");
        let odd = Event { kind: 999, ..event(EventKind::Frozen) };
        assert_eq!(std::format!("{odd}"), "12.000345 s, frame 9: unknown event 999 (3, 40)");
        assert_eq!(odd.severity(), Severity::Warning);
    }
}
