//! What the plots have in common: size, colours, axes, legend.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::combinators::{BindKeyPoints, WithKeyPoints};
use plotters::coord::types::{RangedCoordf64, RangedCoordu64};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const FONT: &str = "Helvetica, Arial, sans-serif";
pub(super) const WIDTH: u32 = 940;
pub(super) const LEFT: i32 = 64;
pub(super) const RIGHT: i32 = 760;
/// plotters places everything on whole pixels. The plot is drawn this many times as large, so that curves are smooth.
pub(super) const FINE: i32 = 8;
pub(super) const DASH_PX: i32 = 8;
pub(super) const GAP_PX: i32 = 5;
/// Maximum number of points of a line by frame: one per pixel.
pub(super) const COLUMNS: usize = (RIGHT - LEFT) as usize;
/// Colours that colour-blind readers can distinguish (Okabe and Ito, 2008).
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x99, 0x99, 0x99),
];
/// Limits.
pub(super) const LIMIT_COLOUR: RGBColor = RGBColor(0xd0, 0, 0);
pub(super) const DROP_COLOUR: RGBColor = RGBColor(0x80, 0x80, 0x80);
const TEXT_COLOUR: RGBColor = RGBColor(0x33, 0x33, 0x33);
const AXIS_COLOUR: RGBColor = RGBColor(0x77, 0x77, 0x77);
const GRID_COLOUR: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a> =
    ChartContext<'a, SVGBackend<'a>, Cartesian2d<WithKeyPoints<RangedCoordu64>, RangedCoordf64>>;

/// Draws a picture of a height, with a title, and returns the text of its file.
pub(super) fn picture(
    title: &str,
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    let size = [WIDTH, height].map(|side| side * FINE as u32);
    let root = SVGBackend::with_string(&mut svg, (size[0], size[1])).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw_text(title, &text_style(16, FontStyle::Bold), (fine(LEFT), fine(12)))?;
    draw(&root)?;
    root.present()?;
    drop(root);
    let attributes = |size: [u32; 2]| format!(r#"<svg width="{}" height="{}""#, size[0], size[1]);
    Ok(svg.replacen(&attributes(size), &attributes([WIDTH, height]), 1))
}

/// Axes with a grid, `top` pixels below the area's edge, with these ticks on the horizontal axis.
pub(super) fn axes<'a>(
    area: &Area<'a>,
    top: i32,
    ends: [u64; 2],
    ticks: Vec<u64>,
    tick_label: &dyn Fn(&u64) -> String,
    y_max: f64,
    y_labels: usize,
) -> Result<Chart<'a>> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(fine(top))
        .margin_right(fine(WIDTH as i32 - RIGHT))
        .y_label_area_size(fine(LEFT))
        .x_label_area_size(fine(40))
        .build_cartesian_2d((ends[0]..ends[1]).with_key_points(ticks), 0.0..y_max)?;
    chart
        .configure_mesh()
        .y_labels(y_labels)
        .y_label_formatter(&|y| format!("{}", (y * 1e9).round() / 1e9))
        .x_label_formatter(tick_label)
        .label_style(text_style(12, FontStyle::Normal))
        .axis_style(stroke(AXIS_COLOUR, 1.0))
        .bold_line_style(stroke(GRID_COLOUR, 1.0))
        .light_line_style(TRANSPARENT)
        .set_all_tick_mark_size(fine(4))
        .draw()?;
    Ok(chart)
}

/// One line of the legend, to the right of the axes; its sample is dashed if `gap_px` is not 0.
pub(super) fn legend_entry(
    area: &Area<'_>,
    line: usize,
    text: &str,
    style: ShapeStyle,
    gap_px: i32,
) -> Result<()> {
    let (left, y) = (RIGHT + 16, 68 + 18 * line as i32);
    let sample = [left, left + DASH_PX + GAP_PX + DASH_PX].map(|x| (fine(x), fine(y)));
    area.draw(&DashedPathElement::new(sample, fine(DASH_PX), fine(gap_px), style))?;
    label(area, text, [left + 28, y], HPos::Left)
}

/// Writes a text. `y` is its middle; `x` is its left end or centre, depending on the anchor.
pub(super) fn label(area: &Area<'_>, text: &str, [x, y]: [i32; 2], anchor: HPos) -> Result<()> {
    let style = text_style(12, FontStyle::Normal).pos(Pos::new(anchor, VPos::Center));
    Ok(area.draw_text(text, &style, (fine(x), fine(y)))?)
}

pub(super) fn fine(px: i32) -> i32 {
    FINE * px
}

pub(super) fn stroke(colour: RGBColor, width_px: f64) -> ShapeStyle {
    colour.stroke_width((f64::from(FINE) * width_px).round() as u32)
}

fn text_style(size_px: i32, style: FontStyle) -> TextStyle<'static> {
    // plotters writes sizes divided by 1.24.
    let size = 1.24 * f64::from(fine(size_px));
    TextStyle::from((FONT, size, style)).color(&TEXT_COLOUR)
}

pub(super) fn milliseconds(time_ns: u64) -> f64 {
    time_ns as f64 * 1e-6
}
