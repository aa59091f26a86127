//! What plots by frame share: their size, axes and legend.

use super::svg::{AXIS_COLOUR, Area, GRID_COLOUR, fine, label, stroke, svg, text_style};
use anyhow::Result;
use plotters::coord::combinators::{BindKeyPoints, WithKeyPoints};
use plotters::coord::types::{RangedCoordf64, RangedCoordu64};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

pub(super) const WIDTH: u32 = 940;
pub(super) const LEFT: i32 = 64;
pub(super) const RIGHT: i32 = 760;
pub(super) const DASH_PX: i32 = 8;
pub(super) const GAP_PX: i32 = 5;
/// Maximum number of points of a line by frame: one per pixel.
pub(super) const COLUMNS: usize = (RIGHT - LEFT) as usize;
/// Limits.
pub(super) const LIMIT_COLOUR: RGBColor = RGBColor(0xd0, 0, 0);
pub(super) const DROP_COLOUR: RGBColor = RGBColor(0x80, 0x80, 0x80);

pub(super) type Chart<'a> =
    ChartContext<'a, SVGBackend<'a>, Cartesian2d<WithKeyPoints<RangedCoordu64>, RangedCoordf64>>;

/// Draws a picture of a height, with a title, and returns the text of its file.
pub(super) fn picture(
    title: &str,
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<String> {
    svg(WIDTH, height, |root| {
        root.draw_text(title, &text_style(16, FontStyle::Bold), (fine(LEFT), fine(12)))?;
        draw(root)
    })
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

pub(super) fn milliseconds(time_ns: u64) -> f64 {
    time_ns as f64 * 1e-6
}
