//! Operations of ONNX that tract reads wrongly or that the runtime lacks, written as other operations of ONNX.
//!
//! A rule gets a node with the shapes of its inputs, and the values of those that are constant. It returns a fragment of
//! a graph, which takes the node's place when tract turns its graph into a typed one. A form of an operation that a rule
//! does not cover keeps tract's own reading, or is refused with the reason.

mod attention;
mod axis;
mod elementwise;
mod fragment;
mod image;
mod layout;
mod loss;
mod normalize;
mod product;
mod reduce;
mod resample;

use fragment::{Fragment, Known};
use std::collections::HashMap;
use std::sync::OnceLock;
use tract_onnx::model::{Onnx, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// What a rule makes of a node.
enum Outcome {
    /// The fragment's values that are the node's outputs.
    Values(Vec<String>),
    /// Nothing: tract reads this form correctly.
    AsIs,
}

/// A rule's result; the error is the reason why the node is refused.
type Rewritten = Result<Outcome, String>;

/// A single output.
fn one(value: String) -> Rewritten {
    Ok(Outcome::Values(vec![value]))
}

/// A rule for an operation.
struct Rule {
    /// The operation's name.
    op: &'static str,
    /// Inputs whose values determine the shapes of the outputs.
    values: &'static [usize],
    /// Writes the node as a fragment.
    write: fn(&mut Fragment<'_>) -> Rewritten,
    /// Whether a node needs the rule: what its attributes and its operator set tell.
    applies: fn(&NodeProto, i64) -> bool,
}

impl Rule {
    const fn new(
        op: &'static str,
        values: &'static [usize],
        write: fn(&mut Fragment<'_>) -> Rewritten,
    ) -> Self {
        Self { op, values, write, applies: |_, _| true }
    }

    const fn only_if(mut self, applies: fn(&NodeProto, i64) -> bool) -> Self {
        self.applies = applies;
        self
    }
}

fn rules() -> &'static HashMap<&'static str, &'static Rule> {
    static RULES: OnceLock<HashMap<&'static str, &'static Rule>> = OnceLock::new();
    RULES.get_or_init(|| {
        let all = [
            attention::RULES,
            axis::RULES,
            elementwise::RULES,
            image::RULES,
            layout::RULES,
            loss::RULES,
            normalize::RULES,
            product::RULES,
            reduce::RULES,
            resample::RULES,
        ];
        all.into_iter().flatten().map(|rule| (rule.op, rule)).collect()
    })
}

/// tract's own readers.
fn plain() -> &'static Onnx {
    static PLAIN: OnceLock<Onnx> = OnceLock::new();
    PLAIN.get_or_init(tract_onnx::onnx)
}

/// tract's readers, with the rules in front.
///
/// Shapes that a file declares for its intermediate values are ignored: exporters leave symbols on them that have
/// a number in the graph.
pub fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    for &op in rules().keys() {
        onnx.op_register.insert(op, read);
    }
    onnx
}

/// Why an operation that no reader knows is refused, with the rewrite that helps.
pub fn advice(op: &str) -> &'static str {
    match op {
        "NonMaxSuppression" | "Unique" | "NonZero" => {
            "its output has a size that depends on values: do this outside the graph"
        }
        "Loop" | "If" => "control flow depends on values: export a fixed number of steps, without branches",
        "RoiAlign" | "MaxRoiPool" => "it crops at computed places: crop and resize outside the graph",
        "SequenceConstruct" | "SequenceAt" | "SequenceEmpty" | "SequenceInsert" | "SplitToSequence"
        | "ConcatFromSequence" | "OptionalGetElement" | "Optional" => {
            "sequences are not supported: export with the dynamo exporter, which writes tensors"
        }
        "Bernoulli" | "RandomNormal" | "RandomUniform" | "RandomNormalLike" | "RandomUniformLike" => {
            "random values are not supported: export the network in evaluation mode"
        }
        _ => "the compiler has no such operation: write it with others before the export",
    }
}

/// Reads a node that has a rule.
fn read(context: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let opset = context.onnx_operator_set_version;
    let rule = rules().get(node.op_type.as_str()).context("an operation with a rule")?;
    if (rule.applies)(node, opset) {
        return Ok((expand(Rewrite { node: node.clone(), opset }), vec![]));
    }
    match plain().op_register.0.get(&node.op_type) {
        Some(read) => read(context, node),
        None => bail!("this form is not supported"),
    }
}

/// A node that a rule writes as a fragment.
#[derive(Debug, Clone)]
struct Rewrite {
    node: NodeProto,
    opset: i64,
}

impl Rewrite {
    /// The fragment as a typed model, with the node's inputs as sources in their order.
    fn fragment(&self, inputs: &[Known]) -> TractResult<TypedModel> {
        let rule = rules().get(self.node.op_type.as_str()).context("an operation with a rule")?;
        let mut fragment = Fragment::new(&self.node, self.opset, inputs);
        let outputs = match (rule.write)(&mut fragment) {
            Ok(Outcome::Values(outputs)) => outputs,
            Ok(Outcome::AsIs) => fragment.same()?,
            Err(reason) => bail!("{reason}"),
        };
        let wanted = self.node.output.iter().filter(|name| !name.is_empty()).count();
        if outputs.len() < wanted {
            bail!("only its first {} outputs are supported", outputs.len());
        }
        fragment.typed(&outputs[..wanted])
    }
}

impl Expansion for Rewrite {
    fn name(&self) -> StaticName {
        self.node.op_type.clone().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.node.output.iter().filter(|name| !name.is_empty()).count())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let rule = rules().get(self.node.op_type.as_str()).context("an operation with a rule")?;
        // Positions among the inputs that are given; optional ones may be left out.
        let given: Vec<usize> =
            (0..self.node.input.len()).filter(|&at| !self.node.input[at].is_empty()).collect();
        let values: Vec<usize> =
            rule.values.iter().filter_map(|slot| given.iter().position(|at| at == slot)).collect();
        s.given_all(inputs.iter().map(|input| &input.datum_type), move |s, dtypes| {
            let values = values.clone();
            s.given_all(inputs.iter().map(|input| &input.shape), move |s, shapes| {
                let known =
                    |at: usize, value: Option<Arc<Tensor>>| Known::new(dtypes[at], &shapes[at], value);
                let plain: TractResult<Vec<Known>> = (0..shapes.len()).map(|at| known(at, None)).collect();
                let plain = plain?;
                if values.is_empty() {
                    return self.infer(s, outputs, &plain);
                }
                let slots = values.clone();
                s.given_all(values.iter().map(|&at| &inputs[at].value), move |s, found| {
                    let mut inputs = plain.clone();
                    for (&at, value) in slots.iter().zip(found) {
                        inputs[at].value = Some(value);
                    }
                    self.infer(s, outputs, &inputs)
                })
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let known: TractResult<Vec<Known>> = inputs
            .iter()
            .map(|&outlet| {
                let fact = model.outlet_fact(outlet)?;
                Known::new(fact.datum_type, &fact.shape.to_tvec(), fact.konst.clone())
            })
            .collect();
        let fragment = self.fragment(&known?)?;
        graft(prefix, model, &fragment, inputs)
    }
}

impl Rewrite {
    fn infer<'r>(&self, s: &mut Solver<'r>, outputs: &'r [TensorProxy], inputs: &[Known]) -> InferenceResult {
        let fragment = self.fragment(inputs)?;
        let first = inputs.first().map_or(f32::datum_type(), |input| input.dtype);
        for (proxy, &outlet) in outputs.iter().zip(fragment.output_outlets()?) {
            let fact = fragment.outlet_fact(outlet)?;
            if fact.datum_type.is_integer() || fact.datum_type == TDim::datum_type() {
                // Lengths are integers in a file, and a type of their own in tract.
                s.equals(&proxy.datum_type, first)?;
            } else {
                s.equals(&proxy.datum_type, fact.datum_type)?;
            }
            s.equals(&proxy.shape, ShapeFactoid::from(fact.shape.to_tvec()))?;
        }
        Ok(())
    }
}

/// Copies the nodes of a fragment into a model.
fn graft(
    prefix: &str,
    model: &mut TypedModel,
    fragment: &TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let before = model.nodes.len();
    let mut places: HashMap<OutletId, OutletId> =
        fragment.input_outlets()?.iter().copied().zip(inputs.iter().copied()).collect();
    for id in fragment.eval_order()? {
        let node = fragment.node(id);
        if places.contains_key(&OutletId::new(id, 0)) {
            continue;
        }
        let from: TVec<OutletId> = node.inputs.iter().map(|input| places[input]).collect();
        // A node that tract reads itself has the names that it has without a rule.
        let is_own = node.name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
        let name = if is_own { node.name.clone() } else { format!("{prefix}.{}", node.name) };
        let to = model.wire_node(name, node.op.clone(), &from)?;
        for (slot, outlet) in to.into_iter().enumerate() {
            places.insert(OutletId::new(id, slot), outlet);
        }
    }
    let outputs: TVec<OutletId> = fragment.output_outlets()?.iter().map(|outlet| places[outlet]).collect();
    if let [output, ..] = *outputs
        && output.node >= before
    {
        model.nodes[output.node].name = prefix.to_owned();
    }
    Ok(outputs)
}
