//! Tiles may run in any order and any number, with the same bits of the result. They share no element.
#![allow(clippy::unwrap_used)]

mod common;
use common::{Bench, Case, Random, bits, cases, sampling, small_tiles};
use sonotrace_format::op::{Outside, TILE_MACS_MAX, TILE_WORK};
use sonotrace_kernels::BindOptions;
use sonotrace_kernels::arch::Instructions;

/// Returns each case with options for each instruction set, which split it into about ten tiles.
fn cases_by_instructions() -> impl Iterator<Item = (Case, BindOptions)> {
    let options = |instructions| BindOptions { instructions, ..small_tiles() };
    cases()
        .into_iter()
        .flat_map(move |case| Instructions::available().map(move |set| (case.clone(), options(set))))
}

/// Returns the result of one thread that runs the tiles in order.
fn expected(case: &Case, options: &BindOptions) -> Vec<u32> {
    let out = case.run(options);
    assert!(out.iter().all(|value| !value.is_nan()), "{}: the tiles do not write all elements", case.name);
    bits(&out)
}

#[test]
fn any_order_of_tiles_gives_the_same_bits() {
    for (case, options) in cases_by_instructions() {
        let (expected, file) = (expected(&case, &options), case.file());
        for seed in 0..5 {
            let mut bench = Bench::new(&file, &options);
            assert!(bench.op.tiles() > 8, "{}: too few tiles to share", case.name);
            let mut order: Vec<u32> = (0..bench.op.tiles()).rev().collect();
            let mut random = Random(seed);
            if seed > 0 {
                (1..order.len()).rev().for_each(|at| order.swap(at, random.below(at + 1)));
            }
            order.into_iter().for_each(|tile| bench.run(tile));
            assert!(bits(bench.output()) == expected, "{}, order {seed}", case.name);
        }
    }
}

/// Each element is written by exactly one tile.
#[test]
fn tiles_share_no_element() {
    for (case, options) in cases_by_instructions() {
        let file = case.file();
        let tiles = Bench::new(&file, &options).op.tiles();
        let mut writers = vec![0; case.output.elements as usize];
        for tile in 0..tiles {
            let mut bench = Bench::new(&file, &options);
            bench.run(tile);
            writers
                .iter_mut()
                .zip(bench.output())
                .for_each(|(count, value)| *count += u32::from(!value.is_nan()));
        }
        assert!(writers.iter().all(|&count| count == 1), "{}", case.name);
    }
}

/// The result does not depend on the number of tiles.
#[test]
fn the_number_of_tiles_does_not_change_the_result() {
    for (case, options) in cases_by_instructions() {
        let expected = expected(&case, &options);
        for (tile_work, tile_macs) in [(TILE_WORK, TILE_MACS_MAX), (u64::MAX, u64::MAX), (1, 1)] {
            let options = BindOptions { tile_work, tile_macs, ..options };
            assert!(bits(&case.run(&options)) == expected, "{} by {options:?}", case.name);
        }
    }
}

/// A network may compute any position. The result is interpolated inside the image, or NaN.
#[test]
fn no_position_reads_outside_the_image() {
    for outside in [Outside::Border, Outside::Zeros] {
        for extreme in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e9, -1e9] {
            let mut case = sampling(outside);
            let with = |case: &mut Case, at: usize, value: f32| {
                case.inputs[1].as_mut().unwrap().bytes[4 * at..4 * at + 4]
                    .copy_from_slice(&value.to_le_bytes());
            };
            // Two positions inside; then the x of one and the y of the other are extreme.
            for (at, value) in [(6, 0.1), (7, 0.2), (12, -0.3), (13, 0.4)] {
                with(&mut case, at, value);
            }
            let inside = expected(&case, &small_tiles());
            with(&mut case, 6, extreme);
            with(&mut case, 13, extreme);
            let out = case.run(&BindOptions::default());
            let changed: Vec<usize> =
                (0..out.len()).filter(|&at| out[at].to_bits() != inside[at]).map(|at| at % 143).collect();
            assert!(
                !changed.is_empty() && changed.iter().all(|at| [3, 6].contains(at)),
                "{outside:?} {extreme}"
            );
            let image: &[f32] = bytemuck::cast_slice(&case.inputs[0].as_ref().unwrap().bytes);
            let reach = image.iter().fold(0.0f32, |reach, value| reach.max(value.abs()));
            let is_inside = |value: &f32| value.is_nan() || value.abs() <= 1.0001 * reach;
            assert!(out.iter().all(is_inside), "{outside:?} {extreme}");
            let expected_nan = if extreme.is_nan() { 40 } else { 0 };
            assert_eq!(
                out.iter().filter(|value| value.is_nan()).count(),
                expected_nan,
                "{outside:?} {extreme}"
            );
        }
    }
}
