//! Attention of operator sets 23 and later, as products and a softmax.

use super::fragment::{Fragment, int, signed};
use super::{Outcome, Rewritten, Rule};
use tract_onnx::prelude::Datum;

pub(super) const RULES: &[Rule] = &[Rule::new("Attention", &[KEYS_USED], attention)];

/// Inputs by position.
const MASK: usize = 3;
const PAST_KEY: usize = 4;
const PAST_VALUE: usize = 5;
const KEYS_USED: usize = 6;

/// Lengths of an attention.
struct Sizes {
    batch: usize,
    heads: usize,
    key_heads: usize,
    queries: usize,
    keys: usize,
    past: usize,
}

fn attention(f: &mut Fragment<'_>) -> Rewritten {
    let rank = f.shape(0)?.len();
    let [query, key, value] =
        [heads(f, 0, "q_num_heads")?, heads(f, 1, "kv_num_heads")?, heads(f, 2, "kv_num_heads")?];
    let (mut key_name, mut value_name) = (key.0, value.0);
    let past = if f.has(PAST_KEY) && f.has(PAST_VALUE) {
        for (name, slot) in [(&mut key_name, PAST_KEY), (&mut value_name, PAST_VALUE)] {
            let past = f.input(slot);
            *name = f.op("Concat", &[&past, name], &[int("axis", 2)]);
        }
        f.shape(PAST_KEY)?[2]
    } else {
        0
    };
    let (present_key, present_value) = (key_name.clone(), value_name.clone());
    let [batch, q_heads, queries, depth] = query.1;
    let [_, key_heads, new_keys, _] = key.1;
    let keys = new_keys + past;
    let sizes = Sizes { batch, heads: q_heads, key_heads, queries, keys, past };
    if !q_heads.is_multiple_of(key_heads) {
        return Err(format!("{q_heads} heads of queries for {key_heads} heads of keys"));
    }
    key_name = repeated(f, &key_name, &sizes, key.1[3]);
    value_name = repeated(f, &value_name, &sizes, value.1[3]);

    let scale = f.float("scale", 1.0 / (depth as f32).sqrt());
    let scale = f.number(scale);
    let scaled = f.op("Mul", &[&query.0, &scale], &[]);
    let turned = f.transpose(&key_name, &[0, 1, 3, 2]);
    let products = f.op("MatMul", &[&scaled, &turned], &[]);
    let capped = match f.float("softcap", 0.0) {
        0.0 => products.clone(),
        cap => {
            let cap = f.number(cap);
            let part = f.op("Div", &[&products, &cap], &[]);
            let part = f.op("Tanh", &[&part], &[]);
            f.op("Mul", &[&part, &cap], &[])
        }
    };
    let bias = bias(f, &sizes)?;
    let biased = match &bias {
        Some(bias) => f.op("Add", &[&capped, bias], &[]),
        None => capped.clone(),
    };
    let weights = match &bias {
        Some(bias) => guarded_softmax(f, &biased, bias),
        None => f.op("Softmax", &[&biased], &[int("axis", -1)]),
    };
    let mut output = f.op("MatMul", &[&weights, &value_name], &[]);
    if rank == 3 {
        output = f.transpose(&output, &[0, 2, 1, 3]);
        output = f.reshape(&output, &[batch, queries, q_heads * value.1[3]]);
    }
    let shown = match f.int("qk_matmul_output_mode", 0) {
        0 => products,
        1 => capped,
        2 => biased,
        3 => weights,
        mode => return Err(format!("qk_matmul_output_mode is {mode}, it can be 0 to 3")),
    };
    // Outputs that the node leaves out do not count.
    let all = [output, present_key, present_value, shown];
    let given = f.node.output.iter().zip(all).filter(|(name, _)| !name.is_empty());
    Ok(Outcome::Values(given.map(|(_, value)| value).collect()))
}

/// An input as `[batch, heads, length, depth]`, and its shape.
fn heads(f: &mut Fragment<'_>, slot: usize, attribute: &str) -> Result<(String, [usize; 4]), String> {
    let name = f.input(slot);
    match f.shape(slot)?[..] {
        [batch, heads, length, depth] => Ok((name, [batch, heads, length, depth])),
        [batch, length, hidden] => {
            let heads = usize::try_from(f.int(attribute, 0)).unwrap_or(0);
            if heads == 0 || !hidden.is_multiple_of(heads) {
                return Err(format!("{attribute} is {heads}, it must divide {hidden}"));
            }
            let shape = [batch, length, heads, hidden / heads];
            let split = f.reshape(&name, &shape);
            Ok((f.transpose(&split, &[0, 2, 1, 3]), [batch, heads, length, hidden / heads]))
        }
        ref shape => Err(format!("its input {slot} has shape {shape:?}, expected 3 or 4 axes")),
    }
}

/// Keys or values with each head repeated for the queries' heads.
fn repeated(f: &mut Fragment<'_>, value: &str, sizes: &Sizes, depth: usize) -> String {
    let times = sizes.heads / sizes.key_heads;
    if times == 1 {
        return value.to_owned();
    }
    let apart = f.reshape(value, &[sizes.batch, sizes.key_heads, 1, sizes.keys, depth]);
    let shape = f.list(&signed(&[sizes.batch, sizes.key_heads, times, sizes.keys, depth]));
    let wide = f.op("Expand", &[&apart, &shape], &[]);
    f.reshape(&wide, &[sizes.batch, sizes.heads, sizes.keys, depth])
}

/// What is added to the products: the mask, and minus infinity where causality, the window or the number of used keys
/// exclude a key. None if nothing is added.
fn bias(f: &mut Fragment<'_>, sizes: &Sizes) -> Result<Option<String>, String> {
    let structure = structure(f, sizes)?;
    if !f.has(MASK) {
        return Ok(structure);
    }
    let mut mask = f.input(MASK);
    let mut shape = f.shape(MASK)?;
    let is_bool = f.known(MASK).is_some_and(|known| known.dtype == bool::datum_type());
    if is_bool {
        let (zero, excluded) = (f.number(0.0), f.number(f32::NEG_INFINITY));
        mask = f.op("Where", &[&mask, &zero, &excluded], &[]);
    }
    let last = shape.last_mut().ok_or("its mask has no axes")?;
    if *last != 1 && *last < sizes.keys {
        let missing = sizes.keys - *last;
        *last = missing;
        let border = f.floats(&shape, &vec![f32::NEG_INFINITY; shape.iter().product()]);
        mask = f.op("Concat", &[&mask, &border], &[int("axis", -1)]);
    }
    Ok(Some(match structure {
        Some(structure) => f.op("Add", &[&mask, &structure], &[]),
        None => mask,
    }))
}

/// The part of the bias that is known from attributes and lengths.
fn structure(f: &mut Fragment<'_>, sizes: &Sizes) -> Result<Option<String>, String> {
    let used = f.integers(KEYS_USED)?;
    let is_causal = f.int("is_causal", 0) != 0;
    let (left, right) = (f.int("left_window_size", -1), f.int("right_window_size", -1));
    if used.is_none() && !is_causal && left < 0 && right < 0 {
        return Ok(None);
    }
    // A query's own place among the keys, by batch: after the past, or at the end of the keys in use.
    let batches = used.as_ref().map_or(1, Vec::len);
    let mut values = Vec::with_capacity(batches * sizes.queries * sizes.keys);
    for batch in 0..batches {
        let in_use = used.as_ref().map(|used| used[batch]);
        let first = match in_use {
            Some(in_use) if sizes.past == 0 => in_use - sizes.queries as i64,
            _ => sizes.past as i64,
        };
        for query in 0..sizes.queries as i64 {
            for key in 0..sizes.keys as i64 {
                let ahead = key - (query + first);
                let is_allowed = (!is_causal || ahead <= 0)
                    && (left < 0 || -ahead <= left)
                    && (right < 0 || ahead <= right)
                    && in_use.is_none_or(|in_use| key < in_use);
                values.push(if is_allowed { 0.0 } else { f32::NEG_INFINITY });
            }
        }
    }
    Ok(Some(f.floats(&[batches, 1, sizes.queries, sizes.keys], &values)))
}

/// Softmax whose rows without any allowed key are zero.
fn guarded_softmax(f: &mut Fragment<'_>, logits: &str, bias: &str) -> String {
    let lowest = f.number(f32::MIN);
    let finite = f.op("Max", &[logits, &lowest], &[]);
    let weights = f.op("Softmax", &[&finite], &[int("axis", -1)]);
    let axes = f.list(&[-1]);
    let highest = f.op("ReduceMax", &[bias, &axes], &[int("keepdims", 1)]);
    // tract's maximum of nothing but minus infinity is the smallest number.
    let is_empty = f.op("LessOrEqual", &[&highest, &lowest], &[]);
    let zero = f.number(0.0);
    f.op("Where", &[&is_empty, &zero, &weights], &[])
}
