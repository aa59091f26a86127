//! The self-test: compares the outputs of this build, on this machine, with those stored in the model file.

use super::executor::{ExecError, Executor};
use half::f16;
use sonotrace_format::op::Arithmetic;
use sonotrace_format::{
    GOLDEN_RELATIVE_RMS_MAX, GOLDEN_ROUNDED_RELATIVE_RMS_MAX, GoldenRole, Operation, PROGRAMS_MAX,
};

impl Executor<'_> {
    /// Runs each program on its stored inputs and compares the outputs with the stored ones. Returns the largest
    /// relative rms error. State is zero before and after.
    ///
    /// # Errors
    /// [`ExecError::SelfTest`] for the first output whose error exceeds the bound; [`ExecError::SelfTestTooLate`] after
    /// the first run.
    pub fn self_test(&mut self) -> Result<f32, ExecError> {
        self.self_test_timed(&|| 0, &mut [])
    }

    /// The same, and writes how long each program ran to `times_ns`, by its index; its shortest run if there are several. Programs
    /// without stored inputs, and those beyond its end, are left as they are.
    ///
    /// # Errors
    /// As [`Self::self_test`].
    pub fn self_test_timed(
        &mut self,
        now_ns: &dyn Fn() -> u64,
        times_ns: &mut [u64],
    ) -> Result<f32, ExecError> {
        if !self.is_fresh {
            return Err(ExecError::SelfTestTooLate);
        }
        let worst = self.test_all(now_ns, times_ns)?;
        self.clear_state();
        self.is_fresh = true;
        Ok(worst)
    }

    fn test_all(&mut self, now_ns: &dyn Fn() -> u64, times_ns: &mut [u64]) -> Result<f32, ExecError> {
        let model = *self.model();
        let mut is_timed = [false; PROGRAMS_MAX as usize];
        let mut worst = 0.0f32;
        for case in model.golden().chunk_by(|a, b| (a.program, a.case) == (b.program, b.case)) {
            let program = case[0].program as usize;
            let inputs = model.programs()[program].input_count;
            let arithmetic = |op| Operation::decode(op).map(|op| op.arithmetic());
            let mut ops = model.program_ops(&model.programs()[program]).iter();
            let limit = match ops.any(|op| arithmetic(op).is_ok_and(Arithmetic::rounds)) {
                true => GOLDEN_ROUNDED_RELATIVE_RMS_MAX,
                false => GOLDEN_RELATIVE_RMS_MAX,
            };
            self.begin_apart(program)?;
            for record in case.iter().filter(|record| record.role == GoldenRole::Input as u32) {
                let values = model.golden_values(record).iter();
                let input = self.input_mut(record.port as usize).iter_mut();
                input.zip(values).for_each(|(to, &bits)| *to = f16::from_bits(bits).to_f32());
            }
            let start_ns = now_ns();
            self.finish();
            let taken_ns = now_ns().saturating_sub(start_ns);
            if let Some(time_ns) = times_ns.get_mut(program) {
                let is_first = !core::mem::replace(&mut is_timed[program], true);
                *time_ns = if is_first { taken_ns } else { taken_ns.min(*time_ns) };
            }
            for record in case.iter().filter(|record| record.role == GoldenRole::Output as u32) {
                let seen = self.output((record.port - inputs) as usize);
                let error = relative_rms(seen, model.golden_values(record));
                // Written so that NaN fails.
                let is_within = error <= limit;
                if !is_within {
                    return Err(ExecError::SelfTest {
                        program: record.program,
                        port: record.port,
                        error,
                        limit,
                    });
                }
                worst = worst.max(error);
            }
        }
        Ok(worst)
    }
}

/// Returns the rms of the difference divided by the rms of the reference.
fn relative_rms(seen: &[f32], reference: &[u16]) -> f32 {
    let (mut difference, mut power) = (0.0f64, 0.0f64);
    for (&seen, &bits) in seen.iter().zip(reference) {
        let reference = f16::from_bits(bits).to_f64();
        difference += (f64::from(seen) - reference) * (f64::from(seen) - reference);
        power += reference * reference;
    }
    libm::sqrt(difference / power.max(1e-24)) as f32
}
