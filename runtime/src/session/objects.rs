//! Tracked objects, and the conversion of their masks to contours on an overlay.

use super::config::SessionConfig;
use super::programs::DecoderPrompt;
use super::standing::Standing;
use crate::hal::geometry::{Geometry, Point};
use crate::hal::overlay::{CONTOUR_POINTS_MAX, OverlayObject, State, valid};
use crate::vision::measures::fit_ellipse;
use crate::vision::{
    Contour, DisplayRaster, Field, InputGrid, Vertex, VolumeHistory, map_contour, measure, volume,
};
use bytemuck::Zeroable;

/// Minimum pixels on the input grid: an object with a smaller mask is lost, and a smaller hole is filled.
pub(super) const PIXELS_MIN: usize = 12;

/// A tracked object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    /// Number given by the device; 0 if the place is free.
    pub id: u32,
    /// Geometry of the contour that is shown; `None` if there is none.
    pub scene: Option<Scene>,
    /// Entry of the object on overlays.
    pub shown: OverlayObject,
    /// How far it is to be trusted.
    pub standing: Standing,
    /// What is told of its mask.
    pub told: Told,
    /// Feature slot of the frame that its mask lies on.
    pub drawn_on: u32,
    /// The frame that is its reference in the tracker's memory, by number of processed frames; 0 if it is not followed yet.
    pub reference_frame: u64,
    /// Box and clicks on `prompted_frame`; later clicks on that frame are added.
    pub prompt: DecoderPrompt,
    /// The frame of the last prompt, by number of processed frames.
    pub prompted_frame: u64,
    /// The geometry of the frames that its volumes are of.
    pub volumes_in: Option<Geometry>,
}

impl Object {
    /// Creates a new object, or a free place if `id` is 0.
    pub fn new(id: u32) -> Self {
        Self {
            id,
            scene: None,
            shown: OverlayObject::zeroed(),
            standing: Standing::default(),
            told: Told { state: State::Lost, confidence: 0.0, checked_frames_ago: 0 },
            drawn_on: 0,
            reference_frame: 0,
            prompt: DecoderPrompt::default(),
            prompted_frame: 0,
            volumes_in: None,
        }
    }

    /// Shows a contour that was computed on the frame acquired at `t_acq_ns`, and adds the last beat to it. Its volume counts for
    /// the beat unless the user should check it. `volumes`: its volumes on the frames of one geometry since the last prompt.
    pub fn show(
        &mut self,
        mut shown: OverlayObject,
        scene: &Scene,
        t_acq_ns: u64,
        volumes: &mut VolumeHistory,
    ) {
        if self.volumes_in != Some(scene.geometry) {
            volumes.clear();
            self.volumes_in = Some(scene.geometry);
        }
        if shown.valid & valid::VOLUME != 0 {
            if [State::Fresh, State::Tracked].contains(&self.told.state) {
                volumes.push(t_acq_ns, shown.volume.discs_ml);
            }
            if let Some(beat) = volumes.beat(t_acq_ns) {
                shown.valid |= valid::BEAT;
                shown.beat = beat;
            }
        }
        (self.scene, self.shown) = (Some(*scene), shown);
    }

    /// Shows the object without a contour: absent or lost. It stays on overlays until it is found, prompted again, or removed.
    pub fn show_none(&mut self, state: State, confidence: f32, checked_frames_ago: u32) {
        self.scene = None;
        self.shown = OverlayObject { confidence, checked_frames_ago, ..without_contour(self.id, state) };
    }
}

/// Returns the overlay entry of an object without a contour.
pub(super) fn without_contour(id: u32, state: State) -> OverlayObject {
    OverlayObject { id, state: state as u32, ..OverlayObject::zeroed() }
}

/// Returns the index of the object `id`, if it exists.
pub(super) fn place_of(objects: &[Object], id: u32) -> Option<usize> {
    objects.iter().position(|object| object.id == id)
}

/// The geometry of a mask, with its input grid and display.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scene {
    pub geometry: Geometry,
    pub grid: InputGrid,
    pub display: DisplayRaster,
}

#[cfg(test)]
impl Scene {
    /// The scene of a linear probe of 100 mm.
    pub fn of_linear_probe(depth_mm: f32, input_size: u32) -> Self {
        use crate::hal::geometry::Linear;
        use crate::vision::Display;

        let geometry = Geometry::Linear(Linear {
            lines: 101,
            samples: 101,
            left_mm: -50.0,
            line_step_mm: 1.0,
            first_depth_mm: 0.0,
            depth_step_mm: depth_mm / 100.0,
        });
        Self {
            geometry,
            grid: InputGrid::new(&geometry, input_size).expect("a grid"),
            display: DisplayRaster::new(&geometry, Display::Raster { width: 200, height: 200 })
                .expect("a display"),
        }
    }
}

/// Crops a mask on the input grid to the field of view; `None` if the buffer is too small.
pub(super) fn field<'a>(values: &'a [f32], scene: &Scene, config: &SessionConfig<'_>) -> Option<Field<'a>> {
    let grid = &scene.grid;
    let field = Field::new(values, grid.columns() as usize, grid.rows() as usize, grid.size() as usize);
    Some(field.ok()?.with_instructions(config.instructions))
}

/// What is told of an object's mask, besides its contour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub state: State,
    pub confidence: f32,
    pub checked_frames_ago: u32,
}

/// Computes the overlay entry of an object from its contour, whose `points` are on the input grid; `None` if it has too few pixels.
pub(super) fn entry(
    id: u32,
    told: &Told,
    contour: &Contour,
    scene: &Scene,
    points: &[Vertex],
) -> Option<OverlayObject> {
    if contour.component.pixels < PIXELS_MIN {
        return None;
    }
    let mut shown = OverlayObject {
        id,
        state: told.state as u32,
        points: contour.points as u32,
        polygons: contour.boundaries,
        polygon_points: contour.boundary_points,
        confidence: told.confidence.clamp(0.0, 1.0),
        checked_frames_ago: told.checked_frames_ago,
        ..OverlayObject::zeroed()
    };
    if told.state == State::Attention {
        shown.valid |= valid::ATTENTION;
    }
    let points = &points[..contour.points];
    map_contour(&scene.grid, &scene.display, points, &mut shown.contour_px, &mut shown.contour_mm).ok()?;
    if let Some(measures) = measure(contour.split(&shown.contour_px)) {
        shown.valid |= valid::PIXELS;
        shown.area_px2 = measures.area;
        shown.centroid_px = measures.centroid;
    }
    if !scene.geometry.is_millimetres() {
        shown.contour_mm = [[0.0; 2]; CONTOUR_POINTS_MAX];
    } else if let Some(measures) = measure(contour.split(&shown.contour_mm)) {
        shown.valid |= valid::MILLIMETRES;
        shown.area_mm2 = measures.area;
        shown.perimeter_mm = measures.perimeter;
        shown.long_axis_mm = measures.long_axis;
        shown.short_axis_mm = measures.short_axis;
        shown.centroid_mm = measures.centroid;
        if let Some(ellipse) = contour.split(&shown.contour_mm).next().and_then(fit_ellipse) {
            shown.valid |= valid::ELLIPSE;
            shown.ellipse = ellipse;
        }
    }
    let outer = contour.split(&shown.contour_mm).next().unwrap_or_default();
    if contour.at_border || touches_sector(scene, outer) {
        shown.valid |= valid::AT_BORDER;
    } else if shown.valid & valid::MILLIMETRES != 0
        && let Some(volume) = volume(outer)
    {
        // A contour that is cut off at the border has an area, but not the volume of the chamber.
        shown.valid |= valid::VOLUME;
        shown.volume = volume;
    }
    Some(shown)
}

/// Whether a loop of points in millimetres comes within an input pixel of a side or an arc of a sector: the mask's own border is
/// that of the sector's rectangle.
fn touches_sector(scene: &Scene, points: &[Vertex]) -> bool {
    let Geometry::Sector(sector) = scene.geometry else { return false };
    let pixel_mm = scene.grid.pitch_x() as f32;
    points.iter().any(|&[x, y]| sector.inside_mm(Point { x, y }) <= pixel_mm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hal::geometry::Sector;
    use crate::vision::{Display, Link, Pick, mask, trace};

    /// A wall around a cavity, cut by the lower edge of the field: outer boundary and hole, measures without the hole.
    #[test]
    fn an_object_with_a_hole_at_the_border_is_shown() {
        let (scene, size, mask_size) = (Scene::of_linear_probe(100.0, 128), 128, 64);
        // In millimetres, around (5, 70): the wall reaches from 18 to 35 mm, and the field ends at 100.
        let wall = |point: Point| {
            let radius = libm::hypotf(point.x - 5.0, point.y - 70.0);
            (radius - 18.0).min(35.0 - radius)
        };
        let mask: Vec<f32> = (0..mask_size * mask_size)
            .map(|at| ((at % mask_size) as f32, (at / mask_size) as f32))
            .map(|(x, y)| wall(scene.grid.to_plane([2.0 * x + 0.5, 2.0 * y + 0.5])))
            .collect();
        let pixels = (size * size) as usize;
        let (mut enlarged, mut labels) = (vec![0.0; pixels], vec![0; pixels]);
        let (mut points, mut links) = (vec![[0.0; 2]; 4096], vec![Link::zeroed(); 4096]);
        mask::upsample(&mask, mask_size as usize, size as usize, &mut enlarged).expect("room enough");
        let field = field(&enlarged, &scene, &SessionConfig::default()).expect("room enough");
        let traced = trace(&field, Pick::Largest, PIXELS_MIN, &mut labels, &mut points, &mut links);
        let contour = traced.expect("room enough").expect("a wall");
        let told = Told { state: State::Tracked, confidence: 0.9, checked_frames_ago: 2 };
        let shown = entry(3, &told, &contour, &scene, &points).expect("it has pixels enough");
        assert_eq!((shown.id, shown.state, shown.confidence, shown.checked_frames_ago), (3, 2, 0.9, 2));
        let all = valid::PIXELS | valid::MILLIMETRES | valid::ELLIPSE | valid::AT_BORDER;
        assert_eq!((shown.valid, shown.polygons), (all, 2));
        assert_eq!(shown.polygons_mm().map(<[_]>::len).sum::<usize>(), shown.points as usize);
        let [outer, hole] = [0, 1].map(|index| shown.polygons_mm().nth(index).expect("two polygons"));
        let radius = |point: &[f32; 2]| libm::hypotf(point[0] - 5.0, point[1] - 70.0);
        assert!(outer.iter().all(|point| (radius(point) - 35.0).abs() < 1.0 || point[1] > 99.0));
        assert!(hole.iter().all(|point| (radius(point) - 18.0).abs() < 1.0));
        // The wall, minus the segment that the edge cuts off 30 mm from the centre.
        let pi = core::f32::consts::PI;
        let segment = 35.0 * 35.0 * libm::acosf(30.0 / 35.0) - 30.0 * libm::sqrtf(35.0 * 35.0 - 30.0 * 30.0);
        let expected_mm2 = pi * (35.0 * 35.0 - 18.0 * 18.0) - segment;
        assert!(
            (shown.area_mm2 / expected_mm2 - 1.0).abs() < 0.01,
            "{} mm2, not {expected_mm2}",
            shown.area_mm2
        );
        // The display has two pixels per millimetre.
        assert!((shown.area_px2 / shown.area_mm2 - 4.0).abs() < 0.01);
        assert!((shown.long_axis_mm - 70.0).abs() < 0.7, "{} mm", shown.long_axis_mm);
        assert_eq!(shown.volume, Zeroable::zeroed());
    }

    /// Shows contours of a heart of 60 beats a minute at 30 frames a second, of the states and with the bits that `frame` gives, from
    /// one time on. Returns the time in seconds when a beat was shown first.
    fn first_beat(
        (object, volumes): &mut (Object, VolumeHistory),
        begin_s: f64,
        scene: &Scene,
        frame: impl Fn(u64) -> (State, u32),
    ) -> Option<f64> {
        let mut first = None;
        for index in 0..240 {
            let t_s = begin_s + index as f64 / 30.0;
            let mut shown = OverlayObject { id: 1, ..OverlayObject::zeroed() };
            (object.told.state, shown.valid) = frame(index);
            if shown.valid & valid::VOLUME != 0 {
                shown.volume.discs_ml = 80.0 + 40.0 * libm::cos(t_s * core::f64::consts::TAU) as f32;
            }
            object.show(shown, scene, (t_s * 1e9) as u64, volumes);
            let has_beat = object.shown.valid & valid::BEAT != 0;
            assert!(has_beat || object.shown.beat == Zeroable::zeroed());
            // No beat of a contour that is cut off.
            assert!(!has_beat || shown.valid & valid::VOLUME != 0);
            if has_beat && first.is_none() {
                assert!((object.shown.beat.ejection_fraction - 80.0 / 120.0).abs() < 0.01);
                first = Some(t_s - begin_s);
            }
        }
        first
    }

    #[test]
    fn only_contours_that_are_trusted_count_for_the_beat() {
        const VOLUME: u32 = valid::VOLUME;
        let scene = Scene::of_linear_probe(100.0, 128);
        let seen = |frame: fn(u64) -> (State, u32)| {
            first_beat(&mut (Object::new(1), VolumeHistory::zeroed()), 0.0, &scene, frame)
        };
        let whole = |s: f64| (4.0..4.4).contains(&s);
        assert!(seen(|_| (State::Tracked, VOLUME)).is_some_and(whole));
        assert!(
            seen(|index| (if index == 0 { State::Fresh } else { State::Tracked }, VOLUME)).is_some_and(whole)
        );
        // Of a few frames that do not count the others tell enough.
        assert!(
            seen(|index| (if index % 5 == 0 { State::Attention } else { State::Tracked }, VOLUME)).is_some()
        );
        assert!(
            seen(|index| (State::Tracked, if index % 5 == 0 { valid::AT_BORDER } else { VOLUME })).is_some()
        );
        assert_eq!(seen(|_| (State::Attention, VOLUME)), None);
        assert_eq!(seen(|_| (State::Stale, VOLUME)), None);
        assert_eq!(seen(|_| (State::Tracked, valid::AT_BORDER)), None);
        // At the border for half a second of each beat.
        assert_eq!(
            seen(|index| (State::Tracked, if index % 30 < 15 { VOLUME } else { valid::AT_BORDER })),
            None
        );
    }

    #[test]
    fn another_geometry_begins_the_beat_anew() {
        let mut object = (Object::new(1), VolumeHistory::zeroed());
        let tracked = |_| (State::Tracked, valid::VOLUME);
        let whole = |s: f64| (3.0..5.2).contains(&s);
        let [shallow, deep] = [100.0, 120.0].map(|depth_mm| Scene::of_linear_probe(depth_mm, 128));
        assert!(first_beat(&mut object, 0.0, &shallow, tracked).is_some_and(whole));
        // It goes on where nothing changes, also if the object was lost for a moment.
        object.0.show_none(State::Lost, 0.0, 0);
        assert!(first_beat(&mut object, 8.0, &shallow, tracked).is_some_and(|s| s < 0.1));
        assert!(first_beat(&mut object, 16.0, &deep, tracked).is_some_and(whole));
    }

    /// Circles of 10 mm around points on the axis of a sector of 90 degrees and 5 to 100 mm, and frames its side.
    #[test]
    fn a_contour_at_a_sectors_side_or_arc_is_at_its_border() {
        let geometry = Geometry::Sector(Sector {
            lines: 91,
            samples: 96,
            apex_radius_mm: 0.0,
            first_angle_rad: -core::f32::consts::FRAC_PI_4,
            angle_step_rad: core::f32::consts::FRAC_PI_2 / 90.0,
            first_depth_mm: 5.0,
            depth_step_mm: 1.0,
        });
        let scene = Scene {
            geometry,
            grid: InputGrid::new(&geometry, 256).expect("a grid"),
            display: DisplayRaster::new(&geometry, Display::Raster { width: 200, height: 200 })
                .expect("a display"),
        };
        let touches = |x: f32, y: f32| {
            let circle: Vec<Vertex> = (0..64)
                .map(|at| libm::sincosf(at as f32 * core::f32::consts::TAU / 64.0))
                .map(|(sin, cos)| [x + 10.0 * cos, y + 10.0 * sin])
                .collect();
            touches_sector(&scene, &circle)
        };
        assert!(!touches(0.0, 50.0));
        assert!(touches(0.0, 12.0) && touches(0.0, 92.0));
        // The side is at x = 40, of which a point to its left is 0.7 of the way off.
        assert!(touches(30.0, 40.0) && touches(-30.0, 40.0));
        assert!(!touches(24.0, 40.0) && !touches(-24.0, 40.0));
    }
}
