//! A number that is NaN among the inputs of an operation is NaN in the results that depend on it, on every instruction set:
//! whoever looks at the results sees that something is wrong.
#![allow(clippy::unwrap_used)]

mod common;
use common::Case;
use sonotrace_format::function::{BinaryFunction, Function, Unary, UnaryFunction};
use sonotrace_format::op::{
    Elementwise, Normalize, Pool, PoolFunction, Reduce, Reduction, Softmax, Statistics, Window,
};
use sonotrace_format::single::{Constant, Output};
use sonotrace_format::{DIMS, Operation};
use sonotrace_kernels::BindOptions;
use sonotrace_kernels::arch::Instructions;

/// Elements of a row: whole vectors and a rest.
const COLUMNS: u32 = 37;
const ROWS: u32 = 3;
const ELEMENTS: usize = (COLUMNS * ROWS) as usize;

/// Strides of rows of adjacent elements.
const BY_ROW: [u32; DIMS] = [0, 0, 0, 0, 0, 0, COLUMNS, 1];

/// Values from 0.1 to 0.9, NaN at one place.
fn with_nan(at: usize) -> Vec<f32> {
    let value = |index: usize| if index == at { f32::NAN } else { 0.1 + 0.8 * (index % 7) as f32 / 7.0 };
    (0..ELEMENTS).map(value).collect()
}

/// Runs an operation over rows, of which the first element, one in a vector and the last of the middle row are NaN in turn, in each
/// input; checks which results are NaN.
fn check(
    operation: impl Into<Operation>,
    dims: [u32; DIMS],
    output: Output,
    inputs: usize,
    is_hit: impl Fn(usize, usize) -> bool,
) {
    let operation = operation.into();
    for at in [COLUMNS, COLUMNS + 19, 2 * COLUMNS - 1].map(|at| at as usize) {
        for input in 0..inputs {
            let constant = |of: usize| {
                let values = with_nan(if of == input { at } else { usize::MAX });
                (of < inputs).then(|| Constant::f32(&values, BY_ROW))
            };
            let case = Case::new("nan", operation, dims, output, (0..3).map(constant).collect::<Vec<_>>());
            for instructions in Instructions::available() {
                let seen = case.run(&BindOptions::of(instructions));
                for (index, seen) in seen.iter().enumerate() {
                    let (name, what) = (operation.kind().name(), operation.function_name());
                    assert_eq!(
                        seen.is_nan(),
                        is_hit(index, at),
                        "{name} {what}, input {input}, {at} -> {index} ({instructions:?})"
                    );
                }
            }
        }
    }
}

fn by_row() -> Output {
    Output::f32(ELEMENTS as u64, BY_ROW)
}

const DIMS_OF_ROWS: [u32; DIMS] = [1, 1, 1, 1, 1, 1, ROWS, COLUMNS];

#[test]
fn of_elements() {
    let unary = UnaryFunction::ALL.iter().filter(|function| **function != UnaryFunction::Not);
    for function in unary {
        let unary = Unary { function: *function, p: 0.2, q: 0.7 };
        check(Elementwise { function: Function::Unary(unary) }, DIMS_OF_ROWS, by_row(), 1, |index, at| {
            index == at
        });
    }
    // The others are truths.
    use BinaryFunction as F;
    for function in [F::Add, F::Sub, F::Mul, F::Div, F::Max, F::Min, F::Pow] {
        check(
            Elementwise { function: Function::Binary(function) },
            DIMS_OF_ROWS,
            by_row(),
            2,
            |index, at| index == at,
        );
    }
}

#[test]
fn of_rows() {
    let is_same_row = |index: usize, at: usize| index / COLUMNS as usize == at / COLUMNS as usize;
    check(Softmax { kept_dims: 7 }, DIMS_OF_ROWS, by_row(), 1, is_same_row);
    for &statistics in Statistics::ALL {
        let normalize = Normalize { statistics, kept_dims: 7, epsilon: 1e-5, activation: Unary::COPY };
        check(normalize, DIMS_OF_ROWS, by_row(), 1, is_same_row);
    }
    // The index of the largest element is a number.
    for &reduction in Reduction::ALL.iter().filter(|reduction| **reduction != Reduction::ArgMax) {
        let output = Output::f32(ROWS.into(), [0, 0, 0, 0, 0, 0, 1, 0]);
        let inputs = if reduction.is_of_products() { 2 } else { 1 };
        let is_of_row = |index: usize, at: usize| index == at / COLUMNS as usize;
        check(Reduce { reduction, kept_dims: 7 }, DIMS_OF_ROWS, output, inputs, is_of_row);
    }
}

#[test]
fn of_windows() {
    let window =
        Window { kernel: [1, 3], stride: [1, 1], dilation: [1, 1], pad: [0, 1], input: [ROWS, COLUMNS] };
    let strides = [0, 0, 0, 0, COLUMNS, 1, 0, 0];
    for &function in PoolFunction::ALL {
        let is_near = |index: usize, at: usize| {
            index / COLUMNS as usize == at / COLUMNS as usize && index.abs_diff(at) <= 1
        };
        let dims = [1, 1, 1, 1, ROWS, COLUMNS, 1, 1];
        let operation: Operation = Pool { function, window }.into();
        for at in [COLUMNS, COLUMNS + 19, 2 * COLUMNS - 1].map(|at| at as usize) {
            let image = Constant::f32(&with_nan(at), strides);
            let case = Case::new(
                "pool",
                operation,
                dims,
                Output::f32(ELEMENTS as u64, strides),
                [Some(image), None, None],
            );
            for instructions in Instructions::available() {
                let seen = case.run(&BindOptions::of(instructions));
                for (index, seen) in seen.iter().enumerate() {
                    assert_eq!(seen.is_nan(), is_near(index, at), "{}, {at} -> {index}", function.name());
                }
            }
        }
    }
}
