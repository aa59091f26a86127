//! The origin of a model file, stored in it as JSON. It has no times or folders, so the same inputs give the same text.

use crate::Options;
use crate::frontend::Graph;
use serde_json::{Value, json};

/// The provenance text. `conventions` is the BLAKE3 of the conventions file, in hex.
pub fn text(graphs: &[Graph], options: &Options, conventions: Option<&str>) -> String {
    let programs: Vec<Value> = graphs
        .iter()
        .map(|graph| {
            let origin = &graph.origin;
            let opsets: Vec<Value> = origin
                .opsets
                .iter()
                .map(|(domain, version)| json!({"domain": domain, "version": version}))
                .collect();
            json!({
                "name": graph.program,
                "graph": origin.file,
                "blake3": origin.blake3,
                "producer": origin.producer,
                "opsets": opsets,
            })
        })
        .collect();
    // Programs of the same weights have the same record, which is stored once.
    let mut training: Vec<(Vec<&str>, &Value)> = Vec::new();
    for graph in graphs {
        let Some(record) = &graph.origin.training else { continue };
        match training.iter_mut().find(|(_, known)| *known == record) {
            Some((programs, _)) => programs.push(&graph.program),
            None => training.push((vec![&graph.program], record)),
        }
    }
    let training: Vec<Value> =
        training.iter().map(|(programs, record)| json!({"programs": programs, "record": record})).collect();
    let mut provenance = json!({
        "tool": "sonotrace-compiler",
        "version": env!("CARGO_PKG_VERSION"),
        "front_end": "tract-onnx 0.23.9",
        "programs": programs,
        "options": {"weights": options.weights.name()},
        "conventions_blake3": conventions,
    });
    // Files of graphs without a record stay as they were.
    if !training.is_empty() {
        provenance["training"] = training.into();
    }
    format!("{provenance:#}\n")
}
