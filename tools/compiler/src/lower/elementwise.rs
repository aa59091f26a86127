//! Element-wise operations.

use super::Lowering;
use crate::error::CompileError;
use crate::view::View;
use sonotrace::model::format::map;
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math::PowConst;
use tract_core::ops::nn::{LeakyRelu, gelu_approximate::GeluApproximate};

impl Lowering<'_> {
    /// Functions of one input.
    pub(super) fn element_wise(
        &mut self,
        node: &TypedNode,
        op: &ElementWiseOp,
    ) -> Result<View, CompileError> {
        let mut floats = [0.0; 4];
        let function = match op.0.name().as_str() {
            "Abs" => map::ABS,
            "Neg" => map::NEG,
            "Exp" => map::EXP,
            "Ln" => map::LN,
            "Sqrt" => map::SQRT,
            "Rsqrt" => map::RSQRT,
            "Recip" => map::RECIP,
            "Square" => map::SQUARE,
            "Sin" => map::SIN,
            "Cos" => map::COS,
            "Tanh" => map::TANH,
            "Sigmoid" => map::SIGMOID,
            "Erf" => map::ERF,
            "Silu" => map::SILU,
            "GeluExact" => map::GELU,
            "Floor" => map::FLOOR,
            "Ceil" => map::CEIL,
            "RoundHalfToEven" => map::ROUND,
            "HardSwish" => map::HARD_SWISH,
            "Sign" => map::SIGN,
            "Not" => map::NOT,
            "GeluApproximate" if op.0.downcast_ref::<GeluApproximate>().is_some_and(|op| !op.fast_impl) => {
                map::GELU_TANH
            }
            _ => {
                if let Some(leaky) = op.0.downcast_ref::<LeakyRelu>() {
                    floats[0] = leaky.alpha;
                    map::LEAKY_RELU
                } else if let Some(power) = op.0.downcast_ref::<PowConst>() {
                    return self.power(node, power.exponent);
                } else {
                    return Err(self.unsupported(node, "there is no such function in the runtime"));
                }
            }
        };
        let input = self.input(node, 0)?;
        self.mapped(node, function, floats, &[&input])
    }

    fn power(&mut self, node: &TypedNode, exponent: f32) -> Result<View, CompileError> {
        let input = self.input(node, 0)?;
        let single = match exponent {
            0.5 => Some(map::SQRT),
            -0.5 => Some(map::RSQRT),
            -1.0 => Some(map::RECIP),
            2.0 => Some(map::SQUARE),
            _ => None,
        };
        if let Some(function) = single {
            return self.mapped(node, function, [0.0; 4], &[&input]);
        }
        let exponent = self.float_constant(node, &input.dims.clone(), vec![exponent]);
        self.mapped(node, map::POW, [0.0; 4], &[&input, &exponent])
    }

    /// Functions of two inputs. Comparisons that the runtime lacks are said with those it has.
    pub(super) fn binary(&mut self, node: &TypedNode, op: &TypedBinOp) -> Result<View, CompileError> {
        let (a, b) = (self.input(node, 0)?, self.input(node, 1)?);
        let (function, a, b) = match op.0.name() {
            "Add" => (map::ADD, a, b),
            "Sub" => (map::SUB, a, b),
            "SubF" => (map::SUB, b, a),
            "Mul" => (map::MUL, a, b),
            "Div" => (map::DIV, a, b),
            "Pow" => (map::POW, a, b),
            "Max" if self.is_value(&b, 0.0) => return self.mapped(node, map::RELU, [0.0; 4], &[&a]),
            "Max" if self.is_value(&a, 0.0) => return self.mapped(node, map::RELU, [0.0; 4], &[&b]),
            "Max" => (map::MAX, a, b),
            "Min" => (map::MIN, a, b),
            "Eq" => (map::EQ, a, b),
            "LT" => (map::LT, a, b),
            "LTE" => (map::LE, a, b),
            "GT" => (map::LT, b, a),
            "GTE" => (map::LE, b, a),
            "And" => (map::AND, a, b),
            "Or" => (map::OR, a, b),
            "NE" | "Xor" => {
                // Both are 0 or 1 for Xor, so it is inequality.
                let equal = self.mapped(node, map::EQ, [0.0; 4], &[&a, &b])?;
                return self.mapped(node, map::NOT, [0.0; 4], &[&equal]);
            }
            _ => return Err(self.unsupported(node, "there is no such function in the runtime")),
        };
        self.mapped(node, function, [0.0; 4], &[&a, &b])
    }

    fn is_value(&self, view: &View, value: f32) -> bool {
        self.module.floats(view.tensor) == Some(&[value])
    }

    /// `Iff`: the second input where the first holds, else the third.
    pub(super) fn select(&mut self, node: &TypedNode) -> Result<View, CompileError> {
        let (condition, yes, no) = (self.input(node, 0)?, self.input(node, 1)?, self.input(node, 2)?);
        self.mapped(node, map::SELECT, [0.0; 4], &[&condition, &yes, &no])
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
            let zero = self.mapped(node, map::NOT, [0.0; 4], &[&input])?;
            return self.mapped(node, map::NOT, [0.0; 4], &[&zero]);
        }
        Ok(input)
    }

    /// An element-wise operation into a new tensor, its inputs repeated to the shape they have together.
    pub(super) fn mapped(
        &mut self,
        node: &TypedNode,
        function: u32,
        floats: [f32; 4],
        inputs: &[&View],
    ) -> Result<View, CompileError> {
        let shape = self.output_shape(node)?;
        let inputs: Option<Vec<View>> = inputs.iter().map(|&view| view.clone().broadcast(&shape)).collect();
        let inputs =
            inputs.ok_or_else(|| self.unsupported(node, "its inputs cannot be brought to one shape"))?;
        let output = self.fresh(node, &shape);
        self.map_into(node, function, floats, &output, &inputs.iter().collect::<Vec<_>>())?;
        Ok(output)
    }
}
