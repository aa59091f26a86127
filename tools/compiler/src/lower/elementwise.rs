//! Element-wise operations.

use super::Lowering;
use crate::error::CompileError;
use crate::view::View;
use sonotrace::format::function::{BinaryFunction, Function, TernaryFunction, Unary, UnaryFunction};
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math::PowConst;
use tract_core::ops::nn::{LeakyRelu, gelu_approximate::GeluApproximate};

/// 1 where the input is 0, else 0.
const NOT: Function = Function::Unary(Unary::plain(UnaryFunction::Not));

impl Lowering<'_> {
    /// Functions of one input.
    pub(super) fn element_wise(
        &mut self,
        node: &TypedNode,
        op: &ElementWiseOp,
    ) -> Result<View, CompileError> {
        let mut p = 0.0;
        let function = match op.0.name().as_str() {
            "Abs" => UnaryFunction::Abs,
            "Neg" => UnaryFunction::Neg,
            "Exp" => UnaryFunction::Exp,
            "Ln" => UnaryFunction::Ln,
            "Sqrt" => UnaryFunction::Sqrt,
            "Rsqrt" => UnaryFunction::Rsqrt,
            "Recip" => UnaryFunction::Recip,
            "Square" => UnaryFunction::Square,
            "Sin" => UnaryFunction::Sin,
            "Cos" => UnaryFunction::Cos,
            "Tanh" => UnaryFunction::Tanh,
            "Sigmoid" => UnaryFunction::Sigmoid,
            "Erf" => UnaryFunction::Erf,
            "Silu" => UnaryFunction::Silu,
            "GeluExact" => UnaryFunction::Gelu,
            "Floor" => UnaryFunction::Floor,
            "Ceil" => UnaryFunction::Ceil,
            "RoundHalfToEven" => UnaryFunction::Round,
            "HardSwish" => UnaryFunction::HardSwish,
            "Sign" => UnaryFunction::Sign,
            "Not" => UnaryFunction::Not,
            "GeluApproximate" if op.0.downcast_ref::<GeluApproximate>().is_some_and(|op| !op.fast_impl) => {
                UnaryFunction::GeluTanh
            }
            other => {
                if let Some(result) = self.formula(node, other) {
                    return result;
                }
                if let Some(leaky) = op.0.downcast_ref::<LeakyRelu>() {
                    p = leaky.alpha;
                    UnaryFunction::LeakyRelu
                } else if let Some(power) = op.0.downcast_ref::<PowConst>() {
                    return self.power(node, power.exponent);
                } else {
                    return Err(self.unsupported(node, "the runtime has no such function"));
                }
            }
        };
        let input = self.input(node, 0)?;
        self.elementwise_of(node, Function::Unary(Unary { function, p, q: 0.0 }), &[&input])
    }

    fn power(&mut self, node: &TypedNode, exponent: f32) -> Result<View, CompileError> {
        let input = self.input(node, 0)?;
        let single = match exponent {
            0.5 => Some(UnaryFunction::Sqrt),
            -0.5 => Some(UnaryFunction::Rsqrt),
            -1.0 => Some(UnaryFunction::Recip),
            2.0 => Some(UnaryFunction::Square),
            _ => None,
        };
        if let Some(function) = single {
            return self.elementwise_of(node, Function::Unary(Unary::plain(function)), &[&input]);
        }
        let exponent = self.float_constant(node, &input.dims.clone(), vec![exponent]);
        self.elementwise_of(node, Function::Binary(BinaryFunction::Pow), &[&input, &exponent])
    }

    /// Functions of two inputs. Comparisons that the runtime lacks are expressed by those that it has.
    pub(super) fn binary(&mut self, node: &TypedNode, op: &TypedBinOp) -> Result<View, CompileError> {
        let (a, b) = (self.input(node, 0)?, self.input(node, 1)?);
        let relu = Function::Unary(Unary::plain(UnaryFunction::Relu));
        let (function, a, b) = match op.0.name() {
            "Add" => (BinaryFunction::Add, a, b),
            "Sub" => (BinaryFunction::Sub, a, b),
            "SubF" => (BinaryFunction::Sub, b, a),
            "Mul" => (BinaryFunction::Mul, a, b),
            "Div" => (BinaryFunction::Div, a, b),
            "Pow" => (BinaryFunction::Pow, a, b),
            "Max" if self.is_value(&b, 0.0) => return self.elementwise_of(node, relu, &[&a]),
            "Max" if self.is_value(&a, 0.0) => return self.elementwise_of(node, relu, &[&b]),
            "Max" => (BinaryFunction::Max, a, b),
            "Min" => (BinaryFunction::Min, a, b),
            "Eq" => (BinaryFunction::Equal, a, b),
            "LT" => (BinaryFunction::Less, a, b),
            "LTE" => (BinaryFunction::LessEqual, a, b),
            "GT" => (BinaryFunction::Less, b, a),
            "GTE" => (BinaryFunction::LessEqual, b, a),
            "And" => (BinaryFunction::And, a, b),
            "Or" => (BinaryFunction::Or, a, b),
            "NE" | "Xor" => {
                // Both are 0 or 1 for Xor, so it is inequality.
                let equal = self.elementwise_of(node, Function::Binary(BinaryFunction::Equal), &[&a, &b])?;
                return self.elementwise_of(node, NOT, &[&equal]);
            }
            _ => return Err(self.unsupported(node, "the runtime has no such function")),
        };
        self.elementwise_of(node, Function::Binary(function), &[&a, &b])
    }

    fn is_value(&self, view: &View, value: f32) -> bool {
        self.module.floats(view.tensor) == Some(&[value])
    }

    /// `Iff`: the second input where the first is true, else the third.
    pub(super) fn select(&mut self, node: &TypedNode) -> Result<View, CompileError> {
        let (condition, yes, no) = (self.input(node, 0)?, self.input(node, 1)?, self.input(node, 2)?);
        self.elementwise_of(node, Function::Ternary(TernaryFunction::Select), &[&condition, &yes, &no])
    }

    /// Booleans are kept as 0 and 1, indices as whole numbers: most casts change nothing.
    pub(super) fn cast(
        &mut self,
        node: &TypedNode,
        op: &tract_core::ops::cast::Cast,
    ) -> Result<View, CompileError> {
        let from = self.model.outlet_fact(node.inputs[0]).map(|fact| fact.datum_type);
        let from = from.map_err(|problem| self.unsupported(node, format!("{problem:#}")))?;
        let input = self.input(node, 0)?;
        if op.to == bool::datum_type() && from != bool::datum_type() {
            let zero = self.elementwise_of(node, NOT, &[&input])?;
            return self.elementwise_of(node, NOT, &[&zero]);
        }
        Ok(input)
    }

    /// An element-wise operation into a new tensor. Its inputs are broadcast to the node's shape.
    pub(super) fn elementwise_of(
        &mut self,
        node: &TypedNode,
        function: Function,
        inputs: &[&View],
    ) -> Result<View, CompileError> {
        let shape = self.output_shape(node)?;
        let inputs: Option<Vec<View>> = inputs.iter().map(|&view| view.clone().broadcast(&shape)).collect();
        let inputs =
            inputs.ok_or_else(|| self.unsupported(node, "its inputs cannot be broadcast to its shape"))?;
        let output = self.fresh(node, &shape);
        self.elementwise_into(node, function, &output, &inputs.iter().collect::<Vec<_>>())?;
        Ok(output)
    }
}
