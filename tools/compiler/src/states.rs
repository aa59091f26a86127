//! Which outputs and inputs of different programs are one and the same persistent tensor.
//!
//! Without instructions, an output of one program that another takes as an input, by the same name and shape, is kept
//! per frame: both programs use it in place. The conventions file can say instead which names are kept, per frame or
//! per session.

use crate::error::CompileError;
use crate::frontend::Graph;
use crate::graph::{Home, Module};
use crate::view::TensorId;
use std::collections::BTreeMap;

/// Names of ports that are state.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
pub struct StateNames {
    /// Once per kept frame.
    #[serde(default)]
    pub frame: Vec<String>,
    /// Once a session.
    #[serde(default)]
    pub session: Vec<String>,
}

/// Tensors of the ports that are state, by the port's name.
///
/// # Errors
/// [`CompileError::Ports`]: a name that no port has, ports of one name with different shapes, or two programs that
/// both write a state.
pub fn assign(
    module: &mut Module,
    graphs: &[Graph],
    names: Option<&StateNames>,
) -> Result<BTreeMap<String, TensorId>, CompileError> {
    let wanted: Vec<(String, Home)> = match names {
        Some(names) => {
            let frame = names.frame.iter().map(|name| (name.clone(), Home::FrameState));
            frame.chain(names.session.iter().map(|name| (name.clone(), Home::SessionState))).collect()
        }
        None => shared_names(graphs).into_iter().map(|name| (name, Home::FrameState)).collect(),
    };
    let mut states = BTreeMap::new();
    for (name, home) in wanted {
        let ports = graphs.iter().flat_map(|graph| graph.inputs.iter().chain(&graph.outputs));
        let shapes: Vec<&Vec<usize>> = ports.filter(|port| port.0 == name).map(|port| &port.1).collect();
        let Some(&shape) = shapes.first() else {
            return Err(CompileError::Ports(format!("state {name}: no program has a port of this name")));
        };
        if let Some(other) = shapes.iter().find(|&&other| other != shape) {
            return Err(CompileError::Ports(format!("state {name}: has shapes {shape:?} and {other:?}")));
        }
        let writers: Vec<&str> = graphs
            .iter()
            .filter(|g| g.outputs.iter().any(|port| port.0 == name))
            .map(|g| g.program.as_str())
            .collect();
        if let [first, second, ..] = writers[..] {
            return Err(CompileError::Ports(format!("state {name}: both {first} and {second} write it")));
        }
        let tensor = module.tensor(&name, shape.iter().product(), home);
        if states.insert(name.clone(), tensor).is_some() {
            return Err(CompileError::Ports(format!("state {name}: is named twice")));
        }
    }
    Ok(states)
}

/// Names that are an output of one program and an input of another, with the same shape.
fn shared_names(graphs: &[Graph]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (at, writer) in graphs.iter().enumerate() {
        for output in &writer.outputs {
            let is_read = graphs
                .iter()
                .enumerate()
                .any(|(other, reader)| other != at && reader.inputs.contains(output));
            if is_read && !names.contains(&output.0) {
                names.push(output.0.clone());
            }
        }
    }
    names
}
