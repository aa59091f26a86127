//! What the plots share: sizes, colours, texts.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const FONT: &str = "Helvetica, Arial, sans-serif";
/// plotters places everything on whole pixels. The plot is drawn this many times as large, so that curves are smooth.
pub const FINE: i32 = 8;
/// Colours that colour-blind readers can distinguish (Okabe and Ito, 2008).
pub const COLOURS: [RGBColor; 6] = [
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x99, 0x99, 0x99),
];
/// Of text.
pub const TEXT_COLOUR: RGBColor = RGBColor(0x33, 0x33, 0x33);
/// Of axes.
pub const AXIS_COLOUR: RGBColor = RGBColor(0x77, 0x77, 0x77);
/// Of grids.
pub const GRID_COLOUR: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);

/// A part of a plot.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a plot of a size in pixels. Returns the text of an SVG file.
///
/// # Errors
/// Those of `draw`; none else is expected, because the text is written to memory.
pub fn svg(width: u32, height: u32, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    let size = [width, height].map(|side| side * FINE as u32);
    let root = SVGBackend::with_string(&mut svg, (size[0], size[1])).into_drawing_area();
    root.fill(&WHITE)?;
    draw(&root)?;
    root.present()?;
    drop(root);
    let attributes = |size: [u32; 2]| format!(r#"<svg width="{}" height="{}""#, size[0], size[1]);
    Ok(svg.replacen(&attributes(size), &attributes([width, height]), 1))
}

/// Writes a text. `y` is its middle; `x` is its left end or centre, depending on the anchor.
///
/// # Errors
/// None is expected, because the text is written to memory.
pub fn label(area: &Area<'_>, text: &str, [x, y]: [i32; 2], anchor: HPos) -> Result<()> {
    let style = text_style(12, FontStyle::Normal).pos(Pos::new(anchor, VPos::Center));
    Ok(area.draw_text(text, &style, (fine(x), fine(y)))?)
}

/// A length of the plot, in the units that are drawn.
pub fn fine(px: i32) -> i32 {
    FINE * px
}

/// A line's style.
pub fn stroke(colour: RGBColor, width_px: f64) -> ShapeStyle {
    colour.stroke_width((f64::from(FINE) * width_px).round() as u32)
}

/// A text's style.
pub fn text_style(size_px: i32, style: FontStyle) -> TextStyle<'static> {
    // plotters writes sizes divided by 1.24.
    let size = 1.24 * f64::from(fine(size_px));
    TextStyle::from((FONT, size, style)).color(&TEXT_COLOUR)
}
