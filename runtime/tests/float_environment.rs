//! A device's floating-point environment neither changes what a session computes nor is it changed.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#![allow(clippy::unwrap_used)]

mod common;
use common::{Memory, boxed, click, every_frame, frame};
use core::arch::asm;
use sonotrace::hal::clock::ManualClock;
use sonotrace::hal::overlay::Overlay;
use sonotrace::session::{Poll, SessionConfig};

/// Invalid operations, divisions by zero and overflows stop the thread; numbers are rounded upwards.
#[cfg(target_arch = "x86_64")]
const DEVICES: u64 = 0x1f80 & !(0b1101 << 7) | 0b10 << 13;
#[cfg(target_arch = "x86_64")]
const DEFAULT: u64 = 0x1f80;

/// The same; processors without such stops ignore the first part.
#[cfg(target_arch = "aarch64")]
const DEVICES: u64 = 0b111 << 8 | 0b01 << 22;
#[cfg(target_arch = "aarch64")]
const DEFAULT: u64 = 0;

fn set(environment: u64) {
    // SAFETY: nothing but the calls that are tested computes until the default is set again.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        let register = environment as u32;
        asm!("ldmxcsr [{}]", in(reg) &raw const register, options(nostack));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("msr fpcr, {}", in(reg) environment, options(nostack));
    }
}

/// Returns the environment without the flags of exceptions, which the test itself may set, and those flags apart.
fn get() -> [u64; 2] {
    #[cfg(target_arch = "x86_64")]
    {
        let mut register = 0u32;
        // SAFETY: stores the register.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut register, options(nostack)) };
        [u64::from(register) & !0x3f, u64::from(register) & 0x3f]
    }
    #[cfg(target_arch = "aarch64")]
    {
        let (control, status): (u64, u64);
        // SAFETY: reads two registers.
        unsafe { asm!("mrs {}, fpcr", "mrs {}, fpsr", out(reg) control, out(reg) status, options(nostack)) };
        [control, status]
    }
}

/// Opens a session and processes frames with two objects, each call in an environment; returns the overlays.
fn scan(config: SessionConfig<'static>, environment: u64) -> Vec<Overlay> {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&config);
    set(environment);
    let before = get();
    let opened = memory.try_open(common::disc_model(), config, &clock);
    let after = get();
    set(DEFAULT);
    assert_eq!(after, before, "opening");
    let mut scan = opened.unwrap();
    scan.prompt(boxed(1, [-5.0, 15.0, 5.0, 25.0])).unwrap();
    scan.prompt(click(2, 8.0, 30.0)).unwrap();
    (1..5)
        .map(|seq| {
            scan.push(&frame(seq));
            let mut poll = Poll::Working;
            while poll == Poll::Working {
                set(environment);
                let before = get();
                poll = scan.session.poll();
                let after = get();
                set(DEFAULT);
                assert_eq!(after, before, "frame {seq}");
            }
            assert_eq!(poll, Poll::Overlay(seq));
            *scan.overlays.take().unwrap()
        })
        .collect()
}

#[test]
fn a_devices_environment_changes_nothing_and_stays() {
    let expected = scan(every_frame(), DEFAULT);
    let seen = scan(every_frame(), DEVICES & get_supported());
    for (seen, expected) in seen.iter().zip(&expected) {
        assert!(bytemuck::bytes_of(seen) == bytemuck::bytes_of(expected), "frame {}", expected.seq);
    }
    assert_eq!(expected[0].objects().len(), 2);
    assert!(only_area(&expected[0]) > 0.0);
}

/// Returns the bits of the control register that this processor keeps.
fn get_supported() -> u64 {
    set(DEVICES);
    let [kept, _] = get();
    set(DEFAULT);
    kept | DEFAULT
}

fn only_area(overlay: &Overlay) -> f32 {
    overlay.objects()[0].area_mm2
}
