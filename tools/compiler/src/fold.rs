//! Folds constant factors into weights: a product that is multiplied by a number becomes a product with other weights.

use crate::fuse::private_writers;
use crate::graph::{Constant, Module, Op, Operand, Program};
use crate::panics;
use sonotrace::format::Operation;
use sonotrace::format::function::{BinaryFunction, Function, Unary};
use sonotrace::format::op::Elementwise;

/// Folds all such factors of the program with this index. What is left of a multiplication is a copy, which fusing removes.
pub fn fold(module: &mut Module, index: usize, program: &mut Program) {
    for at in 0..program.ops.len() {
        panics::at(at);
        if let Some((writer, product)) = scaled_product(module, index, program, at) {
            program.ops[writer] = product;
            let target = program.ops[at].operands[0].map(|operand| operand.tensor);
            let writes = |op: &Op| op.output().map(|output| output.tensor) == target;
            let is_only_writer = program.ops.iter().filter(|op| writes(op)).count() == 1;
            let op = &mut program.ops[at];
            op.operation = Elementwise { function: Function::Unary(Unary::COPY) }.into();
            op.may_forward |= is_only_writer;
        }
    }
}

/// The product whose result the operation at `at` multiplies by a number, with the number in its weights. The operation keeps only
/// its other input.
fn scaled_product(
    module: &mut Module,
    index: usize,
    program: &mut Program,
    at: usize,
) -> Option<(usize, Op)> {
    let op = &program.ops[at];
    if op.function()? != Function::Binary(BinaryFunction::Mul) {
        return None;
    }
    let (source, factor) = [(1, 2), (2, 1)].into_iter().find_map(|(source, factor)| {
        let values = module.floats(op.operands[factor].as_ref()?.tensor)?;
        let &first = values.first()?;
        let is_number = first.is_finite() && values.iter().all(|value| value.to_bits() == first.to_bits());
        is_number.then_some((op.operands[source]?, first))
    })?;
    let &[writer] = &*private_writers(module, program, at, source.tensor)? else { return None };
    let mut product = program.ops[writer].clone();
    let is_product = matches!(product.operation, Operation::MatMul(_) | Operation::Conv(_));
    if !is_product || !product.activation_mut()?.is_copy() || product.operands[4].is_some() {
        return None;
    }
    let weights = product.operands[2]?;
    let Some(Constant::Panels { values, depth }) = &module.tensors[weights.tensor].constant else {
        return None;
    };
    let panels =
        Constant::Panels { values: values.iter().map(|value| value * factor).collect(), depth: *depth };
    let addend = match product.operands[3] {
        Some(addend) => {
            let values = module.floats(addend.tensor)?;
            Some((addend, Constant::Floats(values.iter().map(|value| value * factor).collect())))
        }
        None => None,
    };
    let name = product.name.clone();
    product.operands[2] = Some(Operand { tensor: module.constant(index, &name, panels), ..weights });
    if let Some((addend, scaled)) = addend {
        product.operands[3] = Some(Operand { tensor: module.constant(index, &name, scaled), ..addend });
    }
    let op = &mut program.ops[at];
    (op.operands[1], op.operands[2]) = (Some(source), None);
    Some((writer, product))
}
