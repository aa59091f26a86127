//! What goes wrong in a simulated scan.

use sonotrace_sim::random::Random;

/// A fault, or something that happens at a bad moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A frame comes after newer ones.
    Late,
    /// Frames are held back, and come at once.
    Burst,
    /// A frame comes twice.
    Duplicate,
    /// Its samples are damaged.
    Torn,
    /// Words of its descriptor are wrong.
    Malformed,
    /// Its descriptor is noise.
    Noise,
    /// It never comes.
    Missing,
    /// Some frames say that the image is frozen.
    FrozenFrames,
    /// The device freezes the image for a while.
    Freeze,
    /// Nobody fetches overlays for a while.
    StalledConsumer,
    /// One piece of work takes far too long.
    Overrun,
    /// Everything becomes slower for a while.
    Slow,
    /// The session's thread does not run for a while.
    Unscheduled,
    /// The sonographer selects another geometry.
    View,
    /// The probe's clock and numbers begin anew.
    Restart,
    /// Prompts on frames that are old, new, or not there, and at any place.
    Prompts,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Late,
        Self::Burst,
        Self::Duplicate,
        Self::Torn,
        Self::Malformed,
        Self::Noise,
        Self::Missing,
        Self::FrozenFrames,
        Self::Freeze,
        Self::StalledConsumer,
        Self::Overrun,
        Self::Slow,
        Self::Unscheduled,
        Self::View,
        Self::Restart,
        Self::Prompts,
    ];

    /// Those that change when a frame is computed, and not what is computed for it.
    pub const OF_TIMING: [Self; 8] = [
        Self::Late,
        Self::Burst,
        Self::Duplicate,
        Self::Torn,
        Self::Missing,
        Self::Overrun,
        Self::Slow,
        Self::Unscheduled,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late frames",
            Self::Burst => "bursts",
            Self::Duplicate => "duplicate frames",
            Self::Torn => "torn frames",
            Self::Malformed => "malformed frames",
            Self::Noise => "noise for a descriptor",
            Self::Missing => "missing frames",
            Self::FrozenFrames => "frozen frames",
            Self::Freeze => "freezes",
            Self::StalledConsumer => "stalls of the consumer",
            Self::Overrun => "overruns of an operation",
            Self::Slow => "slow-downs",
            Self::Unscheduled => "stalls of the session",
            Self::View => "changes of geometry",
            Self::Restart => "restarts of the stream",
            Self::Prompts => "prompts at bad moments",
        }
    }
}

/// Returns a whole number of `from..=to`.
pub fn between(random: &mut Random, from: u64, to: u64) -> u64 {
    from + random.next_u64() % (to - from + 1)
}

/// Returns one of some values.
pub fn one_of<T: Copy>(random: &mut Random, values: &[T]) -> T {
    values[between(random, 0, values.len() as u64 - 1) as usize]
}

/// Returns true with a probability.
pub fn chance(random: &mut Random, probability: f32) -> bool {
    random.uniform() < probability
}
