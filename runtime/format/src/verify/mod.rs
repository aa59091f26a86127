//! Verifies that a model can be run: every record's fields, every element that an operation can access, and the memory
//! plan.
//!
//! It is independent of the planner that placed the tensors: it reads the finished file and trusts none of it. Without
//! an allocator it cannot build tables, so the file states over which operations each tensor is live. Every access is
//! checked against that statement; then lifetimes and positions are compared pair by pair.

mod operation;
mod plan;
mod tables;
mod tracking;

use crate::{
    GOLDEN_MAX, Model, ModelError, OPS_MAX, PORTS_MAX, PROGRAMS_MAX, PROVENANCE_BYTES_MAX, TENSORS_MAX,
};

pub(crate) fn verify(model: &Model<'_>) -> Result<(), ModelError> {
    limit("number of programs", model.programs.len(), PROGRAMS_MAX)?;
    limit("number of ports", model.ports.len(), PORTS_MAX * PROGRAMS_MAX)?;
    limit("number of operations", model.ops.len(), OPS_MAX)?;
    limit("number of tensors", model.tensors.len(), TENSORS_MAX)?;
    limit("number of golden tensors", model.golden.len(), GOLDEN_MAX)?;
    limit("provenance in bytes", model.provenance.len(), PROVENANCE_BYTES_MAX)?;
    tables::names(model)?;
    tables::tensors(model)?;
    tables::programs(model)?;
    plan::tensors_apart(model)?;
    plan::memory(model)?;
    plan::index_tables(model)?;
    tables::golden(model)?;
    tables::conventions(model)?;
    tracking::check(model)
}

fn limit(what: &'static str, seen: usize, limit: u32) -> Result<(), ModelError> {
    if seen > limit as usize {
        return Err(ModelError::Limit { what, seen: seen as u64, limit: limit.into() });
    }
    Ok(())
}
