//! Finds the node that a failure of the front end is about: tract's errors name it by the number of its own node, and
//! panics do not name it at all.

use std::collections::HashSet;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto};

/// The last node of the shortest part of a graph, from its start, for which `fails` holds; none if it holds for no part.
/// The whole graph is given back unchanged.
pub fn failing_node(proto: &mut ModelProto, mut fails: impl FnMut(&ModelProto) -> bool) -> Option<NodeProto> {
    let graph = proto.graph.as_mut()?;
    let nodes = std::mem::take(&mut graph.node);
    let outputs = std::mem::take(&mut graph.output);
    let mut fails_with = |count: usize| {
        if let Some(graph) = proto.graph.as_mut() {
            take_part(graph, &nodes[..count]);
        }
        fails(proto)
    };
    let mut found = None;
    if fails_with(nodes.len()) {
        // Part `low` does not fail, part `high` does.
        let (mut low, mut high) = (0, nodes.len());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fails_with(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        found = high.checked_sub(1).and_then(|last| nodes.get(last)).cloned();
    }
    if let Some(graph) = proto.graph.as_mut() {
        (graph.node, graph.output) = (nodes, outputs);
    }
    found
}

/// Keeps these nodes, and makes every value that none of them reads an output.
fn take_part(graph: &mut GraphProto, nodes: &[NodeProto]) {
    let read: HashSet<&str> = nodes.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    let written = nodes.iter().flat_map(|node| &node.output);
    let ends = written.filter(|name| !name.is_empty() && !read.contains(name.as_str()));
    graph.output =
        ends.map(|name| ValueInfoProto { name: name.clone(), ..ValueInfoProto::default() }).collect();
    graph.node = nodes.to_vec();
}
