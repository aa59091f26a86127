//! What is checked before tract reads a graph: tract looks operations up by their name alone.

use crate::error::CompileError;
use crate::rewrite;
use tract_onnx::model::Onnx;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, ValueInfoProto, tensor_proto, tensor_shape_proto, type_proto,
};

/// The newest operator set of ONNX (release 1.23). An unknown newer one may change what operations mean.
pub const OPSET_MAX: i64 = 28;

/// Operations of `com.microsoft` with readers of their own. Its `Attention` is another one than ONNX's.
const MICROSOFT: [&str; 9] = [
    "BiasGelu",
    "FastGelu",
    "GatherBlockQuantized",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuickGelu",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
];

/// Returns whether a domain is ONNX's own.
pub fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// A node's name; without one, the name of its first output.
pub fn name_of(node: &NodeProto) -> String {
    let named = Some(&node.name).filter(|name| !name.is_empty());
    named.or(node.output.iter().find(|name| !name.is_empty())).cloned().unwrap_or_default()
}

/// A refusal of a node.
pub fn refused(program: &str, node: &NodeProto, reason: impl Into<String>) -> CompileError {
    CompileError::Unsupported {
        program: program.to_owned(),
        node: name_of(node),
        op: node.op_type.clone(),
        reason: reason.into(),
    }
}

/// Refuses operator sets that do not exist; the error is the problem.
pub fn opsets(proto: &ModelProto) -> Result<(), String> {
    let standard: Vec<i64> =
        proto.opset_import.iter().filter(|set| is_standard(&set.domain)).map(|set| set.version).collect();
    match standard[..] {
        // Exporters write the opset after the graph: if it is missing, the file is truncated.
        [] if !proto.opset_import.is_empty() && !proto.graph.iter().any(has_standard) => Ok(()),
        [] => Err("it names no operator set of ONNX: is the file complete?".to_owned()),
        [version, ..] if standard.iter().any(|&other| other != version) => {
            Err(format!("it names several versions of ONNX's operator set: {standard:?}"))
        }
        [version, ..] if !(1..=OPSET_MAX).contains(&version) => Err(format!(
            "it uses operator set {version}, known are 1 to {OPSET_MAX}: export it with opset_version=17"
        )),
        _ => Ok(()),
    }
}

fn has_standard(graph: &GraphProto) -> bool {
    graph.node.iter().any(|node| is_standard(&node.domain))
}

/// Refuses operations that no reader knows.
///
/// # Errors
/// [`CompileError::Unsupported`] with the first such node.
pub fn operations(program: &str, graph: &GraphProto, onnx: &Onnx) -> Result<(), CompileError> {
    for node in &graph.node {
        let (domain, op) = (node.domain.as_str(), node.op_type.as_str());
        let is_known = onnx.op_register.0.contains_key(op);
        let reason = match domain {
            // Readable, but no size of its output is ever known.
            _ if is_standard(domain) && is_known && op != "NonMaxSuppression" => None,
            "com.microsoft" if MICROSOFT.contains(&op) => None,
            _ if is_standard(domain) => Some(rewrite::advice(op).to_owned()),
            _ => Some(format!(
                "the compiler does not know operations of the domain {domain}: export with operations of ONNX only"
            )),
        };
        if let Some(reason) = reason {
            return Err(refused(program, node, reason));
        }
        for attribute in &node.attribute {
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                operations(program, inner, onnx)?;
            }
        }
    }
    Ok(())
}

/// The shape that a file declares for a port: for each axis its extent, or what stands there instead. None without a shape.
pub fn declared_shape(port: &ValueInfoProto) -> Option<Vec<Result<usize, String>>> {
    use tensor_shape_proto::dimension::Value;
    let shape = tensor_of(port)?.shape.as_ref()?;
    let extent = |value: &Option<Value>| match value {
        Some(Value::DimValue(extent)) if *extent > 0 => Ok(*extent as usize),
        Some(Value::DimParam(name)) if !name.is_empty() => Err(name.clone()),
        _ => Err("?".to_owned()),
    };
    Some(shape.dim.iter().map(|dim| extent(&dim.value)).collect())
}

fn tensor_of(port: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    let type_proto::Value::TensorType(tensor) = port.r#type.as_ref()?.value.as_ref()?;
    Some(tensor)
}

/// Text of a declared shape.
pub fn shape_text(shape: &[Result<usize, String>]) -> String {
    let text = |extent: &Result<usize, String>| match extent {
        Ok(extent) => extent.to_string(),
        Err(symbol) => symbol.clone(),
    };
    shape.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Refuses ports that are not f32.
///
/// # Errors
/// [`CompileError::PortType`].
pub fn port_type(program: &str, port: &ValueInfoProto) -> Result<(), CompileError> {
    let Some(tensor) = tensor_of(port) else { return Ok(()) };
    let dtype = tensor_proto::DataType::try_from(tensor.elem_type);
    if dtype == Ok(tensor_proto::DataType::Float) {
        return Ok(());
    }
    let dtype = dtype
        .map_or_else(|_| format!("type {}", tensor.elem_type), |dtype| dtype.as_str_name().to_lowercase());
    Err(CompileError::PortType { program: program.to_owned(), port: port.name.clone(), dtype })
}

/// Refuses inputs whose shape is not fixed.
///
/// # Errors
/// [`CompileError::DynamicShape`].
pub fn input_shape(program: &str, port: &ValueInfoProto) -> Result<(), CompileError> {
    match declared_shape(port) {
        Some(shape) if shape.iter().any(Result::is_err) => Err(CompileError::DynamicShape {
            program: program.to_owned(),
            port: port.name.clone(),
            shape: shape_text(&shape),
        }),
        _ => Ok(()),
    }
}

/// Compares an output's declared shape with the computed one. Symbols that exporters leave match anything.
///
/// # Errors
/// [`CompileError::Ports`] with both shapes.
pub fn output_shape(program: &str, port: &ValueInfoProto, computed: &[usize]) -> Result<(), CompileError> {
    let Some(declared) = declared_shape(port) else { return Ok(()) };
    let matches = declared.len() == computed.len()
        && declared.iter().zip(computed).all(|(declared, computed)| {
            declared.as_ref().is_ok_and(|extent| extent == computed) || declared.is_err()
        });
    if matches {
        return Ok(());
    }
    Err(CompileError::Ports(format!(
        "program {program}: output {} is declared as [{}], its nodes compute {computed:?}: correct the declaration or the graph",
        port.name,
        shape_text(&declared)
    )))
}
