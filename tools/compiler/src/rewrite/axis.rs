//! Operations of which tract does not check the axis: with one that the input does not have, the result would be something else, or
//! the front end would never end.

use super::fragment::{Fragment, find};
use super::{Outcome, Rewritten, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule::new("LayerNormalization", &[], checked),
    Rule::new("LogSoftmax", &[], checked).only_if(|node, _| find(node, "axis").is_some()),
    Rule::new("ScatterElements", &[], checked).only_if(|node, _| find(node, "axis").is_some()),
    Rule::new("Softmax", &[], checked).only_if(|node, _| find(node, "axis").is_some()),
];

fn checked(f: &mut Fragment<'_>) -> Rewritten {
    let rank = f.shape(0)?.len();
    f.axis("axis", -1, rank)?;
    Ok(Outcome::AsIs)
}
