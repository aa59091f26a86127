//! Constants by which a session follows objects: the memory's intervals, the gate, and the regressions of confidence.

use crate::codes;
use bytemuck::{Pod, Zeroable};

/// Defines [`Evidence`] and the names of its fields, in the same order.
macro_rules! evidence {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What shows, without the truth, whether a tracked mask is right: the inputs of the regressions. Sums are over the
        /// tracker's masks; embedding, keys and attention over tokens, weighted by the share of each that the mask covers.
        #[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
        #[repr(C)]
        pub struct Evidence {
            $($(#[$doc])* pub $name: f32,)*
        }

        /// Names of the fields of [`Evidence`], in their order.
        pub const EVIDENCE_NAMES: [&str; EVIDENCE] = [$($text),*];
    };
}

/// Number of values of [`Evidence`].
pub const EVIDENCE: usize = size_of::<Evidence>() / size_of::<f32>();

evidence! {
    /// The segmenter's estimate for its answer, 0 to 1; 0 for an empty mask.
    iou = "iou",
    /// The same, minus that of the reference.
    iou_lost = "iou_lost",
    /// Dice of the tracked mask and that answer.
    agreement = "agreement",
    /// Sum of differences of probability between both, over the root of the area, at most 20.
    gap = "gap",
    /// Frames since that answer, at most 16.
    age = "age",
    /// Mean probability within the mask.
    sureness = "sureness",
    /// Pixels with a probability of 0.1 to 0.9, over the root of the area, at most 20.
    doubt = "doubt",
    /// Absolute logarithm of the area over that of the frame before, at most 3.
    step = "step",
    /// Dice of the mask and that of the frame before.
    step_overlap = "step_overlap",
    /// Distance of the centroid from that of the frame before, over the root of the area, at most 3.
    moved = "move",
    /// Distance of the centroid from that in the reference, over the root of the area there, at most 4.
    away = "away",
    /// Absolute logarithm of the area over that in the reference, at most 3.
    drift = "drift",
    /// Logarithm of the area over the frame's.
    size = "size",
    /// Cosine of the mean embedding inside and that inside the reference's mask.
    alike = "alike",
    /// The same for the surroundings.
    ring_alike = "ring_alike",
    /// Cosine of the mean embeddings inside and around, minus the same in the reference.
    contrast = "contrast",
    /// Cosine of the mean embedding inside and that in the frame before.
    alike_before = "alike_before",
    /// Cosine of the frame's mean embedding and the reference's.
    frame_alike = "frame_alike",
    /// Mean within the mask of each token's largest cosine with the reference's tokens, by the tracker's keys.
    known = "known",
    /// The same over the frame.
    frame_known = "frame_known",
    /// Mean within the mask of the share of a token's attention that the reference's object gets.
    found_inside = "found_inside",
    /// Share of all such attention that lies within the mask.
    found_share = "found_share",
    /// All such attention over the object's tokens in the reference, at most 4.
    found_all = "found_all",
    /// Logarithm of the mean grey level inside over that in the reference, within 4.
    grey = "grey",
    /// The same for the standard deviation.
    spread = "spread",
    /// Share of the inside with grey levels up to 0.03, minus the same in the reference.
    dark = "dark",
    /// Logarithm of the frame's mean grey level over the reference's, within 4.
    level = "level",
}

codes! {
    /// What a regression of [`Evidence`] tells.
    pub enum Judgement {
        /// Whether a mask is right: a Dice of at least 0.90 with the truth.
        Right = 0 "right",
        /// Whether the tracker may learn from a mask: a Dice of at least 0.80, while at least half of the object shows.
        Trusted = 1 "trusted",
        /// Whether nothing of the object lies in the field of view.
        Absent = 2 "absent",
    }
}

/// A logistic regression: the probability is `1 / (1 + exp(-(bias + sum of weights * evidence)))`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct RegressionRecord {
    /// By the order of [`EVIDENCE_NAMES`].
    pub weights: [f32; EVIDENCE],
    /// Addend.
    pub bias: f32,
}

/// How a session follows objects with the file's tracker.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct TrackingRecord {
    /// Tokens along a side of a frame.
    pub grid: u32,
    /// Remembered frames from one memory that is stored to the next.
    pub kept_every: u32,
    /// Least frames from one anchor to the next.
    pub anchored_every: u32,
    /// The anchor is replaced when its mask of an object, warped, has a lower Dice with the object's mask.
    pub anchor_dice: f32,
    /// Weight of the segmenter's mask against the tracker's.
    pub trust: f32,
    /// An object is lost when its probability to be trusted falls below this.
    pub lost_below: f32,
    /// It is found again when that probability reaches this.
    pub found_from: f32,
    /// While an object was lost at most so many frames ago, nothing is remembered.
    pub held_frames: u32,
    /// A mask of less confidence is shown as doubtful.
    pub flagged_below: f32,
    /// By [`Judgement`].
    pub regressions: [RegressionRecord; Judgement::ALL.len()],
}
