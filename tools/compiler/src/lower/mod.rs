//! Lowers tract's decluttered graph to operation records: one file for each family of operations.
//!
//! Every value is a view. Operations that only move or repeat elements make a new view; the others write a new dense
//! tensor. A value that tract folded into a constant stays a constant until an operation reads it.

mod conv;
mod deconv;
mod einsum;
mod elementwise;
mod functions;
mod grid_sample;
mod normalize;
mod reduce;
mod resize;
mod scatter;
mod select;
mod shape;

use crate::error::CompileError;
use crate::graph::{Constant, Home, Module, Op, Operand, Port, walk_operands};
use crate::panics::caught;
use crate::view::View;
use sonotrace::format::function::{Function, Unary};
use sonotrace::format::op::Elementwise;
use std::collections::HashMap;
use tract_core::internal::*;
use tract_core::ops::array::{
    Gather, GatherElements, GatherNd, MultiBroadcastTo, OneHot, Pad, ScatterElements, ScatterNd, Slice, Tile,
    TypedConcat,
};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::cnn::{Conv, Deconv, MaxPool, SumPool};
use tract_core::ops::downsample::Downsample;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::identity::Identity;
use tract_core::ops::logic::Iff;
use tract_core::ops::nn::{GridSample, Reduce, Softmax};

/// The lowered value of a graph's outlet.
#[derive(Debug, Clone)]
pub enum Value {
    /// A view of a tensor.
    View(View),
    /// A constant that no operation has read yet.
    Constant(Arc<Tensor>),
}

/// A program while it is lowered.
pub struct Lowering<'a> {
    module: &'a mut Module,
    program: usize,
    name: String,
    model: &'a TypedModel,
    values: HashMap<OutletId, Value>,
    ops: Vec<Op>,
    normalisations: HashMap<usize, normalize::Normalisation>,
}

/// Lowers a graph. The tensors of its inputs exist already. `outputs` are names and, for state, the tensors to write.
///
/// # Errors
/// [`CompileError::Unsupported`] with the node's name.
pub fn lower(
    module: &mut Module,
    program: usize,
    name: &str,
    model: &TypedModel,
    inputs: &[Port],
    outputs: &[(String, Option<usize>)],
) -> Result<(Vec<Op>, Vec<Port>), CompileError> {
    let mut lowering = Lowering {
        module,
        program,
        name: name.to_owned(),
        model,
        values: HashMap::new(),
        ops: Vec::new(),
        normalisations: normalize::find(model),
    };
    let reference = |problem: TractError| CompileError::Reference {
        program: name.to_owned(),
        problem: format!("{problem:#}"),
    };
    for (&outlet, port) in model.input_outlets().map_err(reference)?.iter().zip(inputs) {
        lowering.values.insert(outlet, Value::View(View::dense(port.tensor, &port.shape)));
    }
    for id in model.eval_order().map_err(reference)? {
        let node = model.node(id);
        caught(|| lowering.node(node)).unwrap_or_else(|problem| Err(lowering.unsupported(node, problem)))?;
    }
    let mut ports: Vec<Port> = Vec::new();
    for (outlet, (name, state)) in model.output_outlets().map_err(reference)?.iter().zip(outputs) {
        let port = lowering.output_port(*outlet, name, *state, &ports)?;
        ports.push(port);
    }
    Ok((lowering.ops, ports))
}

/// The rewrite that helps where a graph computes indices.
const CONSTANT_INDICES: &str =
    "make indices constant, or compute clicks, crops and selections outside the graph";
/// The refusal of volumes.
const TOO_MANY_AXES: &str = "it has more than two spatial axes: the runtime computes images, export a 2D network and run it slice by slice";

/// Why an operation that the runtime lacks is refused, with the rewrite that helps.
fn missing(op: &str) -> &'static str {
    known_missing(op).unwrap_or("the runtime has no such operation: write it with others before the export")
}

/// As [`missing`]; none for an operation without advice of its own.
fn known_missing(op: &str) -> Option<&'static str> {
    Some(match op {
        "Topk" => "the runtime does not sort: select outside the graph, or keep all candidates",
        "Scan" => "the runtime has no loops: export a fixed number of steps, written out",
        "Multinomial" | "Random" | "Dropout" => "random values are not supported: export in evaluation mode",
        "CumSum" => "the runtime has no running sums: multiply by a triangular matrix of ones",
        "GruSeq" | "LstmSeq" | "RnnSeq" => {
            "the runtime has no recurrent layers: write the steps out with linear layers"
        }
        _ => return None,
    })
}

impl Lowering<'_> {
    fn unsupported(&self, node: &TypedNode, reason: impl Into<String>) -> CompileError {
        CompileError::Unsupported {
            program: self.name.clone(),
            node: node.name.clone(),
            op: node.op.name().into_owned(),
            reason: reason.into(),
        }
    }

    fn node(&mut self, node: &TypedNode) -> Result<(), CompileError> {
        if self.values.contains_key(&OutletId::new(node.id, 0)) {
            return Ok(());
        }
        if let [output] = &*node.outputs
            && let Some(constant) = &output.fact.konst
        {
            self.values.insert(node.id.into(), Value::Constant(Arc::clone(constant)));
            return Ok(());
        }
        if let Some(constants) = self.constant_inputs(node) {
            return self.fold(node, constants);
        }
        let used: Vec<usize> = (0..node.outputs.len()).filter(|&slot| !self.is_unused(node, slot)).collect();
        if used.is_empty() {
            return Ok(());
        }
        if used != [0] {
            let reason = known_missing(&node.op.name()).unwrap_or("it has more than one output");
            return Err(self.unsupported(node, reason));
        }
        let dtype = node.outputs[0].fact.datum_type;
        let is_index = node.op_as::<Reduce>().is_some_and(reduce::is_arg) || node.op_is::<AxisOp>();
        if !(dtype == f32::datum_type() || dtype == bool::datum_type() || is_index) {
            let integers = if dtype == TDim::datum_type() { "integers" } else { &format!("{dtype:?}") };
            let problem =
                format!("it computes {integers}, only f32 and bool are supported: {CONSTANT_INDICES}");
            return Err(self.unsupported(node, problem));
        }
        let view = self.dispatch(node)?;
        let shape = self.shape(node, OutletId::new(node.id, 0))?;
        if view.dims != shape {
            return Err(
                self.unsupported(node, format!("its result has shape {:?}, expected {shape:?}", view.dims))
            );
        }
        self.values.insert(node.id.into(), Value::View(view));
        Ok(())
    }

    fn is_unused(&self, node: &TypedNode, slot: usize) -> bool {
        let outlet = OutletId::new(node.id, slot);
        node.outputs[slot].successors.is_empty()
            && !self.model.output_outlets().is_ok_and(|outputs| outputs.contains(&outlet))
    }

    fn constant_inputs(&self, node: &TypedNode) -> Option<TVec<TValue>> {
        node.inputs
            .iter()
            .map(|outlet| match self.values.get(outlet) {
                Some(Value::Constant(tensor)) => Some(Arc::clone(tensor).into_tvalue()),
                _ => None,
            })
            .collect()
    }

    /// Evaluates a node whose inputs are all constants.
    fn fold(&mut self, node: &TypedNode, inputs: TVec<TValue>) -> Result<(), CompileError> {
        let turn = TurnState::default();
        let context = turn.context(SessionId::NONE, usize::MAX);
        let outputs = node.op.eval(&context, inputs).map_err(|problem| {
            self.unsupported(node, format!("its constant value cannot be computed: {problem:#}"))
        })?;
        for (slot, output) in outputs.into_iter().enumerate() {
            self.values.insert(OutletId::new(node.id, slot), Value::Constant(output.into_arc_tensor()));
        }
        Ok(())
    }

    fn dispatch(&mut self, node: &TypedNode) -> Result<View, CompileError> {
        let op: &dyn TypedOp = node.op.as_ref();
        if let Some(normalisation) = self.normalisations.get(&node.id).cloned() {
            self.normalisation(node, &normalisation)
        } else if let Some(op) = op.downcast_ref::<EinSum>() {
            self.einsum(node, op)
        } else if let Some(op) = op.downcast_ref::<Conv>() {
            self.conv(node, op)
        } else if let Some(op) = op.downcast_ref::<Deconv>() {
            self.deconv(node, op)
        } else if let Some(op) = op.downcast_ref::<MaxPool>() {
            self.max_pool(node, op)
        } else if let Some(op) = op.downcast_ref::<SumPool>() {
            self.sum_pool(node, op)
        } else if let Some(op) = op.downcast_ref::<ElementWiseOp>() {
            self.element_wise(node, op)
        } else if let Some(op) = op.downcast_ref::<TypedBinOp>() {
            self.binary(node, op)
        } else if op.is::<Iff>() {
            self.select(node)
        } else if let Some(op) = op.downcast_ref::<Cast>() {
            self.cast(node, op)
        } else if let Some(op) = op.downcast_ref::<Reduce>() {
            self.reduce(node, op)
        } else if let Some(op) = op.downcast_ref::<Softmax>() {
            self.softmax(node, op)
        } else if let Some(op) = op.downcast_ref::<AxisOp>() {
            self.axis_op(node, op)
        } else if let Some(op) = op.downcast_ref::<Slice>() {
            self.slice(node, op)
        } else if let Some(op) = op.downcast_ref::<Downsample>() {
            self.downsample(node, op)
        } else if op.is::<MultiBroadcastTo>() {
            self.broadcast(node)
        } else if let Some(op) = op.downcast_ref::<Tile>() {
            self.tile(node, op)
        } else if let Some(op) = op.downcast_ref::<TypedConcat>() {
            self.concat(node, op)
        } else if let Some(op) = op.downcast_ref::<Pad>() {
            self.pad(node, op)
        } else if let Some(op) = op.downcast_ref::<Gather>() {
            self.gather(node, op)
        } else if let Some(op) = op.downcast_ref::<GatherElements>() {
            self.gather_elements(node, op)
        } else if let Some(op) = op.downcast_ref::<GatherNd>() {
            self.gather_nd(node, op)
        } else if let Some(op) = op.downcast_ref::<ScatterNd>() {
            self.scatter_nd(node, op)
        } else if let Some(op) = op.downcast_ref::<ScatterElements>() {
            self.scatter_elements(node, op)
        } else if let Some(op) = op.downcast_ref::<OneHot>() {
            self.one_hot(node, op)
        } else if op.is::<Identity>() {
            self.input(node, 0)
        } else if let Some(op) = op.downcast_ref::<GridSample>() {
            self.grid_sample(node, op)
        } else if resize::is_resize(node) {
            self.resize(node)
        } else {
            Err(self.unsupported(node, missing(&op.name())))
        }
    }

    /// The fixed shape of an outlet.
    fn shape(&self, node: &TypedNode, outlet: OutletId) -> Result<Vec<usize>, CompileError> {
        let fact = self
            .model
            .outlet_fact(outlet)
            .map_err(|problem| self.unsupported(node, format!("{problem:#}")))?;
        let shape = fact.shape.as_concrete();
        let shape = shape
            .ok_or_else(|| self.unsupported(node, format!("its shape {:?} is not fixed", fact.shape)))?;
        if shape.contains(&0) {
            return Err(self.unsupported(node, format!("its shape {shape:?} has no elements")));
        }
        Ok(shape.to_vec())
    }

    fn output_shape(&self, node: &TypedNode) -> Result<Vec<usize>, CompileError> {
        self.shape(node, node.id.into())
    }

    /// The view of an input; a constant is stored first.
    fn input(&mut self, node: &TypedNode, slot: usize) -> Result<View, CompileError> {
        match self.values.get(&node.inputs[slot]) {
            Some(Value::View(view)) => Ok(view.clone()),
            Some(Value::Constant(tensor)) => {
                let tensor = Arc::clone(tensor);
                self.constant_view(node, &tensor)
            }
            None => Err(self.unsupported(node, "its input is not computed by a supported node")),
        }
    }

    /// The values of an input that is a constant.
    fn constant_input(&self, node: &TypedNode, slot: usize) -> Option<Arc<Tensor>> {
        match self.values.get(node.inputs.get(slot)?) {
            Some(Value::Constant(tensor)) => Some(Arc::clone(tensor)),
            _ => None,
        }
    }

    /// Float values of a constant; booleans are 0 and 1.
    fn float_values(&self, node: &TypedNode, tensor: &Tensor) -> Result<Vec<f32>, CompileError> {
        let is_float = tensor.datum_type() == f32::datum_type() || tensor.datum_type() == bool::datum_type();
        if !is_float {
            return Err(
                self.unsupported(node, format!("it reads a constant of type {:?}", tensor.datum_type()))
            );
        }
        let values = tensor
            .cast_to::<f32>()
            .and_then(|cast| Ok(cast.to_plain_array_view::<f32>()?.iter().copied().collect::<Vec<_>>()));
        let values = values.map_err(|problem| self.unsupported(node, format!("{problem:#}")))?;
        if let Some(value) = values.iter().find(|value| value.is_nan()) {
            return Err(CompileError::Weight {
                program: self.name.clone(),
                node: node.name.clone(),
                problem: format!("a weight is {value}"),
            });
        }
        Ok(values)
    }

    /// A view of a constant in the weights. A uniform constant is stored as one value.
    fn constant_view(&mut self, node: &TypedNode, tensor: &Tensor) -> Result<View, CompileError> {
        let values = self.float_values(node, tensor)?;
        if values.is_empty() {
            return Err(self.unsupported(node, "it reads a constant without elements"));
        }
        let dims = tensor.shape().to_vec();
        Ok(self.float_constant(node, &dims, values))
    }

    fn float_constant(&mut self, node: &TypedNode, dims: &[usize], values: Vec<f32>) -> View {
        let uniform = values.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits());
        if uniform {
            let tensor =
                self.module.constant(self.program, &node.name, Constant::Floats(values[..1].to_vec()));
            return View { tensor, offset: 0, dims: dims.to_vec(), strides: vec![0; dims.len()] };
        }
        View::dense(self.module.constant(self.program, &node.name, Constant::Floats(values)), dims)
    }

    fn index_constant(&mut self, node: &TypedNode, dims: &[usize], values: Vec<i32>) -> View {
        View::dense(self.module.constant(self.program, &node.name, Constant::Indices(values)), dims)
    }

    /// A new dense tensor for a node's result.
    fn fresh(&mut self, node: &TypedNode, dims: &[usize]) -> View {
        let home = Home::Scratch { program: self.program, input: false };
        View::dense(self.module.tensor(&node.name, dims.iter().product(), home), dims)
    }

    /// Adds an element-wise operation that writes `output` from `inputs`, all of one shape.
    fn elementwise_into(
        &mut self,
        node: &TypedNode,
        function: Function,
        output: &View,
        inputs: &[&View],
    ) -> Result<(), CompileError> {
        let views: Vec<&View> = std::iter::once(output).chain(inputs.iter().copied()).collect();
        let mut op = Op::new(Elementwise { function }, &node.name);
        op.dims = self.place(node, &mut op.operands, &output.dims, &views)?;
        self.ops.push(op);
        Ok(())
    }

    /// Fills in the operands of an element-wise operation and returns its dims.
    fn place(
        &self,
        node: &TypedNode,
        operands: &mut [Option<Operand>],
        dims: &[usize],
        views: &[&View],
    ) -> Result<[usize; 8], CompileError> {
        let (dims, placed) = walk_operands(dims, views)
            .ok_or_else(|| self.unsupported(node, "it has more than 8 dimensions that cannot be merged"))?;
        operands.iter_mut().zip(placed).for_each(|(slot, operand)| *slot = Some(operand));
        Ok(dims)
    }

    /// A dense copy of a view.
    fn copied(&mut self, node: &TypedNode, view: &View) -> Result<View, CompileError> {
        let output = self.fresh(node, &view.dims);
        self.copy_into(node, &output, view, true)?;
        Ok(output)
    }

    fn copy_into(
        &mut self,
        node: &TypedNode,
        output: &View,
        view: &View,
        may_forward: bool,
    ) -> Result<(), CompileError> {
        self.elementwise_into(node, Function::Unary(Unary::COPY), output, &[view])?;
        if let Some(op) = self.ops.last_mut() {
            op.may_forward = may_forward;
        }
        Ok(())
    }

    /// The port of an output. Its tensor is dense and no other port's; for state it is the given tensor.
    fn output_port(
        &mut self,
        outlet: OutletId,
        name: &str,
        state: Option<usize>,
        earlier: &[Port],
    ) -> Result<Port, CompileError> {
        let node = self.model.node(outlet.node);
        let view = match self.values.get(&outlet) {
            Some(Value::View(view)) => view.clone(),
            Some(Value::Constant(tensor)) => {
                let tensor = Arc::clone(tensor);
                self.constant_view(node, &tensor)?
            }
            None => return Err(self.unsupported(node, "it is an output that no supported node computes")),
        };
        let tensor = &self.module.tensors[view.tensor];
        let is_own = tensor.home == Home::Scratch { program: self.program, input: false }
            && tensor.elements == view.elements()
            && view == View::dense(view.tensor, &view.dims)
            && earlier.iter().all(|port| port.tensor != view.tensor);
        if state.is_none() && is_own {
            return Ok(Port { name: name.to_owned(), shape: view.dims, tensor: view.tensor });
        }
        let home = Home::Scratch { program: self.program, input: false };
        let tensor = state.unwrap_or_else(|| self.module.tensor(name, view.elements(), home));
        let output = View::dense(tensor, &view.dims);
        if output != view {
            self.copy_into(node, &output, &view, true)?;
        }
        Ok(Port { name: name.to_owned(), shape: view.dims, tensor })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tract_core::ops::math;

    /// tract folds constants itself, so the quotient is built by hand.
    #[test]
    fn a_panic_names_the_node() {
        let mut model = TypedModel::default();
        let x = model.add_source("x", i64::fact([1])).unwrap();
        let [five, zero] =
            [5i64, 0].map(|value| model.add_const(format!("c{value}"), tensor1(&[value])).unwrap());
        let quotient = model.add_node("Div_1", math::div(), tvec![i64::fact([1])]).unwrap();
        model.add_edge(five, InletId::new(quotient, 0)).unwrap();
        model.add_edge(zero, InletId::new(quotient, 1)).unwrap();
        model.select_output_outlets(&[quotient.into()]).unwrap();
        let mut module = Module::default();
        let home = Home::Scratch { program: 0, input: true };
        let input = Port { name: "x".into(), shape: vec![1], tensor: module.tensor("x", 1, home) };
        assert_eq!(model.input_outlets().unwrap(), [x]);
        let lowered = lower(&mut module, 0, "main", &model, &[input], &[("y".into(), None)]);
        let text = lowered.map_err(|error| error.to_string()).err().unwrap_or_default();
        assert!(text.starts_with("program main: node Div_1: operation Div "), "{text}");
        assert!(text.contains("panicked: attempt to divide by zero"), "{text}");
    }
}
