//! Losses with constant labels, as sums with constant weights.

use super::fragment::{Fragment, find, int};
use super::{Outcome, Rewritten, Rule, one};

pub(super) const RULES: &[Rule] = &[
    Rule::new("NegativeLogLikelihoodLoss", &[1, 2], negative_log_likelihood),
    Rule::new("SoftmaxCrossEntropyLoss", &[1, 2], cross_entropy),
];

fn negative_log_likelihood(f: &mut Fragment<'_>) -> Rewritten {
    let x = f.input(0);
    one(loss(f, &x)?)
}

fn cross_entropy(f: &mut Fragment<'_>) -> Rewritten {
    let x = f.input(0);
    let logarithms = f.op("LogSoftmax", &[&x], &[int("axis", 1)]);
    let loss = loss(f, &logarithms)?;
    Ok(Outcome::Values(vec![loss, logarithms]))
}

/// Sum, mean or each of the negative logarithms at the labels.
fn loss(f: &mut Fragment<'_>, logarithms: &str) -> Result<String, String> {
    let shape = f.shape(0)?;
    let classes = *shape.get(1).ok_or("its input has no axis of classes")?;
    let labels = f.integers(1)?.ok_or("its labels are missing")?;
    let weights = f.numbers(2)?.unwrap_or_else(|| vec![1.0; classes]);
    let ignored = find(f.node, "ignore_index").map(|ignored| ignored.i);
    let inner: usize = shape[2..].iter().product();
    if weights.len() != classes || labels.len() != shape[0] * inner {
        return Err(format!("{} labels and {} weights for an input {shape:?}", labels.len(), weights.len()));
    }
    let mut factors = vec![0.0; shape.iter().product()];
    let mut total = 0.0;
    for (at, &label) in labels.iter().enumerate().filter(|(_, label)| Some(**label) != ignored) {
        let class = usize::try_from(label).ok().filter(|&class| class < classes);
        let class = class.ok_or_else(|| format!("label {label} of {classes} classes"))?;
        factors[(at / inner * classes + class) * inner + at % inner] = -weights[class];
        total += weights[class];
    }
    let factors = f.floats(&shape, &factors);
    let each = f.op("Mul", &[logarithms, &factors], &[]);
    match &*f.text("reduction", "mean") {
        "none" => {
            let axes = f.list(&[1]);
            Ok(f.op("ReduceSum", &[&each, &axes], &[int("keepdims", 0)]))
        }
        "sum" => Ok(f.op("ReduceSum", &[&each], &[int("keepdims", 0)])),
        "mean" => {
            let sum = f.op("ReduceSum", &[&each], &[int("keepdims", 0)]);
            let total = f.number(total);
            Ok(f.op("Div", &[&sum, &total], &[]))
        }
        reduction => Err(format!("reduction is {reduction}, only none, sum and mean are supported")),
    }
}
