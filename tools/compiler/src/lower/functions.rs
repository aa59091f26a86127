//! Element-wise functions that the runtime lacks, written with those that it has.

use super::Lowering;
use crate::error::CompileError;
use crate::view::View;
use sonotrace::format::function::{BinaryFunction, Function, TernaryFunction, Unary, UnaryFunction};
use std::f32::consts::{FRAC_PI_2, LN_2};
use tract_core::internal::*;

/// Arc tangent of `z` in 0..1 over `z`, by powers of `z * z` from the highest: Abramowitz and Stegun 4.4.49, error 2e-8.
const ARC_TANGENT: [f32; 9] = [
    0.002_866_225_7,
    -0.016_165_737,
    0.042_909_614,
    -0.075_289_64,
    0.106_562_64,
    -0.142_089,
    0.199_935_51,
    -0.333_331_45,
    1.0,
];

/// Writes a formula as operations of one node, all of its shape.
pub(super) struct Formula<'a, 'm> {
    lowering: &'a mut Lowering<'m>,
    node: &'a TypedNode,
}

type Step = Result<View, CompileError>;

impl Formula<'_, '_> {
    fn unary(&mut self, function: UnaryFunction, a: &View) -> Step {
        self.lowering.elementwise_of(self.node, Function::Unary(Unary::plain(function)), &[a])
    }

    fn binary(&mut self, function: BinaryFunction, a: &View, b: &View) -> Step {
        self.lowering.elementwise_of(self.node, Function::Binary(function), &[a, b])
    }

    fn number(&mut self, value: f32) -> Step {
        let shape = self.lowering.output_shape(self.node)?;
        Ok(self.lowering.float_constant(self.node, &shape, vec![value]))
    }

    /// `a * factor + offset`.
    fn line(&mut self, a: &View, factor: f32, offset: f32) -> Step {
        let (factor, offset) = (self.number(factor)?, self.number(offset)?);
        let function = Function::Ternary(TernaryFunction::MulAdd);
        self.lowering.elementwise_of(self.node, function, &[a, &factor, &offset])
    }

    /// `a * b + c`.
    fn mul_add(&mut self, a: &View, b: &View, c: &View) -> Step {
        self.lowering.elementwise_of(self.node, Function::Ternary(TernaryFunction::MulAdd), &[a, b, c])
    }

    fn tan(&mut self, x: &View) -> Step {
        let (sin, cos) = (self.unary(UnaryFunction::Sin, x)?, self.unary(UnaryFunction::Cos, x)?);
        self.binary(BinaryFunction::Div, &sin, &cos)
    }

    /// `(e^x + sign * e^-x) / 2`.
    fn half_sum(&mut self, x: &View, sign: f32) -> Step {
        // Halves of both, so that the largest results do not overflow.
        let up = self.line(x, 1.0, -LN_2)?;
        let up = self.unary(UnaryFunction::Exp, &up)?;
        let down = self.line(x, -1.0, -LN_2)?;
        let down = self.unary(UnaryFunction::Exp, &down)?;
        let function = if sign > 0.0 { BinaryFunction::Add } else { BinaryFunction::Sub };
        self.binary(function, &up, &down)
    }

    /// Small values by their Taylor polynomial: the difference of two exponentials near 1 has few digits.
    fn sinh(&mut self, x: &View) -> Step {
        let large = self.half_sum(x, -1.0)?;
        let square = self.unary(UnaryFunction::Square, x)?;
        let sum = self.line(&square, 1.0 / 120.0, 1.0 / 6.0)?;
        let unit = self.number(1.0)?;
        let sum = self.mul_add(&sum, &square, &unit)?;
        let small = self.binary(BinaryFunction::Mul, x, &sum)?;
        self.where_below(x, 0.5, &small, &large)
    }

    /// `small` where `|x| < bound`, else `large`.
    fn where_below(&mut self, x: &View, bound: f32, small: &View, large: &View) -> Step {
        let (size, bound) = (self.unary(UnaryFunction::Abs, x)?, self.number(bound)?);
        let is_below = self.binary(BinaryFunction::Less, &size, &bound)?;
        let function = Function::Ternary(TernaryFunction::Select);
        self.lowering.elementwise_of(self.node, function, &[&is_below, small, large])
    }

    /// `ln(|x| + sqrt(x * x + 1))` with the sign of `x`.
    fn asinh(&mut self, x: &View) -> Step {
        let size = self.unary(UnaryFunction::Abs, x)?;
        let root = self.root_of_square(x, 1.0)?;
        let sum = self.binary(BinaryFunction::Add, &size, &root)?;
        let large = self.unary(UnaryFunction::Ln, &sum)?;
        let sign = self.unary(UnaryFunction::Sign, x)?;
        let large = self.binary(BinaryFunction::Mul, &sign, &large)?;
        let square = self.unary(UnaryFunction::Square, x)?;
        let sum = self.line(&square, -5.0 / 112.0, 3.0 / 40.0)?;
        let third = self.number(-1.0 / 6.0)?;
        let sum = self.mul_add(&sum, &square, &third)?;
        let unit = self.number(1.0)?;
        let sum = self.mul_add(&sum, &square, &unit)?;
        let small = self.binary(BinaryFunction::Mul, x, &sum)?;
        self.where_below(x, 0.2, &small, &large)
    }

    fn acosh(&mut self, x: &View) -> Step {
        // (x - 1)(x + 1): the square of a number near 1 minus 1 has few digits.
        let (below, above) = (self.line(x, 1.0, -1.0)?, self.line(x, 1.0, 1.0)?);
        let square = self.binary(BinaryFunction::Mul, &below, &above)?;
        let root = self.unary(UnaryFunction::Sqrt, &square)?;
        let sum = self.binary(BinaryFunction::Add, x, &root)?;
        self.unary(UnaryFunction::Ln, &sum)
    }

    /// `sqrt(x * x + offset)`.
    fn root_of_square(&mut self, x: &View, offset: f32) -> Step {
        let square = self.unary(UnaryFunction::Square, x)?;
        let sum = self.line(&square, 1.0, offset)?;
        self.unary(UnaryFunction::Sqrt, &sum)
    }

    /// `ln((1 + x) / (1 - x)) / 2`.
    fn atanh(&mut self, x: &View) -> Step {
        let (above, below) = (self.line(x, 1.0, 1.0)?, self.line(x, -1.0, 1.0)?);
        let ratio = self.binary(BinaryFunction::Div, &above, &below)?;
        let logarithm = self.unary(UnaryFunction::Ln, &ratio)?;
        let large = self.line(&logarithm, 0.5, 0.0)?;
        let square = self.unary(UnaryFunction::Square, x)?;
        let sum = self.line(&square, 1.0 / 7.0, 1.0 / 5.0)?;
        let third = self.number(1.0 / 3.0)?;
        let sum = self.mul_add(&sum, &square, &third)?;
        let unit = self.number(1.0)?;
        let sum = self.mul_add(&sum, &square, &unit)?;
        let small = self.binary(BinaryFunction::Mul, x, &sum)?;
        self.where_below(x, 0.1, &small, &large)
    }

    /// The polynomial on 0..1; beyond 1, a right angle minus that of `1 / x`.
    fn atan(&mut self, x: &View) -> Step {
        let size = self.unary(UnaryFunction::Abs, x)?;
        let inverse = self.unary(UnaryFunction::Recip, &size)?;
        let z = self.binary(BinaryFunction::Min, &size, &inverse)?;
        let square = self.unary(UnaryFunction::Square, &z)?;
        let mut sum = self.line(&square, ARC_TANGENT[0], ARC_TANGENT[1])?;
        for &factor in &ARC_TANGENT[2..] {
            let factor = self.number(factor)?;
            sum = self.mul_add(&sum, &square, &factor)?;
        }
        let inside = self.binary(BinaryFunction::Mul, &z, &sum)?;
        let outside = self.line(&inside, -1.0, FRAC_PI_2)?;
        let angle = self.where_below(x, 1.0, &inside, &outside)?;
        let sign = self.unary(UnaryFunction::Sign, x)?;
        self.binary(BinaryFunction::Mul, &sign, &angle)
    }

    /// The arc tangent of `x / sqrt((1 - x)(1 + x))`.
    fn asin(&mut self, x: &View) -> Step {
        let (below, above) = (self.line(x, -1.0, 1.0)?, self.line(x, 1.0, 1.0)?);
        let square = self.binary(BinaryFunction::Mul, &below, &above)?;
        let root = self.unary(UnaryFunction::Sqrt, &square)?;
        let ratio = self.binary(BinaryFunction::Div, x, &root)?;
        self.atan(&ratio)
    }

    fn acos(&mut self, x: &View) -> Step {
        let angle = self.asin(x)?;
        self.line(&angle, -1.0, FRAC_PI_2)
    }
}

impl Lowering<'_> {
    /// A function of one input by its name in tract; none if there is no formula for it.
    pub(super) fn formula(&mut self, node: &TypedNode, function: &str) -> Option<Step> {
        let write = match function {
            "Tan" => Formula::tan,
            "Sinh" => Formula::sinh,
            "Cosh" => |formula: &mut Formula<'_, '_>, x: &View| formula.half_sum(x, 1.0),
            "Asinh" => Formula::asinh,
            "Acosh" => Formula::acosh,
            "Atanh" => Formula::atanh,
            "Atan" => Formula::atan,
            "Asin" => Formula::asin,
            "Acos" => Formula::acos,
            _ => return None,
        };
        Some(self.input(node, 0).and_then(|x| write(&mut Formula { lowering: self, node }, &x)))
    }
}
