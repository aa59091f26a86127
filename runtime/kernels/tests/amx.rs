//! The kernels for AMX against the portable ones, bit for bit. On a processor without AMX its instructions are emulated by the
//! manual (`emulator`): that shows that the kernels are right as the manual defines the instructions, and no more.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

#[path = "amx/emulator.rs"]
mod emulator;

mod common;

use common::{Case, Random, bits};
use sonotrace_kernels::BindOptions;
use sonotrace_kernels::arch::Instructions;

/// Returns the kernels for AMX; `None` on a processor without AVX-512 VNNI.
fn amx() -> Option<Instructions> {
    let amx = Instructions::named("amx").or_else(|| {
        emulator::install();
        // SAFETY: the emulator is installed.
        unsafe { Instructions::emulated_amx() }
    });
    if amx.is_none() {
        println!("skipped: the kernels for AMX need AVX-512 VNNI, too");
    }
    amx
}

fn check(case: &Case, amx: Instructions, reference: Instructions) {
    let expected = case.run(&BindOptions::of(reference));
    let seen = case.run(&BindOptions::of(amx));
    assert!(bits(&seen) == bits(&expected), "{} {:?}", case.name, case.dims);
}

#[test]
fn int8_products_are_exact() {
    let Some(amx) = amx() else { return };
    let portable = Instructions::portable();
    check(&common::int8_matmul(), amx, portable);
    check(&common::dynamic_matmul(), amx, portable);
    for [m, n, k] in common::BLOCK_SHAPES {
        check(&common::int8_extremes(m, n, k), amx, portable);
    }
    let mut random = Random(7);
    for _ in 0..30 {
        let [m, n, k] = [80, 100, 300].map(|most| 1 + random.below(most));
        check(&common::int8_extremes(m, n, k), amx, portable);
    }
}

/// Sums of f32 depend on their order in their last bits.
#[test]
fn bf16_products_are_close() {
    let Some(amx) = amx() else { return };
    for [m, n, k] in common::BLOCK_SHAPES {
        let case = common::bf16_matmul(m, n, k);
        let expected = case.run(&BindOptions::of(Instructions::portable()));
        for (seen, expected) in case.run(&BindOptions::of(amx)).iter().zip(expected) {
            assert!(
                (seen - expected).abs() <= 2e-5 * (1.0 + expected.abs()),
                "{m} x {n} x {k}: {seen}, {expected}"
            );
        }
    }
}

/// All else is computed as with AVX-512 VNNI.
#[test]
fn other_kernels_are_those_of_vnni() {
    let Some((amx, vnni)) = amx().zip(Instructions::named("avx512vnni")) else { return };
    common::cases().iter().filter(|case| !case.name.contains("bf16")).for_each(|case| check(case, amx, vnni));
}
