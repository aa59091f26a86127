//! The passes over a program's operations, and the errors for those that panic.

use crate::error::CompileError;
use crate::graph::{Module, Program};
use crate::panics::{Panic, caught_at};
use crate::{fold, fuse, join, layout};

/// A pass: the module, the program's index and the program.
type Pass = fn(&mut Module, usize, &mut Program);

/// Fusing is repeated after each pass that makes new chances for it.
const PASSES: [(&str, Pass); 6] = [
    ("fuse", |module, _, program| fuse::fuse(module, program)),
    ("fold", fold::fold),
    ("fuse", |module, _, program| fuse::fuse(module, program)),
    ("join", |_, _, program| join::join(program)),
    ("layout", layout::arrange),
    ("fuse", |module, _, program| fuse::fuse(module, program)),
];

/// Runs all passes over the program with this index.
///
/// # Errors
/// [`CompileError::Panic`] with the operation that a pass worked on.
pub fn run(module: &mut Module, index: usize, program: &mut Program) -> Result<(), CompileError> {
    for (name, pass) in PASSES {
        caught_at(|| pass(module, index, program)).map_err(|panic| {
            let op = panic.place.and_then(|place| program.ops.get(place));
            let op = op.map(|op| (op.name.as_str(), op.operation.kind().name()));
            error(&program.name, op, name, panic)
        })?;
    }
    Ok(())
}

/// Runs a pass over the constants of all programs, whose places are tensors, or over whole programs, which has no place.
///
/// # Errors
/// Those of the pass, or [`CompileError::Panic`] with the constant's program and node.
pub fn over_module<T>(
    name: &'static str,
    module: &mut Module,
    run: impl FnOnce(&mut Module) -> Result<T, CompileError>,
) -> Result<T, CompileError> {
    caught_at(|| run(module)).unwrap_or_else(|panic| {
        let tensor = panic.place.and_then(|place| module.tensors.get(place));
        let (index, node) =
            tensor.map_or((0, None), |tensor| (tensor.owner.0, Some(tensor.owner.1.as_str())));
        let program = module.programs.get(index).map_or("", |program| program.name.as_str());
        Err(error(program, node.map(|node| (node, "constant")), name, panic))
    })
}

/// Runs a whole compilation: what is no pass may panic, too.
///
/// # Errors
/// Those of the compilation, or [`CompileError::Panic`] with the names of all programs.
pub fn all<T>(programs: &[&str], run: impl FnOnce() -> Result<T, CompileError>) -> Result<T, CompileError> {
    caught_at(run).unwrap_or_else(|panic| Err(error(&programs.join(", "), None, "compile", panic)))
}

fn error(program: &str, place: Option<(&str, &str)>, pass: &'static str, panic: Panic) -> CompileError {
    let (node, op) = place.unwrap_or(("unknown", "unknown"));
    CompileError::Panic {
        program: program.to_owned(),
        node: node.to_owned(),
        op: op.to_owned(),
        pass,
        problem: panic.text,
    }
}

#[cfg(test)]
mod tests {
    use super::{over_module, run};
    use crate::graph::{Home, Module, Op, Operand, Program};
    use crate::panics;
    use sonotrace::format::DIMS;
    use sonotrace::format::function::{Function, Unary, UnaryFunction};
    use sonotrace::format::op::Elementwise;

    /// An operation of a function of one input.
    fn op(name: &str, from: usize, to: usize) -> Op {
        let function = Function::Unary(Unary::plain(UnaryFunction::Sin));
        let mut op = Op::new(Elementwise { function }, name);
        op.dims[DIMS - 1] = 4;
        let mut strides = [0; DIMS];
        strides[DIMS - 1] = 1;
        op.operands[0] = Some(Operand { tensor: to, offset: 0, strides });
        op.operands[1] = Some(Operand { tensor: from, offset: 0, strides });
        op
    }

    #[test]
    fn a_panic_of_a_pass_names_the_operation() {
        let mut module = Module::default();
        let home = |input| Home::Scratch { program: 0, input };
        let x = module.tensor("x", 4, home(true));
        let state = Home::State { program: 0, slot: 0, offset: 0 };
        let [a, b] = ["a", "b"].map(|name| module.tensor(name, 4, state));
        // The second operation reads a tensor that does not exist.
        let mut program = Program {
            name: "main".into(),
            ops: vec![op("good", x, a), op("bad", 99, b)],
            ..Program::default()
        };
        let error = run(&mut module, 0, &mut program).map_err(|error| error.to_string());
        let text = error.err().unwrap_or_default();
        for part in ["program main: node bad: operation elementwise", "pass fuse panicked", "len is 3"] {
            assert!(text.contains(part), "{text:?} does not name {part:?}");
        }
    }

    #[test]
    fn a_panic_over_constants_names_the_node() {
        let mut module = Module::default();
        module.programs.push(Program { name: "main".into(), ..Program::default() });
        module.constant(0, "Conv_3", crate::graph::Constant::Floats(vec![1.0]));
        let error = over_module("store", &mut module, |_| -> Result<(), _> {
            panics::at(0);
            panic!("too many columns");
        });
        let text = error.map_err(|error| error.to_string()).err().unwrap_or_default();
        assert!(text.starts_with("program main: node Conv_3: operation constant: "), "{text}");
        assert!(text.contains("pass store panicked: too many columns"), "{text}");
    }
}
