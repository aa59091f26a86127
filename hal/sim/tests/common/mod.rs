//! A body for tests.

use sonotrace_hal::geometry::Point;
use sonotrace_sim::motion::Displacement;
use sonotrace_sim::phantom::{Material, Phantom, ReferenceObject, Strand};

/// Plain muscle everywhere, at rest.
pub struct Uniform;

impl Phantom for Uniform {
    fn material(&self, _: Point) -> Material {
        Material { echo_db: 0.0, flows: false }
    }

    fn displacement(&self, _: Point) -> Displacement {
        Displacement::default()
    }

    fn strands(&self) -> Vec<Strand> {
        Vec::new()
    }

    fn objects(&self) -> Vec<ReferenceObject> {
        Vec::new()
    }
}
