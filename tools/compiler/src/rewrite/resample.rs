//! Resampling: old forms of Resize, sampling grids, and modes of GridSample, as bilinear sampling at other places.

use super::fragment::{Fragment, find, int, text};
use super::{Rewritten, Rule, one};
use tract_onnx::pb::NodeProto;

pub(super) const RULES: &[Rule] = &[
    // tract takes the half-pixel rule for nearest in operator set 10.
    Rule::new("Resize", &[1], resize_10).only_if(|_, opset| opset <= 10),
    Rule::new("Upsample", &[1], resize_10),
    Rule::new("AffineGrid", &[1], affine_grid),
    Rule::new("GridSample", &[], grid_sample)
        .only_if(|node, _| !matches!(&*mode(node), "linear" | "bilinear") || padding(node) == "reflection"),
];

/// Resize of operator set 10: asymmetric, and nearest rounds down where it enlarges, up where it shrinks.
fn resize_10(f: &mut Fragment<'_>) -> Rewritten {
    let shape = f.shape(0)?;
    let scales = match find(f.node, "scales") {
        Some(scales) => scales.floats.clone(),
        None => f.numbers(1)?.ok_or("its scales are missing")?,
    };
    if scales.len() != shape.len() {
        return Err(format!("{} scales for {} axes", scales.len(), shape.len()));
    }
    let mode = f.text("mode", "nearest");
    if !matches!(&*mode, "nearest" | "linear" | "bilinear") {
        return Err(format!("mode is {mode}, only nearest and linear are supported"));
    }
    let mode = if mode == "nearest" { "nearest" } else { "linear" };
    let mut x = f.input(0);
    for (axis, &scale) in scales.iter().enumerate().filter(|(_, scale)| **scale != 1.0) {
        let mut along = vec![1.0; shape.len()];
        along[axis] = scale;
        let along = f.floats(&[shape.len()], &along);
        let rounding = if scale < 1.0 { "ceil" } else { "floor" };
        let attributes = [
            text("mode", mode),
            text("coordinate_transformation_mode", "asymmetric"),
            text("nearest_mode", rounding),
        ];
        x = f.op("Resize", &[&x, "", &along], &attributes);
    }
    one(f.op("Identity", &[&x], &[]))
}

/// Places of the pixels of an image of a constant size, as a product with the transform.
fn affine_grid(f: &mut Fragment<'_>) -> Rewritten {
    let size = f.integers(1)?.ok_or("its size is missing")?;
    let lengths: Vec<usize> =
        size.iter().skip(2).map(|&length| usize::try_from(length).unwrap_or(0)).collect();
    if !matches!(lengths.len(), 2 | 3) || lengths.contains(&0) {
        return Err(format!("its size is {size:?}, expected 4 or 5 lengths"));
    }
    let aligns = f.int("align_corners", 0) != 0;
    let place = |at: usize, length: usize| match (aligns, length) {
        (true, 1) => 0.0,
        (true, _) => 2.0 * at as f32 / (length - 1) as f32 - 1.0,
        (false, _) => (2 * at + 1) as f32 / length as f32 - 1.0,
    };
    let count: usize = lengths.iter().product();
    let mut base = Vec::with_capacity(count * (lengths.len() + 1));
    for pixel in 0..count {
        // The last axis first: x, y and then z.
        let mut rest = pixel;
        for &length in lengths.iter().rev() {
            base.push(place(rest % length, length));
            rest /= length;
        }
        base.push(1.0);
    }
    let theta = f.input(0);
    let batch = f.shape(0)?[0];
    let base = f.floats(&[count, lengths.len() + 1], &base);
    let turned = f.transpose(&theta, &[0, 2, 1]);
    let places = f.op("MatMul", &[&base, &turned], &[]);
    let axes = lengths.len();
    one(f.reshape(&places, &[vec![batch], lengths, vec![axes]].concat()))
}

fn mode(node: &NodeProto) -> String {
    attribute(node, "mode", "linear")
}

fn padding(node: &NodeProto) -> String {
    attribute(node, "padding_mode", "zeros")
}

fn attribute(node: &NodeProto, name: &str, default: &str) -> String {
    find(node, name).map_or_else(|| default.to_owned(), |text| String::from_utf8_lossy(&text.s).into_owned())
}

/// Weight of the cubic kernel of PyTorch and ONNX.
const CUBIC_A: f32 = -0.75;

/// Nearest: bilinear at rounded places. Cubic: the weighted sum over 16 of these. Reflection: at reflected places.
fn grid_sample(f: &mut Fragment<'_>) -> Rewritten {
    let shape = f.shape(0)?;
    let [_, _, rows, columns] = shape[..] else {
        return Err("it has more than two spatial axes".to_owned());
    };
    let sampler = Sampler {
        aligns: f.int("align_corners", 0) != 0,
        reflects: padding(f.node) == "reflection",
        lengths: [columns, rows],
    };
    let grid = f.input(1);
    let places = [0, 1].map(|axis| {
        let part = f.slice(&grid, 3, axis, axis + 1, 1);
        sampler.pixels(f, &part, axis as usize)
    });
    match &*mode(f.node) {
        "linear" | "bilinear" => one(sampler.sample(f, &places)),
        "nearest" => {
            let places = places.map(|place| f.op("Round", &[&place], &[]));
            one(sampler.sample(f, &places))
        }
        "cubic" | "bicubic" => one(sampler.cubic(f, &places)),
        mode => Err(format!("mode is {mode}, only linear, nearest and cubic are supported")),
    }
}

/// Sampling at places that are given in pixels.
struct Sampler {
    aligns: bool,
    reflects: bool,
    /// Columns and rows.
    lengths: [usize; 2],
}

/// `value * factor + offset`.
fn line(f: &mut Fragment<'_>, value: &str, factor: f32, offset: f32) -> String {
    let (factor, offset) = (f.number(factor), f.number(offset));
    let scaled = f.op("Mul", &[value, &factor], &[]);
    f.op("Add", &[&scaled, &offset], &[])
}

impl Sampler {
    /// From -1..1 to pixels.
    fn pixels(&self, f: &mut Fragment<'_>, place: &str, axis: usize) -> String {
        let length = self.lengths[axis] as f32;
        let (factor, offset) = if self.aligns {
            ((length - 1.0) / 2.0, (length - 1.0) / 2.0)
        } else {
            (length / 2.0, (length - 1.0) / 2.0)
        };
        line(f, place, factor, offset)
    }

    /// From pixels to -1..1.
    fn normal(&self, f: &mut Fragment<'_>, place: &str, axis: usize) -> String {
        let length = self.lengths[axis] as f32;
        let (factor, offset) = match (self.aligns, self.lengths[axis]) {
            // With one pixel all places are this pixel.
            (true, 1) => (0.0, 0.0),
            (true, _) => (2.0 / (length - 1.0), -1.0),
            (false, _) => (2.0 / length, 1.0 / length - 1.0),
        };
        line(f, place, factor, offset)
    }

    /// A place reflected at the borders until it is inside, and then within the first and the last pixel.
    fn reflected(&self, f: &mut Fragment<'_>, place: &str, axis: usize) -> String {
        let length = self.lengths[axis] as f32;
        let (low, span) = if self.aligns { (0.0, length - 1.0) } else { (-0.5, length) };
        let [zero, last] = [0.0, length - 1.0].map(|value| f.number(value));
        let inside = if span == 0.0 {
            zero.clone()
        } else {
            let from = line(f, place, 1.0, -low);
            let from = f.op("Abs", &[&from], &[]);
            let turns = line(f, &from, 0.5 / span, 0.0);
            let turns = f.op("Floor", &[&turns], &[]);
            let whole = line(f, &turns, -2.0 * span, 0.0);
            let rest = f.op("Add", &[&from, &whole], &[]);
            let back = line(f, &rest, -1.0, 2.0 * span);
            let rest = f.op("Min", &[&rest, &back], &[]);
            line(f, &rest, 1.0, low)
        };
        let inside = f.op("Max", &[&inside, &zero], &[]);
        f.op("Min", &[&inside, &last], &[])
    }

    /// The image at places in pixels.
    fn sample(&self, f: &mut Fragment<'_>, places: &[String; 2]) -> String {
        let normal = [0, 1].map(|axis| {
            let place =
                if self.reflects { self.reflected(f, &places[axis], axis) } else { places[axis].clone() };
            self.normal(f, &place, axis)
        });
        let grid = f.op("Concat", &[&normal[0], &normal[1]], &[int("axis", 3)]);
        let outside = if self.reflects { "border".to_owned() } else { padding(f.node) };
        let image = f.input(0);
        let attributes = [
            text("mode", "bilinear"),
            text("padding_mode", &outside),
            int("align_corners", i64::from(self.aligns)),
        ];
        f.op("GridSample", &[&image, &grid], &attributes)
    }

    fn cubic(&self, f: &mut Fragment<'_>, places: &[String; 2]) -> String {
        let floors = [0, 1].map(|axis| f.op("Floor", &[&places[axis]], &[]));
        let weights: [[String; 4]; 2] = [0, 1].map(|axis| {
            let part = f.op("Sub", &[&places[axis], &floors[axis]], &[]);
            [-1.0, 0.0, 1.0, 2.0].map(|tap: f32| {
                let distance = line(f, &part, 1.0, -tap);
                let distance = f.op("Abs", &[&distance], &[]);
                let a = CUBIC_A;
                // Within one pixel, and from one to two.
                let factors = if tap == 0.0 || tap == 1.0 {
                    [a + 2.0, -(a + 3.0), 0.0, 1.0]
                } else {
                    [a, -5.0 * a, 8.0 * a, -4.0 * a]
                };
                let mut sum = line(f, &distance, factors[0], factors[1]);
                for factor in &factors[2..] {
                    let product = f.op("Mul", &[&sum, &distance], &[]);
                    sum = line(f, &product, 1.0, *factor);
                }
                // Of places to one channel of an image: `[batch, rows, columns, 1]` to `[batch, 1, rows, columns]`.
                f.transpose(&sum, &[0, 3, 1, 2])
            })
        });
        let mut total = String::new();
        for (y, weight_y) in weights[1].iter().enumerate() {
            let mut row = String::new();
            for (x, weight_x) in weights[0].iter().enumerate() {
                let places =
                    [(0, x), (1, y)].map(|(axis, tap)| line(f, &floors[axis], 1.0, tap as f32 - 1.0));
                let sampled = self.sample(f, &places);
                let sampled = f.op("Mul", &[&sampled, weight_x], &[]);
                row = if row.is_empty() { sampled } else { f.op("Add", &[&row, &sampled], &[]) };
            }
            let row = f.op("Mul", &[&row, weight_y], &[]);
            total = if total.is_empty() { row } else { f.op("Add", &[&total, &row], &[]) };
        }
        total
    }
}
