//! Places in constant masks, and sizes that are sums over them, which exporters write for an assignment through a mask. While tract
//! infers shapes, it does not compute values of more than 4 MB, and then what depends on a large mask has no value.

use super::check::is_standard;
use crate::panics::caught;
use std::collections::{BTreeSet, HashMap, HashSet};
use tract_onnx::model::Onnx;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::*;

/// Inputs of sizes: operation, and the input.
const SIZES: [(&str, usize); 4] = [("Expand", 1), ("Reshape", 1), ("Tile", 1), ("ConstantOfShape", 0)];

/// Replaces by its value each `NonZero` of constants, and each size that is computed from constants by a reduction. What tract cannot
/// compute stays as it is, and is refused later.
pub fn fold_masks(onnx: &Onnx, proto: &mut ModelProto, folder: Option<&str>) {
    let Some(graph) = &proto.graph else { return };
    let mut folded: HashMap<usize, TensorProto> = HashMap::new();
    let read_as_sizes: HashSet<&str> = graph
        .node
        .iter()
        .flat_map(|node| {
            SIZES.iter().filter(|(op, _)| *op == node.op_type).filter_map(|&(_, input)| node.input.get(input))
        })
        .map(String::as_str)
        .collect();
    for (at, node) in graph.node.iter().enumerate() {
        let ([output], true) = (&node.output[..], is_standard(&node.domain)) else { continue };
        let is_size = read_as_sizes.contains(output.as_str());
        if node.op_type != "NonZero" && !is_size {
            continue;
        }
        let Some(needed) = constant_nodes(graph, at) else { continue };
        if is_size && !needed.iter().any(|&at| graph.node[at].op_type.starts_with("Reduce")) {
            continue;
        }
        let value = caught(|| value(onnx, proto, folder, graph, &needed, output));
        if let Ok(Ok(value)) = value {
            folded.insert(at, value);
        }
    }
    let Some(graph) = &mut proto.graph else { return };
    let mut at = 0..;
    graph.node.retain(|_| at.next().is_none_or(|at| !folded.contains_key(&at)));
    graph.initializer.extend(folded.into_values());
}

/// The nodes that a node's value is computed from, itself included; none if it depends on an input of the graph.
fn constant_nodes(graph: &GraphProto, node: usize) -> Option<BTreeSet<usize>> {
    let weights: HashSet<&str> = graph.initializer.iter().map(|weights| weights.name.as_str()).collect();
    let outputs =
        graph.node.iter().enumerate().flat_map(|(at, node)| node.output.iter().map(move |name| (name, at)));
    let writers: HashMap<&str, usize> = outputs.map(|(name, at)| (name.as_str(), at)).collect();
    let mut needed = BTreeSet::new();
    let mut open = vec![node];
    while let Some(at) = open.pop() {
        if !needed.insert(at) {
            continue;
        }
        // A graph within a node reads values that are not among its inputs.
        let node = &graph.node[at];
        if node.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty()) {
            return None;
        }
        for name in node.input.iter().map(String::as_str).filter(|name| !name.is_empty()) {
            if !weights.contains(name) {
                open.push(*writers.get(name)?);
            }
        }
    }
    Some(needed)
}

/// The value of an output of some nodes that depend on no input.
fn value(
    onnx: &Onnx,
    proto: &ModelProto,
    folder: Option<&str>,
    graph: &GraphProto,
    nodes: &BTreeSet<usize>,
    output: &str,
) -> TractResult<TensorProto> {
    let node: Vec<_> = nodes.iter().map(|&at| graph.node[at].clone()).collect();
    let read: HashSet<&str> = node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    let weights = graph.initializer.iter().filter(|weights| read.contains(weights.name.as_str()));
    let part = ModelProto {
        ir_version: proto.ir_version,
        opset_import: proto.opset_import.clone(),
        graph: Some(GraphProto {
            name: "constants".into(),
            initializer: weights.cloned().collect(),
            output: vec![ValueInfoProto { name: output.into(), ..ValueInfoProto::default() }],
            node,
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    let model = onnx.parse(&part, folder)?.model.into_typed()?;
    let values = model.into_runnable()?.run(tvec![])?;
    let places = values[0].cast_to::<i64>()?;
    let raw_data =
        places.to_plain_array_view::<i64>()?.iter().flat_map(|place| place.to_le_bytes()).collect();
    Ok(TensorProto {
        name: output.into(),
        dims: places.shape().iter().map(|&extent| extent as i64).collect(),
        data_type: DataType::Int64.into(),
        raw_data,
        ..TensorProto::default()
    })
}
