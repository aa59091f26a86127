//! The floating-point environment of a call.
//!
//! A device may let its threads stop on invalid operations, divisions by zero and overflows, or round upwards. Compiled kernels
//! assume that nobody does: they compute lanes whose results are not used. So a call sets its own environment, and gives its
//! caller's back at the end, with the flags that were set before it.
//!
//! Denormals are flushed to zero: on some processors an operation with one takes a hundred times as long, and the time of a frame
//! must not depend on its picture.

/// The caller's environment, while the one to compute in is set; sets it again when it is dropped.
#[derive(Debug)]
pub(crate) struct ComputingEnvironment(Environment);

impl ComputingEnvironment {
    /// Sets the environment to compute in: no exception stops the thread, numbers are rounded to the nearest, denormals are zero.
    ///
    /// Arithmetic that depends on it belongs into a function that is not inlined, because the compiler does not know of it.
    #[inline(never)]
    pub fn enter() -> Self {
        let callers = Environment::read();
        Environment::COMPUTING.set();
        Self(callers)
    }
}

impl Drop for ComputingEnvironment {
    #[inline(never)]
    fn drop(&mut self) {
        self.0.set();
    }
}

/// MXCSR: flags, masks, rounding, denormals.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
struct Environment(u32);

#[cfg(target_arch = "x86_64")]
impl Environment {
    /// All exceptions masked; FTZ and DAZ.
    const COMPUTING: Self = Self(0x1f80 | 1 << 15 | 1 << 6);

    fn read() -> Self {
        let mut register = 0u32;
        // SAFETY: stores the register into the variable.
        unsafe {
            core::arch::asm!("stmxcsr [{}]", in(reg) &raw mut register, options(nostack, preserves_flags));
        }
        Self(register)
    }

    fn set(self) {
        // SAFETY: loads the register with the default, which is what compiled code expects, but for denormals, whose loss no code here
        // notices; or with the value that the caller of this library had when it called. Only that caller computes with the latter.
        unsafe {
            core::arch::asm!("ldmxcsr [{}]", in(reg) &raw const self.0, options(nostack, preserves_flags));
        }
    }
}

/// FPCR and FPSR: control, and flags.
#[cfg(target_arch = "aarch64")]
#[derive(Debug, Clone, Copy)]
struct Environment {
    control: u64,
    status: u64,
}

#[cfg(target_arch = "aarch64")]
impl Environment {
    /// FZ.
    const COMPUTING: Self = Self { control: 1 << 24, status: 0 };

    fn read() -> Self {
        let (control, status): (u64, u64);
        // SAFETY: reads two registers.
        unsafe {
            core::arch::asm!(
                "mrs {control}, fpcr",
                "mrs {status}, fpsr",
                control = out(reg) control,
                status = out(reg) status,
                options(nomem, nostack, preserves_flags)
            );
        }
        Self { control, status }
    }

    fn set(self) {
        let Self { control, status } = self;
        // SAFETY: writes the default, which is what compiled code expects, but for denormals, whose loss no code here notices; or the
        // values that the caller of this library had when it called. Only that caller computes with the latter.
        unsafe {
            core::arch::asm!(
                "msr fpcr, {control}",
                "msr fpsr, {status}",
                control = in(reg) control,
                status = in(reg) status,
                options(nomem, nostack, preserves_flags)
            );
        }
    }
}

/// Other processors: their environment stays as it is.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[derive(Debug, Clone, Copy)]
struct Environment;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl Environment {
    const COMPUTING: Self = Self;

    fn read() -> Self {
        Self
    }

    fn set(self) {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;
    use core::hint::black_box;

    #[inline(never)]
    fn product() -> f32 {
        black_box(1e-30f32) * black_box(1e-10)
    }

    #[test]
    fn denormals_are_flushed_while_computing_alone() {
        assert!(product().is_subnormal());
        let environment = ComputingEnvironment::enter();
        let inside = black_box(product());
        drop(environment);
        assert_eq!(inside.to_bits(), 0);
        assert!(product().is_subnormal());
    }
}
