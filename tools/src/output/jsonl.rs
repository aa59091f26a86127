//! `overlays.jsonl`: what became of each frame, one line of JSON a frame.

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use sonotrace_hal::overlay::{Overlay, OverlayObject, Rung, State, valid};
use std::io::Write;

/// Writes lines to a file or to memory, in the order they are given. The same overlays give the same bytes.
#[derive(Debug)]
pub struct OverlayLines<W: Write> {
    writer: W,
}

#[derive(Serialize)]
struct Line {
    seq: u64,
    t_acq_ns: u64,
    age_ns: Option<u64>,
    latency_ns: Option<u64>,
    outcome: String,
    state: Option<&'static str>,
    rung: Option<&'static str>,
    objects: Vec<Object>,
}

#[derive(Serialize)]
struct Object {
    id: u32,
    state: &'static str,
    confidence: f64,
    area_mm2: Option<f64>,
    perimeter_mm: Option<f64>,
    centroid_px: Option<[f64; 2]>,
    contour_px: Vec<[f64; 2]>,
    contour_mm: Option<Vec<[f64; 2]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mm_unavailable: Option<&'static str>,
}

impl<W: Write> OverlayLines<W> {
    /// Lines go to `writer`, which should be buffered.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }

    /// The line of a frame that brought an overlay (outcome `overlay`). Lengths, pixels and confidences have three
    /// decimals. Millimetre fields are null where they do not hold, and `mm_unavailable` then says why.
    ///
    /// # Errors
    /// A state or rung without a meaning; the writer's own.
    pub fn overlay(&mut self, overlay: &Overlay) -> Result<()> {
        let named = || format!("overlay of frame {}", overlay.seq);
        self.line(&Line {
            seq: overlay.seq,
            t_acq_ns: overlay.t_acq_ns,
            age_ns: Some(overlay.age_ns),
            latency_ns: Some(overlay.latency_ns),
            outcome: "overlay".to_owned(),
            state: Some(state_name(overlay.state).with_context(named)?),
            rung: Some(rung_name(overlay.rung).with_context(named)?),
            objects: overlay.objects().iter().map(object).collect::<Result<_>>().with_context(named)?,
        })
    }

    /// The line of a frame that was dropped: outcome `dropped:REASON`, no state, no objects.
    ///
    /// # Errors
    /// The writer's own.
    pub fn dropped(&mut self, seq: u64, t_acq_ns: u64, reason: &str) -> Result<()> {
        self.line(&Line {
            seq,
            t_acq_ns,
            age_ns: None,
            latency_ns: None,
            outcome: format!("dropped:{reason}"),
            state: None,
            rung: None,
            objects: Vec::new(),
        })
    }

    fn line(&mut self, line: &Line) -> Result<()> {
        serde_json::to_writer(&mut self.writer, line)?;
        self.writer.write_all(b"\n").context("writing a line of overlays.jsonl")
    }

    /// Flushes, and gives the writer back.
    ///
    /// # Errors
    /// The writer's own.
    pub fn finish(mut self) -> Result<W> {
        self.writer.flush().context("writing overlays.jsonl")?;
        Ok(self.writer)
    }
}

fn state_name(wire: u32) -> Result<&'static str> {
    State::from_wire(wire).map(State::name).ok_or_else(|| anyhow!("state is {wire}, which has no meaning"))
}

fn rung_name(wire: u32) -> Result<&'static str> {
    let rung = [Rung::Full, Rung::Repeat].into_iter().find(|&rung| rung as u32 == wire);
    rung.map(Rung::name).ok_or_else(|| anyhow!("rung is {wire}, which has no meaning"))
}

fn object(object: &OverlayObject) -> Result<Object> {
    let has_pixels = object.valid & valid::PIXELS != 0;
    let has_mm = object.valid & valid::MILLIMETRES != 0;
    let mm_unavailable = match (has_mm, has_pixels) {
        (true, _) => None,
        (false, true) => Some("pixel spacing unknown"),
        (false, false) => Some("no contour"),
    };
    let contour = |points: &[[f32; 2]]| points.iter().copied().map(rounded_pair).collect::<Vec<_>>();
    Ok(Object {
        id: object.id,
        state: state_name(object.state)?,
        confidence: rounded(object.confidence),
        area_mm2: has_mm.then(|| rounded(object.area_mm2)),
        perimeter_mm: has_mm.then(|| rounded(object.perimeter_mm)),
        centroid_px: has_pixels.then(|| rounded_pair(object.centroid_px)),
        contour_px: if has_pixels { contour(object.contour_px()) } else { Vec::new() },
        contour_mm: has_mm.then(|| contour(object.contour_mm())),
        mm_unavailable,
    })
}

/// To three decimals; the zero of what rounds to nothing has no sign.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1e3).round() / 1e3 + 0.0
}

fn rounded_pair(pair: [f32; 2]) -> [f64; 2] {
    pair.map(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn triangle(valid: u32) -> Overlay {
        let mut overlay = Overlay::blank();
        (overlay.seq, overlay.t_acq_ns, overlay.age_ns, overlay.latency_ns) =
            (7, 233_333_333, 12_000_000, 11_500_000);
        (overlay.state, overlay.object_count) = (State::Tracked as u32, 1);
        let object = &mut overlay.objects[0];
        (object.id, object.state, object.valid, object.points) = (3, State::Tracked as u32, valid, 3);
        (object.confidence, object.area_mm2, object.perimeter_mm) = (0.912_345, 6.000_04, 12.0);
        object.centroid_px = [11.333_333, -0.000_1];
        object.contour_px[..3].copy_from_slice(&[[10.1, 10.0], [14.0, 10.0], [10.0, 13.0]]);
        object.contour_mm[..3].copy_from_slice(&[[0.1, 0.0], [4.0, 0.0], [0.0, 3.0]]);
        overlay
    }

    fn written(overlay: &Overlay) -> String {
        let mut lines = OverlayLines::new(Vec::new());
        lines.overlay(overlay).unwrap();
        String::from_utf8(lines.finish().unwrap()).unwrap()
    }

    /// Names, order and format, to the byte.
    #[test]
    fn a_line_has_exactly_the_documented_fields() {
        assert_eq!(
            written(&triangle(valid::PIXELS | valid::MILLIMETRES)),
            concat!(
                r#"{"seq":7,"t_acq_ns":233333333,"age_ns":12000000,"latency_ns":11500000,"outcome":"overlay","#,
                r#""state":"tracked","rung":"full","objects":[{"id":3,"state":"tracked","confidence":0.912,"#,
                r#""area_mm2":6.0,"perimeter_mm":12.0,"centroid_px":[11.333,0.0],"#,
                r#""contour_px":[[10.1,10.0],[14.0,10.0],[10.0,13.0]],"#,
                r#""contour_mm":[[0.1,0.0],[4.0,0.0],[0.0,3.0]]}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn millimetres_are_null_with_a_reason_where_the_scale_is_unknown() {
        let line: Value = serde_json::from_str(&written(&triangle(valid::PIXELS))).unwrap();
        let object = &line["objects"][0];
        for field in ["area_mm2", "perimeter_mm", "contour_mm"] {
            assert_eq!(object.get(field), Some(&Value::Null), "{field}");
        }
        assert_eq!(object["mm_unavailable"], "pixel spacing unknown");
        assert_eq!(object["contour_px"][1], json!([14.0, 10.0]));
    }

    #[test]
    fn a_lost_object_has_no_contour() {
        let mut overlay = triangle(0);
        overlay.objects[0].state = State::Lost as u32;
        let line: Value = serde_json::from_str(&written(&overlay)).unwrap();
        let object = &line["objects"][0];
        assert_eq!((&object["contour_px"], &object["centroid_px"]), (&json!([]), &Value::Null));
        assert_eq!((&object["state"], &object["mm_unavailable"]), (&json!("lost"), &json!("no contour")));
    }

    #[test]
    fn drops_get_a_line_too() {
        let mut lines = OverlayLines::new(Vec::new());
        lines.dropped(8, 266_666_666, "superseded").unwrap();
        lines.dropped(9, 300_000_000, "malformed").unwrap();
        let text = String::from_utf8(lines.finish().unwrap()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines[0],
            json!({"seq": 8, "t_acq_ns": 266_666_666, "age_ns": null, "latency_ns": null,
                "outcome": "dropped:superseded", "state": null, "rung": null, "objects": []})
        );
        assert_eq!(lines[1]["outcome"], "dropped:malformed");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn unknown_states_and_rungs_are_refused() {
        let mut lines = OverlayLines::new(Vec::new());
        let mut overlay = triangle(0);
        overlay.rung = 9;
        assert_eq!(
            format!("{:#}", lines.overlay(&overlay).unwrap_err()),
            "overlay of frame 7: rung is 9, which has no meaning"
        );
        overlay.rung = 0;
        overlay.objects[0].state = 17;
        assert!(format!("{:#}", lines.overlay(&overlay).unwrap_err()).contains("state is 17"));
        assert!(lines.finish().unwrap().is_empty(), "nothing of a refused overlay is written");
    }

    /// A count that promises more than there is room for is cut to the room.
    #[test]
    fn counts_are_not_believed() {
        let mut overlay = triangle(valid::PIXELS);
        overlay.object_count = u32::MAX;
        overlay.objects[0].points = u32::MAX;
        let line: Value = serde_json::from_str(&written(&overlay)).unwrap();
        assert_eq!(line["objects"].as_array().unwrap().len(), sonotrace_hal::overlay::OBJECTS_MAX);
        assert_eq!(line["objects"][0]["contour_px"].as_array().unwrap().len(), 128);
    }
}
