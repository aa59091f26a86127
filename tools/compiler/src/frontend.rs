//! ONNX files, read by tract up to the decluttered model. tract's optimized form is specific to one machine.

use crate::error::CompileError;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use tract_core::internal::OutletId;
use tract_core::optim::Optimizer;
use tract_onnx::pb;
use tract_onnx::prelude::*;

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
}

/// Reads a graph.
///
/// # Errors
/// A file that cannot be read or is damaged; an input or output with a dynamic shape or another type than f32.
pub fn load(program: &str, path: &Path) -> Result<Graph, CompileError> {
    let bytes = std::fs::read(path).map_err(|source| CompileError::Read { path: path.to_owned(), source })?;
    parse(program, path, &bytes)
}

/// Reads a graph from the content of a file. `path` names it; external weights, if any, are in its folder.
///
/// # Errors
/// As [`load`].
pub fn parse(program: &str, path: &Path, bytes: &[u8]) -> Result<Graph, CompileError> {
    let problem =
        |problem: TractError| CompileError::Graph { path: path.to_owned(), problem: format!("{problem:#}") };
    let onnx = tract_onnx::onnx();
    let proto = onnx.proto_model_for_read(&mut &*bytes).map_err(problem)?;
    let Some(graph) = &proto.graph else {
        return Err(CompileError::Graph {
            path: path.to_owned(),
            problem: "it contains no graph".to_owned(),
        });
    };
    // Exporters write the opset after the graph: if it is missing, the file is truncated.
    if proto.opset_import.is_empty() {
        let problem = "it names no operator set: is the file complete?".to_owned();
        return Err(CompileError::Graph { path: path.to_owned(), problem });
    }
    for port in graph.input.iter().chain(&graph.output) {
        if !graph.initializer.iter().any(|weights| weights.name == port.name) {
            check_port(program, port)?;
        }
    }
    let folder = path.parent().map(|folder| folder.to_string_lossy().into_owned());
    let decluttered = || -> TractResult<TypedModel> {
        let parsed = onnx.parse(&proto, folder.as_deref())?;
        if !parsed.unresolved_inputs.is_empty() {
            tract_onnx::tract_core::internal::bail!(
                "unresolved inputs: {}",
                parsed.unresolved_inputs.join(", ")
            );
        }
        let mut model = parsed.model.into_typed()?;
        declutter().optimize(&mut model)?;
        renumber_names(&mut model, &given_names(graph))?;
        Ok(model)
    };
    // tract panics on some graphs that no exporter writes; no state of it is used after the panic.
    let model = std::panic::catch_unwind(std::panic::AssertUnwindSafe(decluttered))
        .map_err(|_| CompileError::Graph {
            path: path.to_owned(),
            problem: "the front end panicked".to_owned(),
        })?
        .map_err(problem)?;
    let output_names: Vec<String> = graph.output.iter().map(|port| port.name.clone()).collect();
    let port = |outlet: OutletId, name: String| -> Result<(String, Vec<usize>), CompileError> {
        let fact = model.outlet_fact(outlet).map_err(problem)?;
        let shape = fact.shape.as_concrete().ok_or_else(|| CompileError::DynamicShape {
            program: program.to_owned(),
            port: name.clone(),
            shape: format!("{:?}", fact.shape),
        })?;
        if fact.datum_type != f32::datum_type() {
            let dtype = format!("{:?}", fact.datum_type);
            return Err(CompileError::PortType { program: program.to_owned(), port: name, dtype });
        }
        Ok((name, shape.to_vec()))
    };
    let inputs = model.input_outlets().map_err(problem)?.iter();
    let inputs =
        inputs.map(|&outlet| port(outlet, model.node(outlet.node).name.clone())).collect::<Result<_, _>>()?;
    let outputs = model.output_outlets().map_err(problem)?.iter().zip(output_names);
    let outputs = outputs.map(|(&outlet, name)| port(outlet, name)).collect::<Result<_, _>>()?;
    let origin = Origin {
        file: path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        blake3: blake3::hash(bytes).to_hex().to_string(),
        producer: format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned(),
        opsets: proto.opset_import.iter().map(|set| (set.domain.clone(), set.version)).collect(),
    };
    Ok(Graph { program: program.to_owned(), model, inputs, outputs, origin })
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

/// Refuses ports that are not f32 tensors of a fixed shape. Shapes of outputs may be left out.
fn check_port(program: &str, port: &pb::ValueInfoProto) -> Result<(), CompileError> {
    use pb::tensor_shape_proto::dimension::Value;
    let Some(pb::type_proto::Value::TensorType(tensor)) =
        port.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Ok(());
    };
    let dtype = pb::tensor_proto::DataType::try_from(tensor.elem_type);
    if dtype != Ok(pb::tensor_proto::DataType::Float) {
        let dtype = dtype.map_or_else(
            |_| format!("type {}", tensor.elem_type),
            |dtype| dtype.as_str_name().to_lowercase(),
        );
        return Err(CompileError::PortType { program: program.to_owned(), port: port.name.clone(), dtype });
    }
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
    let text = |dim: &pb::tensor_shape_proto::Dimension| match &dim.value {
        Some(Value::DimValue(extent)) if *extent > 0 => Ok(extent.to_string()),
        Some(Value::DimParam(name)) => Err(name.clone()),
        _ => Err("?".to_owned()),
    };
    let texts: Vec<Result<String, String>> = dims.map(text).collect();
    if texts.iter().any(Result::is_err) {
        let shape =
            texts.into_iter().map(|text| text.unwrap_or_else(|name| name)).collect::<Vec<_>>().join(", ");
        return Err(CompileError::DynamicShape {
            program: program.to_owned(),
            port: port.name.clone(),
            shape,
        });
    }
    Ok(())
}

/// Runs a graph in f32 with tract.
///
/// # Errors
/// An error of tract.
pub fn run_reference(graph: &Graph, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, CompileError> {
    let problem = |problem: TractError| CompileError::Reference {
        program: graph.program.clone(),
        problem: format!("{problem:#}"),
    };
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
    run().map_err(problem)
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
