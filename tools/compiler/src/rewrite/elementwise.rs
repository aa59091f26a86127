//! Element-wise operations.

use super::fragment::{Fragment, find, float, int};
use super::{Outcome, Rewritten, Rule, one};
use tract_onnx::prelude::Datum;

pub(super) const RULES: &[Rule] = &[
    // tract divides by alpha twice.
    Rule::new("Celu", &[], celu),
    // tract ignores alpha.
    Rule::new("Swish", &[], swish).only_if(|node, _| find(node, "alpha").is_some_and(|alpha| alpha.f != 1.0)),
    Rule::new("PRelu", &[], one_slope),
    Rule::new("Mod", &[], modulo),
    Rule::new("Pow", &[], power),
    Rule::new("SwiGLU", &[], swiglu),
];

fn celu(f: &mut Fragment<'_>) -> Rewritten {
    let x = f.input(0);
    let alpha = f.float("alpha", 1.0);
    let [alpha, zero, unit] = [alpha, 0.0, 1.0].map(|value| f.number(value));
    let above = f.op("Max", &[&x, &zero], &[]);
    let below = f.op("Min", &[&x, &zero], &[]);
    let below = f.op("Div", &[&below, &alpha], &[]);
    let below = f.op("Exp", &[&below], &[]);
    let below = f.op("Sub", &[&below, &unit], &[]);
    let below = f.op("Mul", &[&below, &alpha], &[]);
    one(f.op("Add", &[&above, &below], &[]))
}

fn swish(f: &mut Fragment<'_>) -> Rewritten {
    let x = f.input(0);
    let alpha = f.float("alpha", 1.0);
    one(gated(f, &x, alpha))
}

/// `x * sigmoid(alpha * x)`.
fn gated(f: &mut Fragment<'_>, x: &str, alpha: f32) -> String {
    let alpha = f.number(alpha);
    let scaled = f.op("Mul", &[x, &alpha], &[]);
    let gate = f.op("Sigmoid", &[&scaled], &[]);
    f.op("Mul", &[x, &gate], &[])
}

fn swiglu(f: &mut Fragment<'_>) -> Rewritten {
    if f.node.input.len() != 2 {
        return Err("only its form with two inputs is supported".to_owned());
    }
    let (x, factor) = (f.input(0), f.input(1));
    let alpha = f.float("alpha", 1.0);
    let gated = gated(f, &x, alpha);
    one(f.op("Mul", &[&gated, &factor], &[]))
}

/// A constant slope that is the same for all channels.
fn one_slope(f: &mut Fragment<'_>) -> Rewritten {
    if f.known(1).is_none_or(|slope| slope.value.is_none()) {
        return Ok(Outcome::AsIs);
    }
    let slopes = f.numbers(1)?.unwrap_or_default();
    let Some(&slope) = slopes.first().filter(|slope| slopes.iter().all(|other| other == *slope)) else {
        return Ok(Outcome::AsIs);
    };
    let x = f.input(0);
    one(f.op("LeakyRelu", &[&x], &[float("alpha", slope)]))
}

/// Remainder of numbers, with the sign of the divisor (`fmod` 0) or of the dividend (`fmod` 1).
fn modulo(f: &mut Fragment<'_>) -> Rewritten {
    if f.known(0).is_none_or(|known| known.dtype != f32::datum_type()) {
        return Ok(Outcome::AsIs);
    }
    let (a, b) = (f.input(0), f.input(1));
    let zero = f.number(0.0);
    let quotient = f.op("Div", &[&a, &b], &[]);
    let sign = f.op("Sign", &[&quotient], &[]);
    let size = f.op("Abs", &[&quotient], &[]);
    let size = f.op("Floor", &[&size], &[]);
    let whole = f.op("Mul", &[&sign, &size], &[]);
    // Zero times an infinite divisor is zero here.
    let is_zero = f.op("Equal", &[&whole, &zero], &[]);
    let product = f.op("Mul", &[&whole, &b], &[]);
    let product = f.op("Where", &[&is_zero, &zero, &product], &[]);
    let rest = f.op("Sub", &[&a, &product], &[]);
    if f.int("fmod", 0) != 0 {
        return one(rest);
    }
    let both = f.op("Mul", &[&rest, &b], &[]);
    let differs = f.op("Less", &[&both, &zero], &[]);
    let other = f.op("Add", &[&rest, &b], &[]);
    one(f.op("Where", &[&differs, &other, &rest], &[]))
}

/// A power with a constant exponent of integers, which tract computes in f64.
fn power(f: &mut Fragment<'_>) -> Rewritten {
    let is_number = |slot: usize| f.known(slot).is_some_and(|known| known.dtype == f32::datum_type());
    if !is_number(0) || is_number(1) {
        return Ok(Outcome::AsIs);
    }
    let (base, exponent) = (f.input(0), f.input(1));
    let exponent = f.op("Cast", &[&exponent], &[int("to", 1)]);
    one(f.op("Pow", &[&base, &exponent], &[]))
}
