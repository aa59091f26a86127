//! What happened, for people to read later: events of a fixed size, recorded without waiting on the real-time thread
//! and written out by another.
//!
//! A full ring gives its oldest events back, and they are counted. [`Event`] displays as one line of text; [`write_out`]
//! hands it to `log` (feature `log`) and to `defmt` (feature `defmt`, for builds without an operating system).

use bytemuck::{Pod, Zeroable};
use core::fmt;

/// First four bytes of a ring of events, `SNTE` in memory order.
pub const EVENT_MAGIC: u32 = u32::from_le_bytes(*b"SNTE");

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Severity {
    /// Part of every scan.
    Info,
    /// The device or the user should look.
    Warning,
}

/// Makes the kinds of events: name, wire value, severity, and the text around the event's two numbers.
macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $wire:literal, $severity:ident, $text:literal $(, $number:ident)*;)*) => {
        /// What happened.
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

            /// How much it matters.
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
    /// A session ended; value: overlays that it made.
    Closed = 2, Info, "session ended after {value} overlays", value;
    /// The geometry changed, and another sampling table is being made; detail: geometry epoch.
    GeometryChanged = 3, Info, "geometry changed (epoch {detail}): a new sampling table is begun", detail;
    /// The table for the new geometry is whole; detail: geometry epoch; value: frames that it took.
    TableReady = 4, Info, "sampling table of geometry epoch {detail} is ready after {value} frames", detail, value;
    /// A frame was dropped; detail: the session's drop reason.
    FrameDropped = 5, Warning, "dropped, reason {detail}", detail;
    /// Frames are missing before this one; value: how many.
    FramesMissing = 6, Warning, "{value} frames are missing before it", value;
    /// The stream began again: its clock or its sequence numbers went back to the start.
    StreamRestarted = 7, Warning, "the stream began again: its clock or numbers went back";
    /// The image is frozen.
    Frozen = 8, Info, "frozen";
    /// The image is live again.
    Resumed = 9, Info, "live again";
    /// A prompt was answered; detail: the outcome's wire value; value: the prompt's ticket.
    PromptAnswered = 10, Info, "prompt {value} answered with outcome {detail}", detail, value;
    /// An object was lost; detail: its number.
    ObjectLost = 11, Warning, "object {detail} is lost", detail;
    /// An object was carried over to another geometry; detail: its number.
    ObjectCarriedOver = 12, Info, "object {detail} is carried over to the new geometry", detail;
    /// An overlay was later than the budget; value: how late it was.
    DeadlineMissed = 13, Warning, "overlay later than its budget by {value} ns", value;
    /// Overlays were given back unread; value: how many so far.
    OverlaysUnfetched = 14, Warning, "overlays are not fetched: {value} so far", value;
    /// A command that has no meaning was read from the command ring.
    BadCommand = 15, Warning, "a malformed command was ignored";
}

/// One event: 32 bytes, plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct Event {
    /// When, on the runtime's clock.
    pub t_ns: u64,
    /// Sequence number of the frame that it happened on; 0 for none.
    pub seq: u64,
    /// An [`EventKind`].
    pub kind: u32,
    /// A number that the kind explains.
    pub detail: u32,
    /// Another.
    pub value: u64,
}

impl Event {
    /// How much it matters; one of an unknown kind is to be looked at.
    pub fn severity(&self) -> Severity {
        EventKind::from_wire(self.kind).map_or(Severity::Warning, EventKind::severity)
    }
}

/// Hands an event to the logging that this build has: `log`, `defmt`, both or none. Not for the real-time thread.
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
    fn wire_values_lead_back() {
        for &kind in EventKind::ALL {
            assert_eq!(EventKind::from_wire(kind as u32), Some(kind));
        }
        assert_eq!(EventKind::from_wire(0), None);
    }

    #[test]
    fn events_read_as_sentences() {
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
