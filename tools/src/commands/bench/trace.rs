//! A trace in the Trace Event Format (JSON), which Perfetto and Chrome open: each frame, and its stages below it.

use super::frames::Traced;
use anyhow::Result;
use serde_json::json;
use sonotrace::hal::overlay::STAGE_NAMES;

/// Most frames of a trace, the last ones: more are too many to look at.
const FRAMES_MAX: usize = 3000;

/// The trace as text. Stages are drawn one after the other from the moment on at which the frame was due.
///
/// # Errors
/// None is expected.
pub fn text(frames: &[Traced]) -> Result<String> {
    let us = |ns: u64| ns as f64 / 1e3;
    let mut events = Vec::new();
    for frame in &frames[frames.len().saturating_sub(FRAMES_MAX)..] {
        events.push(json!({
            "name": format!("frame {}", frame.seq), "ph": "X", "pid": 1, "tid": 1,
            "ts": us(frame.due_ns), "dur": us(frame.latency_ns), "args": {"objects": frame.objects},
        }));
        let mut at_ns = frame.due_ns;
        for (name, &ns) in STAGE_NAMES.iter().zip(&frame.stage_ns) {
            events.push(json!({
                "name": name, "ph": "X", "pid": 1, "tid": 1, "ts": us(at_ns), "dur": us(ns),
            }));
            at_ns += ns;
        }
    }
    Ok(serde_json::to_string(&json!({"displayTimeUnit": "ms", "traceEvents": events}))?)
}
