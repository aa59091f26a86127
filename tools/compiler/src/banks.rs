//! Persistent state: the bank and the slot of each port that is state.
//!
//! The conventions file names the tensors of each bank. A port with a tensor's name is in the slot `frame`; any other
//! port can be bound to a tensor in another slot (`"short_key": "key@previous"`), so that a program can read a bank's
//! copies of two frames. By default, each output of one program that is an input of another, with the same name and
//! shape, is in one bank that has a copy for each kept frame.
//!
//! A bank has one copy for each slot that programs have in it, so that all state that a frame reads stays unchanged
//! while the frame is worked on. In a bank with copies per kept frame, the session counts the copies of the slot
//! `frame`.

use crate::error::CompileError;
use crate::frontend::Graph;
use crate::graph::{Bank, Home, Module};
use crate::view::TensorId;
use sonotrace::format::{BANKS_MAX, SLOTS_MAX, TENSOR_ALIGN};
use std::collections::{BTreeMap, BTreeSet};

/// The slot of the frame that is worked on.
const FRAME: &str = "frame";

/// The section of the conventions file on state.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Banks by name.
    banks: BTreeMap<String, BankTensors>,
    /// Ports with another name than their tensor, or in another slot: `TENSOR@SLOT`.
    #[serde(default)]
    ports: BTreeMap<String, String>,
}

/// A bank's tensors.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct BankTensors {
    /// Names, in their order in a copy.
    tensors: Vec<String>,
    /// Whether there is one more copy for each kept frame.
    #[serde(default)]
    per_kept_frame: bool,
}

/// Tensors of the ports that are state.
#[derive(Debug, Default)]
pub struct StatePorts(BTreeMap<(usize, String), TensorId>);

impl StatePorts {
    /// The tensor of a program's port, if it is state.
    pub fn get(&self, program: usize, port: &str) -> Option<TensorId> {
        self.0.get(&(program, port.to_owned())).copied()
    }
}

/// A tensor of a bank.
#[derive(Debug, Clone)]
struct Placed {
    bank: usize,
    offset: u64,
    shape: Vec<usize>,
}

/// The slots of a program: name and bank of each.
pub type Slots = Vec<(String, usize)>;

/// Lays out the banks, gives each program its slots, and makes a tensor for each port that is state.
///
/// # Errors
/// [`CompileError::Ports`]: names or shapes that do not fit together.
pub fn assign(
    module: &mut Module,
    graphs: &[Graph],
    state: Option<&State>,
) -> Result<(StatePorts, Vec<Slots>), CompileError> {
    let state = state.cloned().unwrap_or_else(|| shared_by_name(graphs));
    let bindings = bindings(&state)?;
    let placed = lay_out(module, graphs, &state, &bindings)?;
    let mut slots: Vec<Slots> = vec![Vec::new(); graphs.len()];
    let mut slots_of_banks: Vec<BTreeSet<String>> = vec![BTreeSet::new(); module.banks.len()];
    let mut tensors = BTreeMap::new();
    let mut ports = StatePorts::default();
    for (program, graph) in graphs.iter().enumerate() {
        for (name, shape) in graph.inputs.iter().chain(&graph.outputs) {
            let Some((tensor, slot)) = bindings.get(name.as_str()) else { continue };
            let Placed { bank, offset, shape: expected } = &placed[*tensor];
            if shape != expected {
                return Err(CompileError::Ports(format!(
                    "state {tensor}: port {name} of {} has shape {shape:?}, another port has {expected:?}",
                    graph.program
                )));
            }
            let own = &mut slots[program];
            let at =
                own.iter().position(|known| known == &((*slot).to_owned(), *bank)).unwrap_or_else(|| {
                    own.push(((*slot).to_owned(), *bank));
                    own.len() - 1
                });
            slots_of_banks[*bank].insert((*slot).to_owned());
            let id = *tensors.entry((program, at, *tensor)).or_insert_with(|| {
                let home = Home::State { program, slot: at, offset: *offset };
                module.tensor(name, shape.iter().product(), home)
            });
            ports.0.insert((program, name.clone()), id);
        }
    }
    for (bank, slots) in module.banks.iter_mut().zip(slots_of_banks) {
        bank.copies = (slots.len() - usize::from(bank.per_kept_frame && slots.contains(FRAME))) as u32;
    }
    if let Some(most) = slots.iter().map(Vec::len).max().filter(|&most| most > SLOTS_MAX) {
        let (what, seen, limit) = ("number of a program's slots", most as u64, SLOTS_MAX as u64);
        return Err(CompileError::Limit { what, seen, limit });
    }
    Ok((ports, slots))
}

/// Tensor and slot of each port that is state, by the port's name.
fn bindings(state: &State) -> Result<BTreeMap<&str, (&str, &str)>, CompileError> {
    let mut bindings = BTreeMap::new();
    for name in state.banks.values().flat_map(|bank| &bank.tensors) {
        if bindings.insert(name.as_str(), (name.as_str(), FRAME)).is_some() {
            return Err(CompileError::Ports(format!("state {name} is listed twice")));
        }
    }
    let tensors: BTreeSet<&str> = bindings.keys().copied().collect();
    for (port, binding) in &state.ports {
        let parts =
            binding.split_once('@').filter(|(tensor, slot)| tensors.contains(tensor) && !slot.is_empty());
        let Some(parts) = parts else {
            let problem =
                format!("state port {port}: {binding:?} is not TENSOR@SLOT with the tensor of a bank");
            return Err(CompileError::Ports(problem));
        };
        bindings.insert(port.as_str(), parts);
    }
    Ok(bindings)
}

/// Places the tensors of each bank one after the other.
fn lay_out<'s>(
    module: &mut Module,
    graphs: &[Graph],
    state: &'s State,
    bindings: &BTreeMap<&str, (&str, &str)>,
) -> Result<BTreeMap<&'s str, Placed>, CompileError> {
    if state.banks.len() > BANKS_MAX {
        let (seen, limit) = (state.banks.len() as u64, BANKS_MAX as u64);
        return Err(CompileError::Limit { what: "number of banks", seen, limit });
    }
    let shape_of = |tensor: &str| {
        let all = graphs.iter().flat_map(|graph| graph.inputs.iter().chain(&graph.outputs));
        all.filter(|(port, _)| bindings.get(port.as_str()).is_some_and(|bound| bound.0 == tensor))
            .map(|(_, shape)| shape)
            .next()
    };
    let mut placed = BTreeMap::new();
    for (bank, (name, tensors)) in state.banks.iter().enumerate() {
        let mut copy_bytes = 0;
        for tensor in &tensors.tensors {
            let Some(shape) = shape_of(tensor) else {
                return Err(CompileError::Ports(format!("state {tensor}: no program has a port for it")));
            };
            let writes = |graph: &&Graph| graph.outputs.iter().any(|(port, _)| port == tensor);
            let writers: Vec<&str> =
                graphs.iter().filter(writes).map(|graph| graph.program.as_str()).collect();
            if let [first, second, ..] = writers[..] {
                return Err(CompileError::Ports(format!(
                    "state {tensor}: both {first} and {second} write it"
                )));
            }
            placed.insert(tensor.as_str(), Placed { bank, offset: copy_bytes, shape: shape.clone() });
            let bytes = shape.iter().product::<usize>() as u64 * size_of::<f32>() as u64;
            copy_bytes = (copy_bytes + bytes).next_multiple_of(TENSOR_ALIGN);
        }
        let per_kept_frame = tensors.per_kept_frame;
        module.banks.push(Bank { name: name.clone(), copy_bytes, copies: 0, per_kept_frame });
    }
    Ok(placed)
}

/// Outputs of one program that are inputs of another, with the same name and shape.
fn shared_by_name(graphs: &[Graph]) -> State {
    let mut tensors: Vec<String> = Vec::new();
    for (at, writer) in graphs.iter().enumerate() {
        for output in &writer.outputs {
            let is_read = graphs
                .iter()
                .enumerate()
                .any(|(other, reader)| other != at && reader.inputs.contains(output));
            if is_read && !tensors.contains(&output.0) {
                tensors.push(output.0.clone());
            }
        }
    }
    if tensors.is_empty() {
        return State::default();
    }
    let bank = BankTensors { tensors, per_kept_frame: true };
    State { banks: BTreeMap::from([(FRAME.to_owned(), bank)]), ports: BTreeMap::new() }
}
