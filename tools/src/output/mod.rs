//! Output of the commands: pictures with their overlays, an animation, one line of JSON per frame, the report, and its
//! table and plot.
//!
//! * [`picture`]: a frame as the display shows it.
//! * [`draw`]: anti-aliased lines, fills and markers; [`text`]: letters.
//! * [`annotate`]: an overlay on a picture.
//! * [`gif`]: pictures as an animation.
//! * [`jsonl`]: overlays and drops as lines of JSON.
//! * [`stages`]: the times of each stage, in histograms.
//! * [`report`]: the summary of a run, as JSON and as a table.
//! * [`latency_svg`]: the plot of latencies; [`tracking_svg`]: that of confidence, age and rungs. `plot`: what plots by frame share.
//! * [`svg`]: what all plots share.
//! * [`dice`]: the overlap of two contours.

pub mod annotate;
pub mod dice;
pub mod draw;
pub mod gif;
pub mod jsonl;
pub mod latency_svg;
pub mod message;
pub mod picture;
mod plot;
pub mod report;
pub mod stages;
pub mod svg;
pub mod text;
pub mod tracking_svg;
