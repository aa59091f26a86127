//! ONNX files, read by tract up to the decluttered model. tract's optimized form is specific to one machine.

mod blame;
mod check;
mod constants;
mod inline;

use crate::error::CompileError;
use crate::panics::caught;
use crate::rewrite;
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use tract_core::internal::{OutletId, SessionId, TurnState, TypedNode, bail};
use tract_core::optim::Optimizer;
use tract_onnx::model::Onnx;
use tract_onnx::pb;
use tract_onnx::prelude::*;

/// The refusal of a size that depends on values, with the rewrites that help.
const COMPUTED_SIZE: &str = "a size depends on values, as after a masked selection or assignment: write those as \
    torch.where(mask, new, old), give sizes as constants (torch.onnx.export with dynamo=True does), and crop and resize \
    outside the graph";

/// A graph for the compiler.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The program's name.
    pub program: String,
    /// The decluttered model.
    pub model: TypedModel,
    /// Names and shapes of the inputs.
    pub inputs: Vec<(String, Vec<usize>)>,
    /// Names and shapes of the outputs.
    pub outputs: Vec<(String, Vec<usize>)>,
    /// Its origin, for the provenance.
    pub origin: Origin,
}

/// The origin of a graph.
#[derive(Debug, Clone)]
pub struct Origin {
    /// File name, without its directory.
    pub file: String,
    /// BLAKE3 of the file, in hex.
    pub blake3: String,
    /// Producer and its version, as written in the file.
    pub producer: String,
    /// Opset versions by domain.
    pub opsets: Vec<(String, i64)>,
    /// What training wrote of the weights: data, start, licences.
    pub training: Option<serde_json::Value>,
}

/// Key of the metadata in which training writes where the weights come from, as JSON.
const TRAINING_KEY: &str = "sonotrace.provenance";

/// What training wrote of the weights; none in graphs of other origin.
fn training(proto: &pb::ModelProto) -> Result<Option<serde_json::Value>, String> {
    let Some(entry) = proto.metadata_props.iter().find(|entry| entry.key == TRAINING_KEY) else {
        return Ok(None);
    };
    let value = serde_json::from_str(&entry.value)
        .map_err(|problem| format!("its metadata {TRAINING_KEY} is not JSON: {problem}"))?;
    Ok(Some(value))
}

/// Reads a graph.
///
/// # Errors
/// A file that cannot be read or is damaged; an input or output with a dynamic shape or another type than f32.
pub fn load(program: &str, path: &Path) -> Result<Graph, CompileError> {
    let bytes = std::fs::read(path).map_err(|source| CompileError::Read { path: path.to_owned(), source })?;
    let hash = blake3::hash(&bytes).to_hex().to_string();
    let proto = read(path, &bytes)?;
    // The weights are in the graph now.
    drop(bytes);
    of_proto(program, path, proto, hash)
}

/// Reads a graph from the content of a file. `path` names it; external weights, if any, are in its folder.
///
/// # Errors
/// As [`load`].
pub fn parse(program: &str, path: &Path, bytes: &[u8]) -> Result<Graph, CompileError> {
    of_proto(program, path, read(path, bytes)?, blake3::hash(bytes).to_hex().to_string())
}

fn read(path: &Path, bytes: &[u8]) -> Result<pb::ModelProto, CompileError> {
    pb::ModelProto::decode(bytes)
        .map_err(|problem| CompileError::Graph { path: path.to_owned(), problem: problem.to_string() })
}

/// A graph from the content of a file with this hash.
fn of_proto(
    program: &str,
    path: &Path,
    mut proto: pb::ModelProto,
    hash: String,
) -> Result<Graph, CompileError> {
    let unreadable = |problem: String| CompileError::Graph { path: path.to_owned(), problem };
    let onnx = rewrite::onnx();
    if proto.graph.is_none() {
        return Err(unreadable("it contains no graph".to_owned()));
    }
    check::opsets(&proto).map_err(unreadable)?;
    let training = training(&proto).map_err(unreadable)?;
    inline::inline(program, &mut proto)?;
    let folder = path.parent().map(|folder| folder.to_string_lossy().into_owned());
    constants::fold_masks(&onnx, &mut proto, folder.as_deref());
    let declared = check_graph(program, &proto, &onnx)?;
    let model = typed(&onnx, &proto, folder.as_deref());
    let model =
        model.map_err(|problem| blamed(program, path, &onnx, &mut proto, folder.as_deref(), &problem))?;
    let problem = |problem: TractError| unreadable(format!("{problem:#}"));
    let port = |outlet: OutletId, name: String| -> Result<(String, Vec<usize>), CompileError> {
        let fact = model.outlet_fact(outlet).map_err(problem)?;
        let shape = fact.shape.as_concrete().ok_or_else(|| dynamic(program, &model, outlet, &name))?;
        if fact.datum_type != f32::datum_type() {
            let dtype = format!("{:?}", fact.datum_type);
            return Err(CompileError::PortType { program: program.to_owned(), port: name, dtype });
        }
        Ok((name, shape.to_vec()))
    };
    let inputs = model.input_outlets().map_err(problem)?.iter();
    let inputs =
        inputs.map(|&outlet| port(outlet, model.node(outlet.node).name.clone())).collect::<Result<_, _>>()?;
    let mut outputs = Vec::new();
    for (&outlet, declared) in model.output_outlets().map_err(problem)?.iter().zip(&declared) {
        let (name, shape) = port(outlet, declared.name.clone())?;
        check::output_shape(program, declared, &shape)?;
        outputs.push((name, shape));
    }
    let origin = Origin {
        file: path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        blake3: hash,
        producer: format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned(),
        opsets: proto.opset_import.iter().map(|set| (set.domain.clone(), set.version)).collect(),
        training,
    };
    Ok(Graph { program: program.to_owned(), model, inputs, outputs, origin })
}

/// The error for a port without a fixed shape: the first node whose output's size is computed, if there is one.
fn dynamic(program: &str, model: &TypedModel, outlet: OutletId, port: &str) -> CompileError {
    let is_fixed =
        |outlet: OutletId| model.outlet_fact(outlet).is_ok_and(|fact| fact.shape.as_concrete().is_some());
    let nodes = model.eval_order().unwrap_or_default().into_iter().map(|id| model.node(id));
    let mut nodes =
        nodes.filter(|node| !node.inputs.is_empty() && node.inputs.iter().all(|&input| is_fixed(input)));
    match nodes.find(|node| (0..node.outputs.len()).any(|slot| !is_fixed(OutletId::new(node.id, slot)))) {
        Some(node) => CompileError::Unsupported {
            program: program.to_owned(),
            node: node.name.clone(),
            op: node.op.name().into_owned(),
            reason: COMPUTED_SIZE.to_owned(),
        },
        None => CompileError::DynamicShape {
            program: program.to_owned(),
            port: port.to_owned(),
            shape: model
                .outlet_fact(outlet)
                .map_or_else(|_| String::new(), |fact| format!("{:?}", fact.shape)),
        },
    }
}

/// Checks the ports and the operations of a file; returns its outputs as they are declared.
fn check_graph(
    program: &str,
    proto: &pb::ModelProto,
    onnx: &Onnx,
) -> Result<Vec<pb::ValueInfoProto>, CompileError> {
    let Some(graph) = &proto.graph else { return Ok(Vec::new()) };
    let weights: HashSet<&str> = graph.initializer.iter().map(|weights| weights.name.as_str()).collect();
    for port in graph.input.iter().filter(|port| !weights.contains(port.name.as_str())) {
        check::port_type(program, port)?;
        check::input_shape(program, port)?;
    }
    for port in &graph.output {
        check::port_type(program, port)?;
    }
    check::operations(program, graph, onnx)?;
    Ok(graph.output.clone())
}

/// The decluttered model of a file; the error is the cause, without the places that tract's errors name.
fn typed(onnx: &Onnx, proto: &pb::ModelProto, folder: Option<&str>) -> Result<TypedModel, String> {
    let read = || -> TractResult<TypedModel> {
        let parsed = onnx.parse(proto, folder)?;
        if let [name, ..] = &parsed.unresolved_inputs[..] {
            bail!("no node computes its input {name}");
        }
        let mut model = parsed.model.into_typed()?;
        declutter().optimize(&mut model)?;
        if let Some(graph) = &proto.graph {
            renumber_names(&mut model, &given_names(graph))?;
        }
        Ok(model)
    };
    caught(read)?.map_err(|problem| {
        let cause = problem.chain().last().map_or_else(String::new, ToString::to_string);
        // A symbol stands for each size that depends on values.
        if cause.contains("Undetermined symbol") { COMPUTED_SIZE.to_owned() } else { cause }
    })
}

/// The error for a failure of the front end, with the node that it is about.
fn blamed(
    program: &str,
    path: &Path,
    onnx: &Onnx,
    proto: &mut pb::ModelProto,
    folder: Option<&str>,
    problem: &str,
) -> CompileError {
    let mut reason = problem.to_owned();
    let node = blame::failing_node(proto, |part| match typed(onnx, part, folder) {
        Ok(_) => false,
        Err(problem) => {
            reason = problem;
            true
        }
    });
    match node {
        Some(node) => check::refused(program, &node, reason),
        None => CompileError::Graph { path: path.to_owned(), problem: problem.to_owned() },
    }
}

/// tract's passes except the one that cuts a product over a concatenation into a product for each part: here, parts are written
/// side by side at no cost, and one product is faster.
fn declutter() -> Optimizer {
    let mut optimizer = Optimizer::declutter();
    optimizer.passes.retain(|pass| !format!("{pass:?}").starts_with("ConcatThenEinsum"));
    optimizer
}

/// Names that the exporter gave to nodes and tensors.
fn given_names(graph: &pb::GraphProto) -> HashSet<&str> {
    let nodes = graph.node.iter().flat_map(|node| std::iter::once(&node.name).chain(&node.output));
    let constants = graph.initializer.iter().map(|weights| &weights.name);
    graph.input.iter().map(|port| &port.name).chain(constants).chain(nodes).map(String::as_str).collect()
}

/// Renumbers generated names in the order of evaluation, so that one graph gives one file. tract numbers the nodes that
/// it adds (`Reshape.1`, `Reshape.2`) in the order of a hash map, which differs between runs.
fn renumber_names(model: &mut TypedModel, given: &HashSet<&str>) -> TractResult<()> {
    let mut numbered: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for id in model.eval_order()? {
        let name = &model.nodes[id].name;
        let Some((stem, number)) = name.rsplit_once('.') else { continue };
        if let (false, Ok(number)) = (given.contains(name.as_str()), number.parse()) {
            numbered.entry(stem.to_owned()).or_default().push((id, number));
        }
    }
    for (stem, found) in numbered {
        let mut numbers: Vec<usize> = found.iter().map(|&(_, number)| number).collect();
        numbers.sort_unstable();
        for ((id, _), number) in found.into_iter().zip(numbers) {
            model.nodes[id].name = format!("{stem}.{number}");
        }
    }
    Ok(())
}

/// Runs a graph in f32 with tract.
///
/// # Errors
/// An error of tract.
pub fn run_reference(graph: &Graph, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, CompileError> {
    let run = || -> TractResult<Vec<Vec<f32>>> {
        let mut values = tvec![];
        for ((_, shape), input) in graph.inputs.iter().zip(inputs) {
            values.push(Tensor::from_shape(shape, input)?.into_tvalue());
        }
        let outputs = graph.model.clone().into_optimized()?.into_runnable()?.run(values)?;
        outputs
            .iter()
            .map(|output| {
                let output = output.cast_to::<f32>()?;
                Ok(output.to_plain_array_view::<f32>()?.iter().copied().collect())
            })
            .collect()
    };
    let result = caught(run).and_then(|result| result.map_err(|problem| format!("{problem:#}")));
    result.map_err(|problem| match failing_node(graph, inputs) {
        Some(node) => CompileError::Unsupported {
            program: graph.program.clone(),
            node: node.name.clone(),
            op: node.op.name().into_owned(),
            reason: problem,
        },
        None => CompileError::Reference { program: graph.program.clone(), problem },
    })
}

/// The first node that tract cannot compute, one after the other; none if each of them can be.
fn failing_node<'g>(graph: &'g Graph, inputs: &[Vec<f32>]) -> Option<&'g TypedNode> {
    let model = &graph.model;
    let mut values: HashMap<OutletId, TValue> = HashMap::new();
    for ((&outlet, (_, shape)), input) in model.input_outlets().ok()?.iter().zip(&graph.inputs).zip(inputs) {
        values.insert(outlet, Tensor::from_shape(shape, input).ok()?.into_tvalue());
    }
    let turn = TurnState::default();
    for id in model.eval_order().ok()? {
        let node = model.node(id);
        if values.contains_key(&OutletId::new(id, 0)) {
            continue;
        }
        let given: Option<TVec<TValue>> =
            node.inputs.iter().map(|input| values.get(input).cloned()).collect();
        let given = given?;
        match caught(|| node.op.eval(&turn.context(SessionId::NONE, usize::MAX), given)) {
            Ok(Ok(outputs)) => {
                let outputs = outputs.into_iter().enumerate();
                values.extend(outputs.map(|(slot, value)| (OutletId::new(id, slot), value)));
            }
            _ => return Some(node),
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tract_onnx::tract_core::ops::identity::Identity;

    /// Names of a chain of nodes, in the order of evaluation, after renumbering.
    fn renumbered(names: &[&str], given: &[&str]) -> Vec<String> {
        let mut model = TypedModel::default();
        let mut last = model.add_source("x", f32::fact([1])).unwrap();
        for &name in names {
            last = model.wire_node(name, Identity, &[last]).unwrap()[0];
        }
        model.select_output_outlets(&[last]).unwrap();
        renumber_names(&mut model, &given.iter().copied().collect()).unwrap();
        model.eval_order().unwrap()[1..].iter().map(|&id| model.nodes[id].name.clone()).collect()
    }

    #[test]
    fn numbers_follow_the_order_of_evaluation_and_given_names_stay() {
        assert_eq!(renumbered(&["a.2", "b", "a.0", "a.1"], &[]), ["a.0", "b", "a.1", "a.2"]);
        assert_eq!(renumbered(&["a.2", "a.0", "a.1"], &["a.2"]), ["a.2", "a.0", "a.1"]);
        assert_eq!(renumbered(&["a.2", "a.x", "a.1.1", "a.1"], &[]), ["a.1", "a.x", "a.1.1", "a.2"]);
    }
}
