//! The models reproduce their stored outputs on every machine.
#![allow(clippy::unwrap_used)]

mod common;
use common::{AlignedBytes, disc, refresh_hashes, section_mut};
use sonotrace::exec::{ExecError, Executor, ExecutorConfig, memory_required};
use sonotrace::format::Model;
use sonotrace::format::{GOLDEN_RELATIVE_RMS_MAX, GOLDEN_ROUNDED_RELATIVE_RMS_MAX, GoldenRole, SectionKind};
use sonotrace::kernels::arch::Instructions;
use std::path::Path;

/// Parses a file and runs its self-test in exactly the memory that its head requires.
fn self_test(file: &[u8]) -> Result<f32, ExecError> {
    self_test_with(file, Instructions::best())
}

fn self_test_with(file: &[u8], instructions: Instructions) -> Result<f32, ExecError> {
    let model = Model::parse(file)?;
    let config = ExecutorConfig { instructions, ..ExecutorConfig::default() };
    let required = memory_required(file, &config)?;
    let mut region = AlignedBytes::zeroed(required.bytes);
    Executor::new(model, config, region.bytes_mut())?.self_test()
}

#[test]
fn the_small_model_reproduces_its_stored_outputs() {
    let error = self_test(disc()).unwrap();
    println!("disc.sono: largest relative rms error {error:.1e}");
    assert!(error < GOLDEN_RELATIVE_RMS_MAX);
}

/// Its stored outputs are the portable kernels', which therefore agree within f16's rounding. With other kernels, some values
/// are rounded to other 8-bit steps.
#[test]
fn the_built_in_model_reproduces_its_stored_outputs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/sonosamlite.sono");
    let file = AlignedBytes::new(&std::fs::read(path).unwrap());
    let best = (Instructions::best(), GOLDEN_ROUNDED_RELATIVE_RMS_MAX);
    for (instructions, limit) in [(Instructions::portable(), GOLDEN_RELATIVE_RMS_MAX), best] {
        let error = self_test_with(file.bytes(), instructions).unwrap();
        println!("sonosamlite.sono, {}: largest relative rms error {error:.1e}", instructions.name());
        assert!(error < limit);
    }
}

/// The error names the program and port of an output whose error exceeds the bound.
#[test]
fn a_wrong_output_fails_the_self_test() {
    let model = common::disc_model();
    for (index, record) in model.golden().iter().enumerate() {
        if record.role != GoldenRole::Output as u32 {
            continue;
        }
        let mut file = AlignedBytes::new(disc());
        let values: &mut [u16] = section_mut(file.bytes_mut(), SectionKind::GoldenData);
        let values = &mut values[record.offset as usize / 2..][..record.elements as usize];
        for value in values {
            // 1 % more: five times the bound, and well above f16's rounding.
            *value = half::f16::from_f32(half::f16::from_bits(*value).to_f32() * 1.01).to_bits();
        }
        refresh_hashes(file.bytes_mut());
        match self_test(file.bytes()) {
            Err(ExecError::SelfTest { program, port, error, limit }) => {
                assert_eq!((program, port), (record.program, record.port), "golden tensor {index}");
                assert!(error > limit && error < 0.02, "{error}");
            }
            other => panic!("golden tensor {index}: {other:?}"),
        }
    }
}

/// A NaN fails, although it never exceeds a bound.
#[test]
fn a_nan_output_fails_the_self_test() {
    let mut file = AlignedBytes::new(disc());
    let record = *common::disc_model().golden().iter().find(|r| r.role == GoldenRole::Output as u32).unwrap();
    let values: &mut [u16] = section_mut(file.bytes_mut(), SectionKind::GoldenData);
    values[record.offset as usize / 2] = half::f16::NAN.to_bits();
    refresh_hashes(file.bytes_mut());
    assert!(matches!(self_test(file.bytes()), Err(ExecError::SelfTest { .. })));
}
