//! The deployed file on real images: mean Dice with the ground-truth box, compared with the same graphs in ONNX Runtime.

use image::GrayImage;
use sonotrace::exec::{Executor, ExecutorConfig, memory_required};
use sonotrace::format::AlignedBytes;
use sonotrace::format::Model;
use sonotrace::vision::{Field, GreyTable, InputGrid, Normalisation, Sampler, mask};
use sonotrace_cli::embedded;
use sonotrace_hal::frame::{Domain, FrameDescriptor, GeometryKind, LAW_LOGARITHMIC, SampleType};
use std::path::Path;

/// Sets, the number of objects in their val split, and the mean Dice of ONNX Runtime for the same graphs in f32, with
/// images letterboxed by Pillow, Dice on the 256 x 256 grid.
const REFERENCES: [(&str, usize, f64); 2] = [("CAMUS", 300, 0.892_551), ("BUSI", 69, 0.914_371)];
/// Largest allowed difference of the mean.
const TOLERANCE: f64 = 0.003;
/// Objects with fewer pixels on the grid are excluded.
const PIXELS_MIN: usize = 40;

/// Names of a set's val images. The test split is for the evaluation of finished models, not for each run of the tests.
fn val_split(ultrasound: &Path, set: &str) -> Vec<String> {
    let mut manifest =
        csv::Reader::from_path(ultrasound.join("MANIFEST.csv")).expect("the manifest can be read");
    let headers = manifest.headers().expect("it has a header").clone();
    let column = |name: &str| headers.iter().position(|header| header == name).expect("the column is there");
    let (set_at, name_at, split_at) = (column("set"), column("name"), column("split"));
    let rows = manifest.records().map(|row| row.expect("a row can be read"));
    rows.filter(|row| &row[set_at] == set && &row[split_at] == "val")
        .map(|row| row[name_at].to_owned())
        .collect()
}

/// An executor of the file, with the memory for sampling and masks.
struct Network<'m> {
    executor: Executor<'m>,
    table: Vec<sonotrace::vision::LutEntry>,
    field: Vec<f32>,
}

impl Network<'_> {
    /// Encodes a picture. Returns its input grid.
    fn encode(&mut self, picture: &GrayImage) -> InputGrid {
        let (width, height) = picture.dimensions();
        let frame = FrameDescriptor {
            payload_bytes: width * height,
            seq: 1,
            domain: Domain::ScanConverted as u32,
            sample_type: SampleType::U8 as u32,
            lines: height,
            samples: width,
            stride_bytes: width,
            geometry: GeometryKind::RasterUnknown as u32,
            amplitude_law: LAW_LOGARITHMIC,
            law_range_db: 60.0,
            ..FrameDescriptor::blank()
        };
        let frame = frame.check().expect("a picture is a valid frame");
        let conventions = *self.executor.model().conventions();
        let normalisation = Normalisation { mean: conventions.mean, std: conventions.std };
        let grey = GreyTable::new(&frame, normalisation, &[]).expect("the law is known");
        let sampler =
            Sampler::build(&frame, conventions.input_size, &mut self.table).expect("a picture is sampled");
        let encoder = self.executor.program("encoder").expect("there is an encoder");
        self.executor.begin_apart(encoder).expect("there is a copy of the features");
        let input = self.executor.input_mut(0);
        sampler.sample(&self.table, &frame, picture.as_raw(), &grey, input).expect("the frame fits");
        self.executor.finish();
        *sampler.grid()
    }

    /// The mask for a box, on the grid's valid area.
    fn mask(&mut self, grid: &InputGrid, [x0, y0, x1, y1]: [usize; 4]) -> Vec<bool> {
        let conventions = *self.executor.model().conventions();
        let (decoder, record) = self.executor.model().program("decoder").expect("there is a decoder");
        let names: Vec<String> = {
            let model = self.executor.model();
            model.inputs(record).iter().map(|port| model.name(port.name).to_owned()).collect()
        };
        self.executor.begin_apart(decoder).expect("there is a copy of the features");
        for (port, name) in names.iter().enumerate() {
            let given: &[f32] = match name.as_str() {
                "point_coords" => &[x0, y0, x1, y1].map(|edge| edge as f32),
                "point_labels" => &[2.0, 3.0],
                "mask_input" | "has_mask_input" => &[],
                // The features, which the encoder wrote.
                _ => continue,
            };
            let values = self.executor.input_mut(port);
            values.fill(if name == "point_labels" { -1.0 } else { 0.0 });
            values[..given.len()].copy_from_slice(given);
        }
        self.executor.finish();
        let side = conventions.mask_size as usize;
        let logits = &self.executor.output(0)[..side * side];
        mask::upsample(logits, side, grid.size() as usize, &mut self.field).expect("the mask is square");
        let (columns, rows) = (grid.columns() as usize, grid.rows() as usize);
        let field =
            Field::new(&self.field, columns, rows, grid.size() as usize).expect("the grid is in the field");
        (0..columns * rows).map(|at| field.is_inside(at % columns, at / columns)).collect()
    }
}

/// Dice of every object of a set's images.
fn dices(ultrasound: &Path, set: &str, names: &[String]) -> Vec<f64> {
    let file = embedded::model();
    let model = Model::parse(file).expect("the embedded model is sound");
    let mut region = AlignedBytes::zeroed(
        memory_required(file, &ExecutorConfig::default()).expect("its header is sound").bytes,
    );
    let pixels = Sampler::table_len(model.conventions().input_size);
    let mut network = Network {
        executor: Executor::new(model, ExecutorConfig::default(), region.bytes_mut())
            .expect("the region is large enough"),
        table: vec![bytemuck::Zeroable::zeroed(); pixels],
        field: vec![0.0; pixels],
    };
    let mut dices = Vec::new();
    for name in names {
        let open = |folder: &str, extension: &str| {
            let path = ultrasound.join(set).join(folder).join(format!("{name}.{extension}"));
            image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into_luma8()
        };
        let (picture, truth) = (open("images", "jpg"), open("masks", "png"));
        assert_eq!(picture.dimensions(), truth.dimensions(), "{set}/{name}");
        let grid = network.encode(&picture);
        // Nearest neighbour, as Pillow's NEAREST: the source pixel that holds the grid pixel's centre.
        let (columns, rows) = (grid.columns() as usize, grid.rows() as usize);
        let source =
            |at: usize, extent: u32, to: usize| ((at as f64 + 0.5) * f64::from(extent) / to as f64) as u32;
        let ids: Vec<u8> = (0..columns * rows)
            .map(|at| {
                let x = source(at % columns, truth.width(), columns);
                let y = source(at / columns, truth.height(), rows);
                truth.get_pixel(x, y).0[0]
            })
            .collect();
        for id in 1..=*ids.iter().max().expect("an image has pixels") {
            let inside: Vec<usize> = (0..ids.len()).filter(|&at| ids[at] == id).collect();
            if inside.len() < PIXELS_MIN {
                continue;
            }
            let (mut box_from, mut box_to) = ([usize::MAX; 2], [0; 2]);
            for at in &inside {
                for (axis, place) in [at % columns, at / columns].into_iter().enumerate() {
                    box_from[axis] = box_from[axis].min(place);
                    box_to[axis] = box_to[axis].max(place);
                }
            }
            let seen = network.mask(&grid, [box_from[0], box_from[1], box_to[0], box_to[1]]);
            let both = inside.iter().filter(|&&at| seen[at]).count();
            let either = inside.len() + seen.iter().filter(|&&is_inside| is_inside).count();
            dices.push(2.0 * both as f64 / either as f64);
        }
    }
    dices
}

#[test]
fn box_dice_agrees_with_the_references() {
    let Some(data) = sonotrace_tests::folder("SONOTRACE_DATA") else { return };
    let ultrasound = data.join("ultrasound");
    for (set, objects, reference) in REFERENCES {
        let names = val_split(&ultrasound, set);
        let (first, second) = names.split_at(names.len() / 2);
        let mut all = std::thread::scope(|scope| {
            let half = scope.spawn(|| dices(&ultrasound, set, first));
            let other = dices(&ultrasound, set, second);
            let mut all = half.join().expect("the other half is scored");
            all.extend(other);
            all
        });
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        all.sort_by(f64::total_cmp);
        println!(
            "{set}: {} objects, mean Dice {mean:.5}, reference {reference:.5}, least {:.3}",
            all.len(),
            all[0]
        );
        assert_eq!(all.len(), objects, "{set}: the number of objects differs from the reference's");
        assert!(
            (mean - reference).abs() <= TOLERANCE,
            "{set}: mean Dice {mean} is not within {TOLERANCE} of {reference}"
        );
    }
}
