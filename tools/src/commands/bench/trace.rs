//! A trace in the Trace Event Format (JSON), which Perfetto and Chrome open: each frame, and its stages below it.

use anyhow::Result;
use serde_json::json;
use sonotrace::hal::overlay::{Overlay, STAGE_NAMES};

/// The trace as text. Stages are drawn one after the other from the frame's commit on; they add up to the time computed.
///
/// # Errors
/// None is expected.
pub fn text(overlays: &[Overlay]) -> Result<String> {
    let us = |ns: u64| ns as f64 / 1e3;
    let mut events = Vec::new();
    for overlay in overlays {
        let start_ns = overlay.t_acq_ns;
        events.push(json!({
            "name": format!("frame {}", overlay.seq), "ph": "X", "pid": 1, "tid": 1,
            "ts": us(start_ns), "dur": us(overlay.latency_ns),
            "args": {"state": overlay.state, "rung": overlay.rung, "objects": overlay.object_count},
        }));
        let mut at_ns = start_ns;
        for (name, &ns) in STAGE_NAMES.iter().zip(&overlay.stage_ns) {
            events.push(json!({
                "name": name, "ph": "X", "pid": 1, "tid": 1, "ts": us(at_ns), "dur": us(ns),
            }));
            at_ns += ns;
        }
    }
    Ok(serde_json::to_string(&json!({"displayTimeUnit": "ms", "traceEvents": events}))?)
}
