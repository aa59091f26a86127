//! An overlay on a picture: contours in the colour of their state, a legend, and a scale bar.

use super::draw::{self, Colour, Vertex};
use super::text::{text, width_px};
use sonotrace_hal::overlay::{Overlay, OverlayObject, State, valid};
use tiny_skia::Pixmap;

const WHITE: Colour = [236, 240, 241];
const DIM: Colour = [168, 176, 180];
/// Colours of clicks on an object and outside it.
const POSITIVE: Colour = [90, 255, 120];
const NEGATIVE: Colour = [255, 80, 70];
/// Width of crosses and scale bars, relative to the height of a capital.
const THIN: f32 = 0.15;
/// Opacity of the fill inside a contour.
pub(super) const FILL_OPACITY: f32 = 0.13;

/// What is drawn in addition to the overlay's contents.
#[derive(Debug, Clone, Copy)]
pub struct OverlayStyle<'a> {
    /// Picture pixels per display pixel: less than 1 where the picture is smaller than the declared display.
    pub scale: f32,
    /// Millimetres from one display pixel to the next; without it there is no scale bar.
    pub mm_per_px: Option<f32>,
    /// Names of objects, by their number.
    pub names: &'a [(u32, &'a str)],
    /// Dice of objects against the truth, by their number, if the truth is known.
    pub dice: &'a [(u32, f32)],
    /// Clicks made on this frame.
    pub clicks: &'a [Click],
}

impl Default for OverlayStyle<'_> {
    fn default() -> Self {
        Self { scale: 1.0, mm_per_px: None, names: &[], dice: &[], clicks: &[] }
    }
}

/// A click to be marked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Click {
    /// Where, in display pixels.
    pub at_px: Vertex,
    /// Whether the click is on the object (else it is outside).
    pub is_positive: bool,
}

/// The colour of a state: green fresh, cyan tracked, orange attention, violet absent, grey stale, red lost.
pub const fn state_colour(state: State) -> Colour {
    match state {
        State::Empty => DIM,
        State::Fresh => [46, 230, 110],
        State::Tracked => [40, 210, 240],
        State::Attention => [255, 152, 20],
        State::Absent => [190, 120, 255],
        State::Stale => [185, 185, 185],
        State::Lost => [255, 70, 60],
    }
}

/// Draws an overlay: each object's contour (dashed where it is stale) with a cross at its centroid, clicks, a legend of
/// the objects at the top left, the frame's numbers at the top right, and the scale bar at the bottom.
pub fn draw_overlay(picture: &mut Pixmap, overlay: &Overlay, style: &OverlayStyle<'_>) {
    let to_picture = |[x, y]: Vertex| [(x + 0.5) * style.scale - 0.5, (y + 0.5) * style.scale - 0.5];
    let size_px = text_size_px(picture);
    for object in overlay.objects() {
        draw_object(picture, object, overlay.object_count > 1, size_px, to_picture);
    }
    for click in style.clicks {
        let colour = if click.is_positive { POSITIVE } else { NEGATIVE };
        draw::dot(picture, to_picture(click.at_px), 0.35 * size_px, colour);
    }
    draw_legend(picture, overlay, style, size_px);
    draw_numbers(picture, overlay, size_px);
    if let Some(mm_per_px) = style.mm_per_px {
        draw_scale_bar(picture, mm_per_px / style.scale, size_px);
    }
}

/// Height of a capital: readable on small pictures, limited on large ones.
fn text_size_px(picture: &Pixmap) -> f32 {
    (picture.height() as f32 / 48.0).clamp(8.0, 20.0)
}

/// State of an object. An unknown state is shown as lost, because the user must not trust it.
fn state_of(wire: u32) -> State {
    State::from_wire(wire).unwrap_or(State::Lost)
}

fn draw_object(
    picture: &mut Pixmap,
    object: &OverlayObject,
    is_numbered: bool,
    size_px: f32,
    to_picture: impl Fn(Vertex) -> Vertex,
) {
    let state = state_of(object.state);
    let polygons: Vec<Vec<Vertex>> =
        object.polygons_px().map(|polygon| polygon.iter().map(|&at| to_picture(at)).collect()).collect();
    if object.valid & valid::PIXELS == 0 || matches!(state, State::Empty | State::Absent | State::Lost) {
        return;
    }
    let Some(contour) = draw::closed(&polygons) else { return };
    let (colour, line_px) = (state_colour(state), size_px / 6.0);
    if state == State::Stale {
        let line = draw::dashed(line_px, 3.0 * line_px, 2.5 * line_px);
        draw::edged_stroke(picture, &contour, &line, colour);
    } else {
        draw::fill(picture, &contour, colour, FILL_OPACITY);
        draw::edged_stroke(picture, &contour, &draw::solid(line_px), colour);
    }
    draw::cross(picture, to_picture(object.centroid_px), 0.45 * size_px, THIN * size_px, colour);
    // At the rightmost point, because the centroid of a bent object may lie in another object.
    let rightmost = polygons.iter().flatten().max_by(|a, b| a[0].total_cmp(&b[0]));
    if let (true, Some([x, y])) = (is_numbered, rightmost) {
        let at = [x + 0.6 * size_px, y + 0.5 * size_px];
        text(picture, at, 1.25 * size_px, colour, &object.id.to_string());
    }
}

/// Two lines for each object: its name beside a swatch of its state's colour, and below it state and measures.
fn draw_legend(picture: &mut Pixmap, overlay: &Overlay, style: &OverlayStyle<'_>, size_px: f32) {
    let left = size_px;
    let mut base = 2.2 * size_px;
    for object in overlay.objects() {
        let colour = state_colour(state_of(object.state));
        let swatch = [left + 0.4 * size_px, base - 0.5 * size_px];
        draw::dot(picture, swatch, 0.36 * size_px, colour);
        let name = style.names.iter().find(|(id, _)| *id == object.id);
        let name = name.map_or_else(|| format!("Object {}", object.id), |(_, name)| (*name).to_owned());
        let label = if overlay.object_count > 1 { format!("{} {name}", object.id) } else { name };
        text(picture, [left + 1.3 * size_px, base], size_px, WHITE, &label);
        base += 1.7 * size_px;
        let mut at = left + 1.3 * size_px;
        let state = state_of(object.state);
        let sure = match state {
            State::Fresh | State::Tracked | State::Attention => format!(" {:.2}", object.confidence),
            _ => String::new(),
        };
        at = text(picture, [at, base], size_px, colour, &format!("{}{sure}", state.name()));
        let dice = style.dice.iter().find(|(id, _)| *id == object.id);
        let dice = dice.map(|(_, dice)| format!("Dice {dice:.2}"));
        for item in area_text(object).into_iter().chain(dice) {
            at = text(picture, [at + 1.4 * size_px, base], size_px, WHITE, &item);
        }
        base += 2.2 * size_px;
    }
}

/// An object's area: square centimetres, square millimetres if it is small, square pixels if the scale is unknown.
fn area_text(object: &OverlayObject) -> Option<String> {
    if object.valid & valid::MILLIMETRES != 0 {
        let area_mm2 = object.area_mm2;
        Some(if area_mm2 >= 100.0 {
            format!("{:.1} cm\u{b2}", area_mm2 / 100.0)
        } else {
            format!("{area_mm2:.0} mm\u{b2}")
        })
    } else if object.valid & valid::PIXELS != 0 {
        Some(format!("{:.0} px\u{b2}", object.area_px2))
    } else {
        None
    }
}

/// Frame number, latency and the overlay's state, flush right.
fn draw_numbers(picture: &mut Pixmap, overlay: &Overlay, size_px: f32) {
    let state = state_of(overlay.state);
    let age_ms = overlay.age_ns as f64 * 1e-6;
    let last = match state {
        State::Stale => format!("{} {age_ms:.0} ms", state.name()),
        _ => state.name().to_owned(),
    };
    let lines = [
        (format!("frame {}", overlay.seq), WHITE),
        (format!("{:.1} ms", overlay.latency_ns as f64 * 1e-6), WHITE),
        (last, state_colour(state)),
    ];
    for (index, (line, colour)) in lines.iter().enumerate() {
        let left = picture.width() as f32 - size_px - width_px(line, size_px);
        text(picture, [left, (2.2 + 1.7 * index as f32) * size_px], size_px, *colour, line);
    }
}

/// Writes the number of frames dropped so far at the bottom left, if it is not zero.
pub fn draw_drops(picture: &mut Pixmap, dropped: u64) {
    if dropped == 0 {
        return;
    }
    let size_px = text_size_px(picture);
    let line = if dropped == 1 { "1 frame dropped".to_owned() } else { format!("{dropped} frames dropped") };
    let base = picture.height() as f32 - 1.5 * size_px;
    text(picture, [size_px, base], size_px, state_colour(State::Attention), &line);
}

/// The length of a scale bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScaleBar {
    /// Length that the bar shows.
    pub length_mm: f32,
    /// Distance between the centres of its two ticks.
    pub length_px: f32,
}

/// A bar of 10 mm if that is between a twentieth and a third of a picture's width, else the longest of 1, 2, 5, 10, ...
/// mm that is at most a fifth of it. None if the scale is not a positive number.
pub fn scale_bar(width_px: u32, mm_per_px: f32) -> Option<ScaleBar> {
    let width_mm = width_px as f32 * mm_per_px;
    if !(width_mm.is_finite() && width_mm > 0.0) {
        return None;
    }
    let length_mm = if (width_mm / 20.0..=width_mm / 3.0).contains(&10.0) {
        10.0
    } else {
        let most_mm = width_mm / 5.0;
        let decade = 10f32.powf(most_mm.log10().floor());
        // The last step covers a decade that rounding made one too high.
        [5.0, 2.0, 1.0, 0.5].map(|step| step * decade).into_iter().find(|&step| step <= most_mm)?
    };
    Some(ScaleBar { length_mm, length_px: length_mm / mm_per_px })
}

fn draw_scale_bar(picture: &mut Pixmap, mm_per_px: f32, size_px: f32) {
    let Some(bar) = scale_bar(picture.width(), mm_per_px) else { return };
    let label = format!("{} mm", bar.length_mm);
    let (right, y) = (picture.width() as f32 - 1.5 * size_px, picture.height() as f32 - 1.5 * size_px);
    let (left, tick) = (right - bar.length_px, 0.35 * size_px);
    let bar = [
        [[left, y], [right, y]],
        [[left, y - tick], [left, y + tick]],
        [[right, y - tick], [right, y + tick]],
    ];
    if let Some(bar) = draw::lines(&bar) {
        draw::edged_stroke(picture, &bar, &draw::solid(THIN * size_px), WHITE);
    }
    let label_px = width_px(&label, size_px);
    let at = (0.5 * (left + right - label_px)).min(right - label_px);
    text(picture, [at, y - size_px], size_px, WHITE, &label);
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, RgbImage};

    fn square(state: State) -> Overlay {
        let mut overlay = Overlay::blank();
        overlay.seq = 42;
        overlay.latency_ns = 18_300_000;
        overlay.state = state as u32;
        overlay.object_count = 1;
        let object = &mut overlay.objects[0];
        object.id = 1;
        object.state = state as u32;
        object.valid = valid::PIXELS | valid::MILLIMETRES;
        (object.points, object.polygons, object.polygon_points[0]) = (4, 1, 4);
        object.area_mm2 = 1240.0;
        object.area_px2 = 10_000.0;
        object.centroid_px = [320.0, 240.0];
        object.contour_px[..4].copy_from_slice(&[
            [270.0, 190.0],
            [370.0, 190.0],
            [370.0, 290.0],
            [270.0, 290.0],
        ]);
        overlay
    }

    fn black(width: u32, height: u32) -> Pixmap {
        draw::from_grey(GrayImage::new(width, height)).unwrap()
    }

    fn drawn(overlay: &Overlay, style: &OverlayStyle<'_>) -> RgbImage {
        let mut picture = black(640, 480);
        draw_overlay(&mut picture, overlay, style);
        draw::to_rgb(&picture)
    }

    #[test]
    fn contours_have_the_colour_of_their_state() {
        for state in [State::Fresh, State::Tracked, State::Attention] {
            let image = drawn(&square(state), &OverlayStyle::default());
            for (x, y) in [(300, 190), (370, 240), (300, 290), (270, 240)] {
                assert_eq!(image.get_pixel(x, y).0, state_colour(state), "{state:?} at ({x}, {y})");
            }
        }
    }

    /// A stale contour has gaps, so that it differs from a fresh one without colours, too.
    #[test]
    fn stale_contours_are_dashed() {
        let image = drawn(&square(State::Stale), &OverlayStyle::default());
        let bright = (270..370).filter(|&x| image.get_pixel(x, 190).0[0] > 100).count();
        assert!((40..80).contains(&bright), "{bright} of 100 pixels are drawn");
    }

    #[test]
    fn absent_and_lost_objects_have_no_contour() {
        for state in [State::Absent, State::Lost] {
            let image = drawn(&square(state), &OverlayStyle::default());
            assert!((180..300).all(|y| (260..380).all(|x| image.get_pixel(x, y).0 == [0, 0, 0])));
            let shown = image.pixels().filter(|pixel| pixel.0 == state_colour(state)).count();
            assert!(shown > 20, "the legend shows {shown} pixels of the state's colour");
        }
    }

    /// On a picture of half the size the contour lies at half the coordinates, measured from pixel edges.
    #[test]
    fn smaller_pictures_are_drawn_to_scale() {
        let mut picture = black(320, 240);
        let style = OverlayStyle { scale: 0.5, ..OverlayStyle::default() };
        draw_overlay(&mut picture, &square(State::Fresh), &style);
        let image = draw::to_rgb(&picture);
        // 190 lies at (190 + 0.5) / 2 - 0.5 = 94.75.
        let column: Vec<u8> = (91..99).map(|y| image.get_pixel(150, y).0[1]).collect();
        let brightest = column.iter().enumerate().max_by_key(|(_, green)| **green).unwrap().0;
        assert_eq!(brightest + 91, 95);
    }

    #[test]
    fn areas_are_written_in_a_suitable_unit() {
        let mut object = square(State::Fresh).objects[0];
        assert_eq!(area_text(&object).unwrap(), "12.4 cm\u{b2}");
        object.area_mm2 = 87.4;
        assert_eq!(area_text(&object).unwrap(), "87 mm\u{b2}");
        object.valid = valid::PIXELS;
        assert_eq!(area_text(&object).unwrap(), "10000 px\u{b2}");
        object.valid = 0;
        assert_eq!(area_text(&object), None);
    }

    /// The drawn bar has the length of its label, to the pixel.
    #[test]
    fn the_scale_bar_is_to_scale() {
        for mm_per_px in [0.05f32, 0.13, 0.31, 0.8] {
            let style = OverlayStyle { mm_per_px: Some(mm_per_px), ..OverlayStyle::default() };
            let image = drawn(&Overlay::blank(), &style);
            let bar = scale_bar(640, mm_per_px).unwrap();
            assert!((bar.length_px * mm_per_px - bar.length_mm).abs() < 1e-3);
            // Above the bar's line only its ticks are bright; their middle is taken to a fraction of a pixel.
            let row = 480 - 15 - 3;
            let tick = |from: u32, to: u32| {
                let weight = |x: u32| f32::from(image.get_pixel(x, row).0[0]);
                (from..to).map(|x| x as f32 * weight(x)).sum::<f32>() / (from..to).map(weight).sum::<f32>()
            };
            let (left, right) = (tick(400, 600), tick(610, 640));
            assert!((right - left - bar.length_px).abs() < 1.0, "{left} to {right}, not {}", bar.length_px);
        }
    }

    #[test]
    fn bars_are_round_lengths() {
        assert_eq!(scale_bar(640, 0.3).unwrap().length_mm, 10.0);
        assert_eq!(scale_bar(640, 0.02).unwrap().length_mm, 2.0);
        assert_eq!(scale_bar(640, 1.0).unwrap().length_mm, 100.0);
        assert_eq!(scale_bar(640, 0.0), None);
        assert_eq!(scale_bar(640, f32::NAN), None);
    }
}
