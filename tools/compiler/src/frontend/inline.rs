//! Local functions of a file, written out where they are called. tract ignores them, and would take a function that is
//! named like an operation of ONNX for that operation.

use super::check::{is_standard, name_of, refused};
use crate::error::CompileError;
use std::collections::HashMap;
use tract_onnx::pb::{FunctionProto, GraphProto, ModelProto, NodeProto};

/// Deepest nesting of calls; functions that call each other in a circle have no end.
const DEPTH_MAX: usize = 32;
/// Most nodes of a graph after inlining.
const NODES_MAX: usize = 1 << 20;

type Functions<'a> = HashMap<(&'a str, &'a str), &'a FunctionProto>;

/// Replaces calls of local functions by the functions' nodes.
///
/// # Errors
/// [`CompileError::Unsupported`] with the call's name.
pub fn inline(program: &str, proto: &mut ModelProto) -> Result<(), CompileError> {
    if proto.functions.is_empty() {
        return Ok(());
    }
    let functions = std::mem::take(&mut proto.functions);
    let by_name: Functions<'_> = functions
        .iter()
        .map(|function| {
            ((function.domain.as_deref().unwrap_or(""), function.name.as_deref().unwrap_or("")), function)
        })
        .collect();
    let opset = |sets: &[tract_onnx::pb::OperatorSetIdProto]| {
        sets.iter().find(|set| is_standard(&set.domain)).map(|set| set.version)
    };
    let version = opset(&proto.opset_import);
    let other = |function: &FunctionProto| opset(&function.opset_import).filter(|&own| Some(own) != version);
    let context = Context { program, functions: &by_name, other: &other };
    match &mut proto.graph {
        Some(graph) => context.graph(graph, 0),
        None => Ok(()),
    }
}

struct Context<'a> {
    program: &'a str,
    functions: &'a Functions<'a>,
    /// A function's version of ONNX's operator set, if it is another one than the graph's.
    other: &'a dyn Fn(&FunctionProto) -> Option<i64>,
}

impl Context<'_> {
    fn graph(&self, graph: &mut GraphProto, depth: usize) -> Result<(), CompileError> {
        let mut nodes = Vec::with_capacity(graph.node.len());
        for node in std::mem::take(&mut graph.node) {
            self.node(node, depth, &mut nodes)?;
        }
        graph.node = nodes;
        Ok(())
    }

    fn node(&self, mut node: NodeProto, depth: usize, to: &mut Vec<NodeProto>) -> Result<(), CompileError> {
        for attribute in &mut node.attribute {
            for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                self.graph(inner, depth)?;
            }
        }
        let domain = if is_standard(&node.domain) { "" } else { node.domain.as_str() };
        let function = self.functions.get(&(domain, node.op_type.as_str()));
        let Some(function) =
            function.or_else(|| self.functions.get(&(node.domain.as_str(), node.op_type.as_str())))
        else {
            to.push(node);
            return Ok(());
        };
        if depth >= DEPTH_MAX || to.len() >= NODES_MAX {
            let reason =
                format!("local functions are nested more than {DEPTH_MAX} deep, or have too many nodes");
            return Err(refused(self.program, &node, reason));
        }
        if let Some(version) = (self.other)(function) {
            let reason = format!(
                "the local function uses operator set {version}, another one than the graph: export both with one"
            );
            return Err(refused(self.program, &node, reason));
        }
        for inner in body(self.program, function, &node)? {
            self.node(inner, depth + 1, to)?;
        }
        Ok(())
    }
}

/// The nodes of a function with the values and attributes of a call.
fn body(program: &str, function: &FunctionProto, call: &NodeProto) -> Result<Vec<NodeProto>, CompileError> {
    let prefix = name_of(call);
    let mut names: HashMap<&str, String> = HashMap::new();
    for (formal, at) in function.input.iter().zip(0..) {
        names.insert(formal, call.input.get(at).cloned().unwrap_or_default());
    }
    for (formal, actual) in function.output.iter().zip(&call.output).filter(|(_, actual)| !actual.is_empty())
    {
        names.insert(formal, actual.clone());
    }
    let rename = |name: &str| match names.get(name) {
        Some(actual) => actual.clone(),
        None if name.is_empty() => String::new(),
        None => format!("{prefix}/{name}"),
    };
    let mut nodes = Vec::with_capacity(function.node.len());
    for node in &function.node {
        let mut node = node.clone();
        fill(program, function, call, &mut node)?;
        let own = if node.name.is_empty() { name_of(&node) } else { node.name.clone() };
        renamed(&mut node, &rename);
        node.name = format!("{prefix}/{own}");
        nodes.push(node);
    }
    // An output that is an input, which no node writes.
    for (formal, actual) in function.output.iter().zip(&call.output) {
        if let (Some(at), false) =
            (function.input.iter().position(|input| input == formal), actual.is_empty())
        {
            nodes.push(NodeProto {
                op_type: "Identity".into(),
                name: format!("{prefix}/{formal}"),
                input: vec![call.input.get(at).cloned().unwrap_or_default()],
                output: vec![actual.clone()],
                ..NodeProto::default()
            });
        }
    }
    Ok(nodes)
}

/// Replaces references to the function's attributes by those of the call.
fn fill(
    program: &str,
    function: &FunctionProto,
    call: &NodeProto,
    node: &mut NodeProto,
) -> Result<(), CompileError> {
    let mut filled = Vec::with_capacity(node.attribute.len());
    for mut attribute in std::mem::take(&mut node.attribute) {
        for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            for node in &mut inner.node {
                fill(program, function, call, node)?;
            }
        }
        if attribute.ref_attr_name.is_empty() {
            filled.push(attribute);
            continue;
        }
        let wanted = &attribute.ref_attr_name;
        if let Some(given) = call.attribute.iter().find(|given| given.name == *wanted) {
            let mut given = given.clone();
            given.name = attribute.name;
            filled.push(given);
        } else if !function.attribute.contains(wanted) {
            // Its default is stored in a field that tract's reader does not know.
            let reason = format!(
                "it calls a local function without the attribute {wanted}: give its value at the call"
            );
            return Err(refused(program, call, reason));
        }
    }
    node.attribute = filled;
    Ok(())
}

fn renamed(node: &mut NodeProto, rename: &impl Fn(&str) -> String) {
    for name in node.input.iter_mut().chain(&mut node.output) {
        *name = rename(name);
    }
    for attribute in &mut node.attribute {
        for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            for port in inner.input.iter_mut().chain(&mut inner.output).chain(&mut inner.value_info) {
                port.name = rename(&port.name);
            }
            for weights in &mut inner.initializer {
                weights.name = rename(&weights.name);
            }
            for node in &mut inner.node {
                renamed(node, rename);
            }
        }
    }
}
