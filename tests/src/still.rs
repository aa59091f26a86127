//! A small tracker whose objects do not move: each stays where the memories have it. It is absent where the frame shows nothing.

use crate::onnx::{Onnx, int, ints, text};
use serde_json::{Map, json};
use sonotrace_compiler::frontend::Graph;

/// Channels of the embedding.
const CHANNELS: usize = 4;
/// Channels of keys and values.
const KEYS: usize = 2;
/// The background, and ten objects.
const IDS: usize = 11;
/// The tracker's memories.
const MEMORIES: [&str; 5] = ["reference", "recent1", "recent2", "recent3", "previous"];
/// Names of what shows whether a mask is right. Only `dark` is used here.
const EVIDENCE: [&str; 27] = [
    "iou",
    "iou_lost",
    "agreement",
    "gap",
    "age",
    "sureness",
    "doubt",
    "step",
    "step_overlap",
    "move",
    "away",
    "drift",
    "size",
    "alike",
    "ring_alike",
    "contrast",
    "alike_before",
    "frame_alike",
    "known",
    "frame_known",
    "found_inside",
    "found_share",
    "found_all",
    "grey",
    "spread",
    "dark",
    "level",
];

/// Sizes and constants of the tracker, beside those of the segmenter whose embedding `[1, 4, grid, grid]` it reads.
#[derive(Debug, Clone, Copy)]
pub struct Still {
    /// Side of the image.
    pub input: usize,
    /// Side of the mask.
    pub mask: usize,
    /// Side of the embedding: divides the mask's.
    pub grid: usize,
    /// Point slots.
    pub points: usize,
    /// Mean of grey levels.
    pub mean: f32,
    /// Their standard deviation.
    pub std: f32,
    /// Weight of the segmenter's mask against the tracker's.
    pub trust: f32,
}

impl Still {
    fn tokens(&self) -> usize {
        self.grid * self.grid
    }

    /// The program `tracker`: an object's logits are 12 times its mean share in the memories that know it. Keys, values and the
    /// anchor's features add a little that is the same for all objects.
    ///
    /// # Panics
    /// Only for a defect.
    pub fn tracker(&self) -> Graph {
        let (tokens, grid) = (self.tokens(), self.grid);
        let image = [1, CHANNELS, grid, grid];
        let cells = [1, 2, self.mask / 2, self.mask / 2];
        let mut graph =
            Onnx::default().input("embedding", &image).input("known", &[1, MEMORIES.len() + 1, IDS]);
        for memory in MEMORIES {
            graph = graph
                .input(&format!("{memory}_key"), &[1, tokens, KEYS])
                .input(&format!("{memory}_value"), &[1, tokens, KEYS])
                .input(&format!("{memory}_identity"), &[1, tokens, IDS]);
        }
        graph = graph
            .input("anchor_embedding", &image)
            .input("anchor_shares", &[1, IDS, self.mask, self.mask])
            .input("so_far_flow", &cells)
            .input("so_far_step", &cells)
            .indices("rows", &[3], &[1, CHANNELS as i64, tokens as i64])
            .node("Reshape", &["embedding", "rows"], &["channels"], &[])
            .node("Transpose", &["channels"], &["tokens"], &[ints("perm", &[0, 2, 1])])
            .weights("to_key", &[CHANNELS, KEYS])
            .weights("to_value", &[CHANNELS, KEYS])
            .node("MatMul", &["tokens", "to_key"], &["key"], &[])
            .node("MatMul", &["tokens", "to_value"], &["value"], &[])
            .floats("little", &[], &[1.0 / 64.0])
            .indices("at_anchor", &[1], &[MEMORIES.len() as i64])
            .node("Gather", &["known", "at_anchor"], &["known_anchor"], &[int("axis", 1)]);
        graph = self.by_token(graph, "anchor_shares", "anchor_identity").node(
            "Mul",
            &["anchor_identity", "known_anchor"],
            &["sum_0"],
            &[],
        );
        for (at, memory) in MEMORIES.iter().enumerate() {
            let name = |part: &str| format!("{memory}_{part}");
            let (sum, next) = (format!("sum_{at}"), format!("sum_{}", at + 1));
            graph = graph
                .indices(&name("at"), &[1], &[at as i64])
                .node("Gather", &["known", &name("at")], &[&name("known")], &[int("axis", 1)])
                .node("Transpose", &[&name("key")], &[&name("columns")], &[ints("perm", &[0, 2, 1])])
                .node("MatMul", &["key", &name("columns")], &[&name("scores")], &[])
                .node("Softmax", &[&name("scores")], &[&name("weights")], &[int("axis", -1)])
                .node("MatMul", &[&name("weights"), &name("value")], &[&name("found")], &[])
                .node("ReduceMean", &[&name("found")], &[&name("level")], &[ints("axes", &[2])])
                .node("Mul", &[&name("level"), "little"], &[&name("bias")], &[])
                .node("Add", &[&name("identity"), &name("bias")], &[&name("shares")], &[])
                .node("Mul", &[&name("shares"), &name("known")], &[&name("shown")], &[])
                .node("Add", &[&sum, &name("shown")], &[&next], &[]);
        }
        let pool = self.grid as i64 / (self.mask as i64 / 2);
        let graph = graph
            .floats("one", &[], &[1.0])
            .floats("twelve", &[], &[12.0])
            .indices("axis1", &[1], &[1])
            .node("ReduceSum", &["known", "axis1"], &["number"], &[int("keepdims", 1)])
            .node("Max", &["number", "one"], &["count"], &[])
            .node("Div", &[&format!("sum_{}", MEMORIES.len()), "count"], &["mean"], &[])
            .node("Mul", &["mean", "twelve"], &["by_token"], &[])
            .node("Transpose", &["by_token"], &["by_id"], &[ints("perm", &[0, 2, 1])])
            .indices("square", &[4], &[1, IDS as i64, grid as i64, grid as i64])
            .node("Reshape", &["by_id", "square"], &["on_grid"], &[])
            .node("Sub", &["embedding", "anchor_embedding"], &["change"], &[])
            .weights("to_motion", &[2, CHANNELS, 1, 1])
            .node("Conv", &["change", "to_motion"], &["motion"], &[])
            .node("Tanh", &["motion"], &["bounded"], &[])
            .node("Mul", &["bounded", "little"], &["slight"], &[]);
        let graph = if pool > 1 {
            let size = [ints("kernel_shape", &[pool, pool]), ints("strides", &[pool, pool])];
            graph.node("AveragePool", &["slight"], &["drift"], &size)
        } else {
            self.resized(graph, "slight", "drift", self.mask / 2)
        };
        self.resized(graph, "on_grid", "logits", self.mask)
            .node("Mul", &["so_far_step", "little"], &["before"], &[])
            .node("Add", &["drift", "before"], &["step"], &[])
            .node("Mul", &["so_far_flow", "little"], &["so_far"], &[])
            .node("Add", &["so_far", "step"], &["flow"], &[])
            .output("logits")
            .output("key")
            .output("value")
            .output("flow")
            .output("step")
            .graph("tracker")
            .expect("a graph")
    }

    /// The program `memory`: the shares of the ids in each token.
    ///
    /// # Panics
    /// Only for a defect.
    pub fn memory(&self) -> Graph {
        let graph = Onnx::default().input("shares", &[1, IDS, self.mask, self.mask]);
        self.by_token(graph, "shares", "identity").output("identity").graph("memory").expect("a graph")
    }

    /// Adds the mean shares of each token, `[1, tokens, ids]`.
    fn by_token(&self, graph: Onnx, shares: &str, out: &str) -> Onnx {
        let step = (self.mask / self.grid) as i64;
        let (pooled, shape, rows) =
            (format!("{shares}_pooled"), format!("{shares}_shape"), format!("{shares}_rows"));
        let size = [ints("kernel_shape", &[step, step]), ints("strides", &[step, step])];
        graph
            .node("AveragePool", &[shares], &[&pooled], &size)
            .indices(&shape, &[3], &[1, IDS as i64, self.tokens() as i64])
            .node("Reshape", &[&pooled, &shape], &[&rows], &[])
            .node("Transpose", &[&rows], &[out], &[ints("perm", &[0, 2, 1])])
    }

    /// Adds a square image that is enlarged from the grid to a side.
    fn resized(&self, graph: Onnx, from: &str, to: &str, side: usize) -> Onnx {
        let factor = (side / self.grid) as f32;
        let (scales, region) = (format!("{to}_scales"), format!("{to}_region"));
        graph.floats(&scales, &[4], &[1.0, 1.0, factor, factor]).floats(&region, &[0], &[]).node(
            "Resize",
            &[from, &region, &scales],
            &[to],
            &[
                text("mode", "nearest"),
                text("nearest_mode", "floor"),
                text("coordinate_transformation_mode", "asymmetric"),
            ],
        )
    }

    /// The conventions, with the tracker's state and constants: masks are right and trusted where something is shown, and objects
    /// are absent elsewhere.
    pub fn conventions(&self) -> String {
        let mut ports = Map::new();
        for memory in MEMORIES {
            for part in ["key", "value", "identity"] {
                ports.insert(format!("{memory}_{part}"), format!("{part}@{memory}").into());
            }
        }
        for part in ["embedding", "shares"] {
            ports.insert(format!("anchor_{part}"), format!("{part}@anchor").into());
        }
        for part in ["flow", "step"] {
            ports.insert(format!("so_far_{part}"), format!("{part}@previous").into());
        }
        let regression = |bias: f32, dark: f32| {
            let weights = EVIDENCE.map(|name| if name == "dark" { dark } else { 0.0 });
            json!({"weights": weights, "bias": bias})
        };
        let conventions = json!({
            "input": [1, 1, self.input, self.input],
            "mean": self.mean,
            "std": self.std,
            "prompts": {"points": self.points},
            "state": {
                "banks": {
                    "features": {"tensors": ["embedding"], "per_kept_frame": true},
                    "memory": {"tensors": ["key", "value", "identity"]},
                    "motion": {"tensors": ["flow", "step"]},
                    "shares": {"tensors": ["shares"]},
                },
                "ports": ports,
            },
            "tracker": {
                "tokens": self.tokens(),
                "kept_every": 4,
                "anchored_every": 8,
                "anchor_dice": 0.7,
                "trust": self.trust,
            },
            "confidence": {
                "evidence": EVIDENCE,
                "right": regression(3.0, -8.0),
                "trusted": regression(3.0, -8.0),
                "absent": regression(-4.0, 8.0),
                "flagged_below": 0.5,
                "gate": {"lost_below": 0.6, "found_from": 0.8, "held_frames": 3},
            },
        });
        conventions.to_string()
    }
}
