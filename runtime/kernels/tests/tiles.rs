//! Tiles may run in any order: the bits of the result are the same. They share no element, and their number does not show.
#![allow(clippy::unwrap_used)]

mod common;
use common::{Bench, Case, Chance, bits, cases, sampling, small_tiles};
use sonotrace_format::op::Outside;
use sonotrace_kernels::BindOptions;

/// The result of one thread, tile after tile.
fn expected(case: &Case) -> Vec<u32> {
    let out = case.run(&small_tiles());
    assert!(out.iter().all(|value| !value.is_nan()), "{}: the tiles leave elements out", case.name);
    bits(&out)
}

#[test]
fn any_order_of_tiles_gives_the_same_bits() {
    for case in cases() {
        let (expected, file) = (expected(&case), case.file());
        for seed in 0..5 {
            let mut bench = Bench::new(&file, &small_tiles());
            assert!(bench.op.tiles() > 8, "{}: too few tiles to share", case.name);
            let mut order: Vec<u32> = (0..bench.op.tiles()).rev().collect();
            let mut chance = Chance(seed);
            if seed > 0 {
                (1..order.len()).rev().for_each(|at| order.swap(at, chance.below(at + 1)));
            }
            order.into_iter().for_each(|tile| bench.run(tile));
            assert!(bits(bench.output()) == expected, "{}, order {seed}", case.name);
        }
    }
}

/// Each tile writes elements that no other writes, and all together write all.
#[test]
fn tiles_share_no_element() {
    for case in cases() {
        let file = case.file();
        let tiles = Bench::new(&file, &small_tiles()).op.tiles();
        let mut writers = vec![0; case.output.elements as usize];
        for tile in 0..tiles {
            let mut bench = Bench::new(&file, &small_tiles());
            bench.run(tile);
            writers
                .iter_mut()
                .zip(bench.output())
                .for_each(|(count, value)| *count += u32::from(!value.is_nan()));
        }
        assert!(writers.iter().all(|&count| count == 1), "{}", case.name);
    }
}

/// Into how many tiles the work is cut does not show.
#[test]
fn the_number_of_tiles_does_not_show() {
    for case in cases() {
        let expected = expected(&case);
        let one = BindOptions { tile_work: u64::MAX, tile_macs: u64::MAX };
        let many = BindOptions { tile_work: 1, tile_macs: 1 };
        for options in [BindOptions::default(), one, many] {
            assert!(bits(&case.run(&options)) == expected, "{} by {options:?}", case.name);
        }
    }
}

/// A network that went wrong may ask for any place; what it gets lies inside the image, or is NaN.
#[test]
fn no_place_is_outside_the_image() {
    for outside in [Outside::Border, Outside::Zeros] {
        for wild in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e9, -1e9] {
            let mut case = sampling(outside);
            let with = |case: &mut Case, at: usize, value: f32| {
                case.inputs[1].as_mut().unwrap().bytes[4 * at..4 * at + 4]
                    .copy_from_slice(&value.to_le_bytes());
            };
            // Two places inside; then the x of one and the y of the other are wild.
            for (at, value) in [(6, 0.1), (7, 0.2), (12, -0.3), (13, 0.4)] {
                with(&mut case, at, value);
            }
            let tame = expected(&case);
            with(&mut case, 6, wild);
            with(&mut case, 13, wild);
            let out = case.run(&BindOptions::default());
            let changed: Vec<usize> =
                (0..out.len()).filter(|&at| out[at].to_bits() != tame[at]).map(|at| at % 143).collect();
            assert!(
                !changed.is_empty() && changed.iter().all(|at| [3, 6].contains(at)),
                "{outside:?} {wild}"
            );
            let image: &[f32] = bytemuck::cast_slice(&case.inputs[0].as_ref().unwrap().bytes);
            let reach = image.iter().fold(0.0f32, |reach, value| reach.max(value.abs()));
            let is_inside = |value: &f32| value.is_nan() || value.abs() <= 1.0001 * reach;
            assert!(out.iter().all(is_inside), "{outside:?} {wild}");
            let expected_nan = if wild.is_nan() { 40 } else { 0 };
            assert_eq!(out.iter().filter(|value| value.is_nan()).count(), expected_nan, "{outside:?} {wild}");
        }
    }
}
