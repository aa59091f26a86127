//! `overlays.jsonl`: the outcome of each frame, one line of JSON per frame.

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use sonotrace_hal::overlay::{
    Overlay, OverlayObject, PromptAnswer, PromptOutcome, Rung, State, overlay_flags, valid,
};
use std::io::Write;

/// Writes lines to a file or to memory, in the order of the calls. The same overlays give the same bytes.
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Answer>,
    objects: Vec<Object>,
}

#[derive(Serialize)]
struct Object {
    id: u32,
    state: &'static str,
    confidence: f64,
    needs_attention: bool,
    checked_frames_ago: u32,
    area_mm2: Option<f64>,
    perimeter_mm: Option<f64>,
    centroid_px: Option<[f64; 2]>,
    contour_px: Vec<[f64; 2]>,
    contour_mm: Option<Vec<[f64; 2]>>,
    holes_px: Vec<Vec<[f64; 2]>>,
    holes_mm: Option<Vec<Vec<[f64; 2]>>>,
    long_axis_mm: Option<f64>,
    short_axis_mm: Option<f64>,
    ellipse: Option<Ellipse>,
    volume: Option<Volume>,
    beat: Option<Beat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mm_unavailable: Option<&'static str>,
}

#[derive(Serialize)]
struct Ellipse {
    centre_mm: [f64; 2],
    semi_major_mm: f64,
    semi_minor_mm: f64,
    angle_rad: f64,
    circumference_mm: f64,
}

#[derive(Serialize)]
struct Volume {
    discs_ml: f64,
    area_length_ml: f64,
    length_mm: f64,
    axis_mm: [[f64; 2]; 2],
}

#[derive(Serialize)]
struct Beat {
    largest_ml: f64,
    smallest_ml: f64,
    ejection_fraction: f64,
    rate_per_min: f64,
    largest_t_ns: u64,
    smallest_t_ns: u64,
}

#[derive(Serialize)]
struct Answer {
    ticket: u32,
    object: u32,
    outcome: &'static str,
    /// The frame on which it was served, and how far off in time that is; null if it was not served.
    seq: Option<u64>,
    offset_ns: Option<i64>,
}

impl<W: Write> OverlayLines<W> {
    /// Lines go to `writer`, which should be buffered.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }

    /// Writes the line of an overlay (outcome `overlay`, or `update` for a further overlay of a frozen frame). Lengths,
    /// pixels, volumes and confidences have three decimals. Millimetre fields are null if they are not valid, and
    /// `mm_unavailable` then gives the reason.
    ///
    /// # Errors
    /// An unknown state or rung; the writer's errors.
    pub fn overlay(&mut self, overlay: &Overlay) -> Result<()> {
        let named = || format!("overlay of frame {}", overlay.seq);
        self.line(&Line {
            seq: overlay.seq,
            t_acq_ns: overlay.t_acq_ns,
            age_ns: Some(overlay.age_ns),
            latency_ns: Some(overlay.latency_ns),
            outcome: if overlay.flags & overlay_flags::UPDATE == 0 { "overlay" } else { "update" }.to_owned(),
            state: Some(state_name(overlay.state).with_context(named)?),
            rung: Some(rung_name(overlay.rung).with_context(named)?),
            answers: overlay.answers().iter().map(answer).collect::<Result<_>>().with_context(named)?,
            objects: overlay.objects().iter().map(object).collect::<Result<_>>().with_context(named)?,
        })
    }

    /// Writes the line of a frame that was dropped: outcome `dropped:REASON`, no state, no objects.
    ///
    /// # Errors
    /// The writer's errors.
    pub fn dropped(&mut self, seq: u64, t_acq_ns: u64, reason: &str) -> Result<()> {
        self.line(&Line {
            seq,
            t_acq_ns,
            age_ns: None,
            latency_ns: None,
            outcome: format!("dropped:{reason}"),
            state: None,
            rung: None,
            answers: Vec::new(),
            objects: Vec::new(),
        })
    }

    fn line(&mut self, line: &Line) -> Result<()> {
        serde_json::to_writer(&mut self.writer, line)?;
        self.writer.write_all(b"\n").context("cannot write a line of overlays.jsonl")
    }

    /// Flushes and returns the writer.
    ///
    /// # Errors
    /// The writer's errors.
    pub fn finish(mut self) -> Result<W> {
        self.writer.flush().context("cannot write overlays.jsonl")?;
        Ok(self.writer)
    }
}

fn state_name(wire: u32) -> Result<&'static str> {
    State::from_wire(wire).map(State::name).ok_or_else(|| anyhow!("state {wire} is unknown"))
}

fn rung_name(wire: u32) -> Result<&'static str> {
    Rung::from_wire(wire).map(Rung::name).ok_or_else(|| anyhow!("rung {wire} is unknown"))
}

fn answer(answer: &PromptAnswer) -> Result<Answer> {
    let PromptAnswer { ticket, object, outcome, seq, offset_ns, .. } = *answer;
    let outcome = PromptOutcome::from_wire(outcome)
        .ok_or_else(|| anyhow!("outcome {outcome} of prompt {ticket} is unknown"))?;
    let is_served = outcome == PromptOutcome::Served;
    Ok(Answer {
        ticket,
        object,
        outcome: outcome.name(),
        seq: is_served.then_some(seq),
        offset_ns: is_served.then_some(offset_ns),
    })
}

fn object(object: &OverlayObject) -> Result<Object> {
    let has_pixels = object.valid & valid::PIXELS != 0;
    let has_mm = object.valid & valid::MILLIMETRES != 0;
    let mm_unavailable = match (has_mm, has_pixels) {
        (true, _) => None,
        (false, true) => Some("pixel spacing unknown"),
        (false, false) => Some("no contour"),
    };
    let polygon = |points: &[[f32; 2]]| points.iter().copied().map(rounded_pair).collect::<Vec<_>>();
    let mut polygons_px = object.polygons_px().map(polygon);
    let mut polygons_mm = object.polygons_mm().map(polygon);
    let length = |mm: f32| has_mm.then(|| rounded(mm));
    Ok(Object {
        id: object.id,
        state: state_name(object.state)?,
        confidence: rounded(object.confidence),
        needs_attention: object.valid & valid::ATTENTION != 0,
        checked_frames_ago: object.checked_frames_ago,
        area_mm2: length(object.area_mm2),
        perimeter_mm: length(object.perimeter_mm),
        centroid_px: has_pixels.then(|| rounded_pair(object.centroid_px)),
        contour_px: polygons_px.next().filter(|_| has_pixels).unwrap_or_default(),
        contour_mm: polygons_mm.next().filter(|_| has_mm),
        holes_px: if has_pixels { polygons_px.collect() } else { Vec::new() },
        holes_mm: has_mm.then(|| polygons_mm.collect()),
        long_axis_mm: length(object.long_axis_mm),
        short_axis_mm: length(object.short_axis_mm),
        ellipse: (object.valid & valid::ELLIPSE != 0).then(|| Ellipse {
            centre_mm: rounded_pair(object.ellipse.centre_mm),
            semi_major_mm: rounded(object.ellipse.semi_major_mm),
            semi_minor_mm: rounded(object.ellipse.semi_minor_mm),
            angle_rad: rounded(object.ellipse.angle_rad),
            circumference_mm: rounded(object.ellipse.circumference_mm),
        }),
        volume: (object.valid & valid::VOLUME != 0).then(|| Volume {
            discs_ml: rounded(object.volume.discs_ml),
            area_length_ml: rounded(object.volume.area_length_ml),
            length_mm: rounded(object.volume.length_mm),
            axis_mm: object.volume.axis_mm.map(rounded_pair),
        }),
        beat: (object.valid & valid::BEAT != 0).then(|| Beat {
            largest_ml: rounded(object.beat.largest_ml),
            smallest_ml: rounded(object.beat.smallest_ml),
            ejection_fraction: rounded(object.beat.ejection_fraction),
            rate_per_min: rounded(object.beat.rate_per_min),
            largest_t_ns: object.beat.largest_t_ns,
            smallest_t_ns: object.beat.smallest_t_ns,
        }),
        mm_unavailable,
    })
}

/// Rounds to three decimals. Adding 0.0 turns -0 into 0.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1e3).round() / 1e3 + 0.0
}

fn rounded_pair(pair: [f32; 2]) -> [f64; 2] {
    pair.map(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use serde_json::{Value, json};

    fn triangle(valid: u32) -> Overlay {
        let mut overlay = Overlay::blank();
        (overlay.seq, overlay.t_acq_ns, overlay.age_ns, overlay.latency_ns) =
            (7, 233_333_333, 12_000_000, 11_500_000);
        (overlay.state, overlay.object_count) = (State::Tracked as u32, 1);
        let object = &mut overlay.objects[0];
        (object.id, object.state, object.valid, object.points) = (3, State::Tracked as u32, valid, 3);
        (object.polygons, object.polygon_points[0]) = (1, 3);
        (object.long_axis_mm, object.short_axis_mm) = (5.0, 2.4);
        object.checked_frames_ago = 2;
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
                r#""state":"tracked","rung":"full","objects":[{"id":3,"state":"tracked","confidence":0.912,"needs_attention":false,"#,
                r#""checked_frames_ago":2,"#,
                r#""area_mm2":6.0,"perimeter_mm":12.0,"centroid_px":[11.333,0.0],"#,
                r#""contour_px":[[10.1,10.0],[14.0,10.0],[10.0,13.0]],"#,
                r#""contour_mm":[[0.1,0.0],[4.0,0.0],[0.0,3.0]],"holes_px":[],"holes_mm":[],"#,
                r#""long_axis_mm":5.0,"short_axis_mm":2.4,"ellipse":null,"volume":null,"beat":null}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn millimetres_are_null_with_a_reason_where_the_scale_is_unknown() {
        let line: Value = serde_json::from_str(&written(&triangle(valid::PIXELS))).unwrap();
        let object = &line["objects"][0];
        for field in [
            "area_mm2",
            "perimeter_mm",
            "contour_mm",
            "holes_mm",
            "long_axis_mm",
            "ellipse",
            "volume",
            "beat",
        ] {
            assert_eq!(object.get(field), Some(&Value::Null), "{field}");
        }
        assert_eq!(object["mm_unavailable"], "pixel spacing unknown");
        assert_eq!(object["contour_px"][1], json!([14.0, 10.0]));
    }

    #[test]
    fn holes_ellipses_and_answers_have_their_own_fields() {
        let mut overlay = triangle(valid::PIXELS | valid::MILLIMETRES | valid::ELLIPSE);
        let object = &mut overlay.objects[0];
        (object.points, object.polygons, object.polygon_points[1]) = (6, 2, 3);
        object.contour_px[3..6].copy_from_slice(&[[11.0, 10.5], [11.0, 11.0], [11.5, 10.5]]);
        object.contour_mm[3..6].copy_from_slice(&[[1.0, 0.5], [1.0, 1.0], [1.5, 0.5]]);
        object.ellipse.semi_major_mm = 2.345_67;
        overlay.answer_count = 2;
        let refused = PromptAnswer {
            ticket: 4,
            object: 3,
            outcome: PromptOutcome::TooOld as u32,
            ..Zeroable::zeroed()
        };
        let outcome = PromptOutcome::Served as u32;
        overlay.answers[0] = refused;
        overlay.answers[1] = PromptAnswer { ticket: 5, outcome, seq: 6, offset_ns: -33_000_000, ..refused };
        overlay.flags = overlay_flags::UPDATE;
        let line: Value = serde_json::from_str(&written(&overlay)).unwrap();
        let object = &line["objects"][0];
        assert_eq!(object["contour_mm"].as_array().unwrap().len(), 3);
        assert_eq!(object["holes_px"], json!([[[11.0, 10.5], [11.0, 11.0], [11.5, 10.5]]]));
        assert_eq!(object["holes_mm"], json!([[[1.0, 0.5], [1.0, 1.0], [1.5, 0.5]]]));
        assert_eq!(object["ellipse"]["semi_major_mm"], 2.346);
        assert_eq!(
            line["answers"],
            json!([
                {"ticket": 4, "object": 3, "outcome": "too_old", "seq": null, "offset_ns": null},
                {"ticket": 5, "object": 3, "outcome": "served", "seq": 6, "offset_ns": -33_000_000}
            ])
        );
        assert_eq!(line["outcome"], "update");
    }

    #[test]
    fn volumes_and_beats_are_shown_where_they_are_valid() {
        let all = valid::PIXELS | valid::MILLIMETRES | valid::ELLIPSE | valid::VOLUME | valid::BEAT;
        let mut overlay = triangle(all);
        let object = &mut overlay.objects[0];
        object.volume.discs_ml = 104.123_4;
        object.volume.area_length_ml = 106.0;
        object.volume.length_mm = 71.25;
        object.volume.axis_mm = [[1.0, 2.0], [-0.000_1, 73.25]];
        (object.beat.largest_ml, object.beat.smallest_ml) = (110.0, 44.0);
        (object.beat.ejection_fraction, object.beat.rate_per_min) = (0.6, 71.428_57);
        (object.beat.largest_t_ns, object.beat.smallest_t_ns) = (1_000_000_000_000_000_001, 7);
        let object = &serde_json::from_str::<Value>(&written(&overlay)).unwrap()["objects"][0];
        let volume = json!({"discs_ml": 104.123, "area_length_ml": 106.0, "length_mm": 71.25,
            "axis_mm": [[1.0, 2.0], [0.0, 73.25]]});
        let beat = json!({"largest_ml": 110.0, "smallest_ml": 44.0, "ejection_fraction": 0.6,
            "rate_per_min": 71.429, "largest_t_ns": 1_000_000_000_000_000_001_u64, "smallest_t_ns": 7});
        assert_eq!((&object["volume"], &object["beat"]), (&volume, &beat));
        overlay.objects[0].valid = all & !valid::BEAT;
        let object = &serde_json::from_str::<Value>(&written(&overlay)).unwrap()["objects"][0];
        assert_eq!((&object["volume"], &object["beat"]), (&volume, &Value::Null));
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
    fn dropped_frames_get_a_line() {
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
            "overlay of frame 7: rung 9 is unknown"
        );
        overlay.rung = 0;
        overlay.objects[0].state = 17;
        assert!(format!("{:#}", lines.overlay(&overlay).unwrap_err()).contains("state 17"));
        assert!(lines.finish().unwrap().is_empty(), "no part of a refused overlay is written");
    }

    /// Counts above the capacity are clamped to it.
    #[test]
    fn counts_above_capacity_are_clamped() {
        let mut overlay = triangle(valid::PIXELS);
        overlay.object_count = u32::MAX;
        (overlay.objects[0].points, overlay.objects[0].polygon_points[0]) = (u32::MAX, u32::MAX);
        let line: Value = serde_json::from_str(&written(&overlay)).unwrap();
        assert_eq!(line["objects"].as_array().unwrap().len(), sonotrace_hal::overlay::OBJECTS_MAX);
        assert_eq!(line["objects"][0]["contour_px"].as_array().unwrap().len(), 256);
    }
}
