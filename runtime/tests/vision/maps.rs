//! Input grid, mask enlargement and display: each map against its definition, and against its inverse.

use crate::boundaries::{find_component, follow_boundary};
use proptest::prelude::*;
use sonotrace::hal::geometry::{Content, Geometry, Linear, Point, Raster, Sector};
use sonotrace::vision::grid::rescale;
use sonotrace::vision::mask::{PixelBox, upsample, upsample_rows};
use sonotrace::vision::measures::signed_area;
use sonotrace::vision::{Display, DisplayRaster, Field, InputGrid, Pick, VisionError, map_contour};

const CONVEX: Geometry = Geometry::Sector(Sector {
    lines: 192,
    samples: 592,
    apex_radius_mm: 60.0,
    first_angle_rad: -0.5,
    angle_step_rad: 1.0 / 191.0,
    first_depth_mm: 0.0,
    depth_step_mm: 0.255,
});

const LINEAR: Geometry = Geometry::Linear(Linear {
    lines: 101,
    samples: 401,
    left_mm: -20.0,
    line_step_mm: 0.4,
    first_depth_mm: 2.0,
    depth_step_mm: 0.2,
});

const PICTURE: Geometry = Geometry::Raster(Raster {
    content: Content { column: 0, row: 0, columns: 640, rows: 480 },
    left: -30.0,
    top: 5.0,
    pitch_x: 0.1,
    pitch_y: 0.125,
    millimetres: true,
});

#[test]
fn letterbox_of_a_known_field() {
    // 40 mm x 80 mm into 256: half the columns are padding.
    let grid = InputGrid::new(&LINEAR, 256).unwrap();
    assert_eq!((grid.size(), grid.columns(), grid.rows()), (256, 128, 256));
    assert!((grid.pitch_x() - 0.3125).abs() < 1e-6 && (grid.pitch_y() - 0.3125).abs() < 1e-6);
    let corner = grid.to_plane([-0.5, -0.5]);
    assert!((corner.x + 20.0).abs() < 1e-4 && (corner.y - 2.0).abs() < 1e-4, "{corner:?}");
    let corner = grid.to_plane([127.5, 255.5]);
    assert!((corner.x - 20.0).abs() < 1e-4 && (corner.y - 82.0).abs() < 1e-4, "{corner:?}");
    assert!(grid.contains([127.5, 255.5]) && !grid.contains([127.6, 0.0]) && !grid.contains([f32::NAN, 0.0]));
}

/// Pictures are letterboxed as by Python's `round(W * (size / max(W, H)))`, halves to even, for any pixel pitch.
#[test]
fn letterbox_of_pictures() {
    for (columns, rows, size, expected) in [
        (640, 480, 256, (256, 192)),
        (775, 589, 256, (256, 195)),
        (5, 40, 20, (2, 20)),
        (7, 40, 20, (4, 20)),
        (8000, 2, 64, (64, 1)),
        (3, 2, 256, (256, 171)),
        (31, 512, 256, (16, 256)),
    ] {
        // With the last pitch, half of 31 computed in millimetres is below 15.5.
        for pitch in [1.0, 0.1, 0.037, 0.036_197_08] {
            let raster = Raster {
                content: Content { column: 0, row: 0, columns, rows },
                left: 0.3,
                top: -7.0,
                pitch_x: pitch,
                pitch_y: pitch,
                millimetres: true,
            };
            let grid = InputGrid::new(&Geometry::Raster(raster), size).unwrap();
            assert_eq!((grid.columns(), grid.rows()), expected, "{columns} x {rows} into {size}");
        }
    }
}

#[test]
fn mask_pixels_on_the_input_grid() {
    // The mask's pixel 0 covers input pixels 0 to 3, with the middle at 1.5.
    assert_eq!(rescale([0.0, 63.0], 4.0), [1.5, 253.5]);
    assert_eq!(rescale([-0.5, 63.5], 4.0), [-0.5, 255.5]);
}

/// The formula in PyTorch's documentation of `align_corners=False`: source = (i + 0.5) * in / out - 0.5, at least 0, and
/// the last row and column are repeated beyond the end.
#[test]
fn upsampling_follows_its_formula() {
    for (from, to) in [(4usize, 16usize), (8, 20), (64, 256), (1, 5), (5, 5)] {
        let logits: Vec<f32> = (0..from * from).map(|i| ((i * 7919) % 97) as f32 / 8.0 - 6.0).collect();
        let mut out = vec![f32::NAN; to * to];
        upsample(&logits, from, to, &mut out).unwrap();
        let weights = |i: usize| {
            let source = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
            let low = source.floor() as usize;
            (low, (low + 1).min(from - 1), source - low as f64)
        };
        for y in 0..to {
            for x in 0..to {
                let ((x0, x1, fx), (y0, y1, fy)) = (weights(x), weights(y));
                let at = |x: usize, y: usize| f64::from(logits[y * from + x]);
                let expected = (1.0 - fy) * ((1.0 - fx) * at(x0, y0) + fx * at(x1, y0))
                    + fy * ((1.0 - fx) * at(x0, y1) + fx * at(x1, y1));
                assert!((f64::from(out[y * to + x]) - expected).abs() < 1e-4, "({x}, {y}) of {from} to {to}");
            }
        }
    }
    // Two by two to four by four, calculated by hand.
    let mut out = [0.0; 16];
    upsample(&[0.0, 4.0, 8.0, 12.0], 2, 4, &mut out).unwrap();
    assert_eq!(out[..8], [0.0, 1.0, 3.0, 4.0, 2.0, 3.0, 5.0, 6.0]);
    assert!(matches!(upsample(&[0.0; 3], 2, 4, &mut out), Err(VisionError::Slice { needed: 4, .. })));
    assert!(matches!(upsample(&[0.0; 4], 2, 5, &mut out), Err(VisionError::Slice { needed: 25, .. })));
}

#[test]
fn a_field_is_cropped_to_the_valid_area() {
    // The valid area is 3 x 2 of a grid of 4; inside pixels beyond it are ignored.
    let logits =
        [-1.0, 2.0, -1.0, 9.0, f32::NAN, 3.0, f32::INFINITY, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0f32];
    let field = Field::new(&logits, 3, 2, 4).unwrap();
    let binary: Vec<bool> = (0..6).map(|at| field.is_inside(at % 3, at / 3)).collect();
    assert_eq!(binary, [false, true, false, false, true, true]);
    let mut labels = [0; 6];
    let component = find_component(&field, Pick::Largest, &mut labels).unwrap().unwrap();
    assert_eq!(component.pixels, 3);
    let boundary = follow_boundary(&field, &component, &mut [[0.0; 2]; 32]).unwrap();
    assert_eq!(boundary.bounds, PixelBox { x0: 1, y0: 0, x1: 2, y1: 1 });
    let empty = Field::new(&[-1.0; 4], 2, 2, 2).unwrap();
    assert_eq!(find_component(&empty, Pick::Largest, &mut labels), Ok(None));
    assert!(Field::new(&logits, 3, 5, 4).is_err());
    assert!(Field::new(&logits, 5, 2, 4).is_err());
    assert!(Field::new(&logits, 0, 2, 4).is_err());
}

#[test]
fn display_of_polar_frames_is_fitted_and_centred() {
    // 40 x 80 mm into 1000 x 400 px: 5 px per millimetre, 200 px wide, 400 px free on either side.
    let display = DisplayRaster::new(&LINEAR, Display::Raster { width: 1000, height: 400 }).unwrap();
    for (point, expected) in
        [((-20.0, 2.0), [399.5, -0.5]), ((20.0, 82.0), [599.5, 399.5]), ((0.0, 42.0), [499.5, 199.5])]
    {
        let at = display.to_display(Point { x: point.0, y: point.1 });
        assert!(
            (at[0] - expected[0]).abs() < 1e-3 && (at[1] - expected[1]).abs() < 1e-3,
            "{at:?} for {point:?}"
        );
    }
    let refused = DisplayRaster::new(&CONVEX, Display::Source);
    assert!(matches!(refused, Err(VisionError::Unsupported { .. })));
    let refused = DisplayRaster::new(&CONVEX, Display::Raster { width: 0, height: 5 });
    assert!(matches!(refused, Err(VisionError::Range { what: "display width", .. })));
}

#[test]
fn display_of_pictures_is_their_own_pixels() {
    let display = DisplayRaster::new(&PICTURE, Display::Source).unwrap();
    let at = display.to_display(Point { x: -30.0 + 0.1 * 100.0, y: 5.0 + 0.125 * 40.0 });
    assert!((at[0] - 100.0).abs() < 1e-3 && (at[1] - 40.0).abs() < 1e-3, "{at:?}");
}

#[test]
fn contours_are_mapped_to_display_and_plane() {
    let grid = InputGrid::new(&PICTURE, 256).unwrap();
    let display = DisplayRaster::new(&PICTURE, Display::Source).unwrap();
    // 64 x 60 mm: the whole valid area is the whole picture.
    let (right, bottom) = (grid.columns() as f32 - 0.5, grid.rows() as f32 - 0.5);
    let contour = [[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]];
    let (mut px, mut mm) = ([[0.0; 2]; 4], [[0.0; 2]; 5]);
    map_contour(&grid, &display, &contour, &mut px, &mut mm).unwrap();
    for (got, expected) in px.iter().zip([[-0.5, -0.5], [639.5, -0.5], [639.5, 479.5], [-0.5, 479.5]]) {
        assert!((got[0] - expected[0]).abs() < 2e-3 && (got[1] - expected[1]).abs() < 2e-3, "{got:?}");
    }
    assert!((signed_area(&px) - 640.0 * 480.0).abs() < 2.0);
    assert!((signed_area(&mm[..4]) - 64.0 * 60.0).abs() < 0.02);
    assert!(map_contour(&grid, &display, &contour, &mut px[..3], &mut mm).is_err());
    assert!(map_contour(&grid, &display, &contour, &mut px, &mut mm[..3]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Enlarging some rows at a time, in any order, gives the same bits as all rows at once.
    #[test]
    fn rows_do_not_depend_on_each_other(
        side in 1usize..24,
        size in 1usize..48,
        logits in prop::collection::vec(-20.0..20.0f32, 24 * 24),
        cuts in prop::collection::vec(0usize..48, 0..6),
    ) {
        let mut cuts = [vec![0, 48], cuts].concat();
        cuts.sort_unstable();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let (mut whole, mut parts) = (vec![f32::NAN; size * size], vec![f32::NAN; size * size]);
        upsample(&logits, side, size, &mut whole).unwrap();
        for pair in cuts.windows(2).rev() {
            upsample_rows(&logits, side, size, pair[0]..pair[1], &mut parts).unwrap();
        }
        prop_assert_eq!(bits(&whole), bits(&parts));
    }

    /// Grid to plane to display and back; both maps are isotropic in millimetres except for rounding.
    #[test]
    fn grid_plane_and_display_maps_are_inverse(which in 0usize..3, x in -0.5..255.5f32, y in -0.5..255.5f32, width in 100u32..2000, height in 100u32..2000) {
        let geometry = [CONVEX, LINEAR, PICTURE][which];
        let grid = InputGrid::new(&geometry, 256).unwrap();
        let display = DisplayRaster::new(&geometry, Display::Raster { width, height }).unwrap();
        let at = display.to_display(grid.to_plane([x, y]));
        let back = grid.to_grid(display.to_plane(at));
        prop_assert!((back[0] - x).abs() < 0.01 && (back[1] - y).abs() < 0.01, "[{x}, {y}] -> {at:?} -> {back:?}");
        if grid.contains([x, y]) {
            prop_assert!(at[0] > -0.51 && at[0] < width as f32 - 0.49, "{at:?}");
            prop_assert!(at[1] > -0.51 && at[1] < height as f32 - 0.49, "{at:?}");
        }
        let ratio = grid.pitch_x() / grid.pitch_y();
        prop_assert!((ratio - 1.0).abs() < 0.5 / f64::from(grid.columns().min(grid.rows())) + 1e-6, "{ratio}");
    }
}
