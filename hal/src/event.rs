//! The event log: the real-time thread records fixed-size events without waiting, another thread writes them out.
//!
//! A full ring evicts its oldest events and counts them. [`Event`] displays as one line of text; [`write_out`] passes it
//! to `log` (feature `log`) and to `defmt` (feature `defmt`, for builds without an operating system).

use crate::frame::FrameField;
use bytemuck::{Pod, Zeroable};
use core::fmt;

/// Content of a ring of events, `SNTE` in memory order.
pub const EVENT_MAGIC: u32 = u32::from_le_bytes(*b"SNTE");

/// Reason why a frame has no overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u32)]
pub enum DropReason {
    /// Replaced by a newer frame: evicted by the ring, or skipped because only the newest frame is processed.
    Superseded = 0,
    /// Its descriptor or payload was refused.
    Malformed = 1,
    /// Its sequence number or time was not later than a delivered frame's.
    OutOfOrder = 2,
    /// The image was frozen.
    Frozen = 3,
    /// The session ended before the frame was processed.
    ShutDown = 4,
}

/// Number of reasons.
pub const DROP_REASONS: usize = 5;

impl DropReason {
    /// All reasons, in the order of their wire values.
    pub const ALL: [Self; DROP_REASONS] =
        [Self::Superseded, Self::Malformed, Self::OutOfOrder, Self::Frozen, Self::ShutDown];

    /// The reason with a wire value.
    pub fn from_wire(value: u32) -> Option<Self> {
        Self::ALL.get(value as usize).copied()
    }

    /// Returns its name in lower case, for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Malformed => "malformed",
            Self::OutOfOrder => "out_of_order",
            Self::Frozen => "frozen",
            Self::ShutDown => "shut_down",
        }
    }
}

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

            /// What its two numbers mean: the text of its events, with `{detail}` and `{value}` in place of the numbers.
            pub const fn template(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
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
                if kind == EventKind::FrameDropped as u32 {
                    // Names instead of two codes that a reader of the log would have to look up.
                    return write_drop(out, detail, value);
                }
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
    /// A frame was dropped; detail: a [`DropReason`]; value: a [`FrameField`], the one that is wrong.
    FrameDropped = 5, Warning, "dropped, reason {detail}, field {value}", detail, value;
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
    /// An object keeps its millimetres in another geometry; detail: its number.
    ObjectReprojected = 12, Info, "object {detail} is reprojected into the new geometry", detail;
    /// An overlay was later than its budget; value: by how many nanoseconds.
    DeadlineMissed = 13, Warning, "overlay later than its budget by {value} ns", value;
    /// Overlays were evicted unread; value: how many so far.
    OverlaysUnfetched = 14, Warning, "overlays are not fetched: {value} so far", value;
    /// The command ring held a malformed command.
    BadCommand = 15, Warning, "a malformed command was ignored";
    /// A value that the networks computed is infinite or NaN, so that nothing is shown of it; detail: the object's number, 0 for
    /// the features of the frame, on which no object is found.
    NotFinite = 16, Warning, "computed values are not finite (object {detail}, 0 for all): nothing is shown of them", detail;
    /// A frame with an overlay was not computed to its end: its contours would have been useless.
    FrameAbandoned = 17, Warning, "its contours were given up: a newer frame has another geometry, or is far newer";
}

fn write_drop(out: &mut fmt::Formatter<'_>, reason: u32, field: u64) -> fmt::Result {
    match DropReason::from_wire(reason) {
        Some(reason) => write!(out, "dropped, {}", reason.name())?,
        None => write!(out, "dropped, reason {reason}")?,
    }
    match u32::try_from(field).ok().and_then(FrameField::from_wire) {
        Some(FrameField::None) => Ok(()),
        Some(field) => write!(out, ": field `{}`", field.name()),
        None => write!(out, ": field {field}"),
    }
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
        let drop = |reason: DropReason, field: FrameField| Event {
            detail: reason as u32,
            value: field as u64,
            ..event(EventKind::FrameDropped)
        };
        let malformed = drop(DropReason::Malformed, FrameField::LawTable);
        assert_eq!(
            std::format!("{malformed}"),
            "12.000345 s, frame 9: dropped, malformed: field `law_table`"
        );
        let late = drop(DropReason::OutOfOrder, FrameField::None);
        assert_eq!(std::format!("{late}"), "12.000345 s, frame 9: dropped, out_of_order");
        let odd = Event { detail: 77, value: 1 << 40, ..late };
        assert_eq!(std::format!("{odd}"), "12.000345 s, frame 9: dropped, reason 77: field 1099511627776");
        let odd = Event { kind: 999, ..event(EventKind::Frozen) };
        assert_eq!(std::format!("{odd}"), "12.000345 s, frame 9: unknown event 999 (3, 40)");
        assert_eq!(odd.severity(), Severity::Warning);
    }
}
