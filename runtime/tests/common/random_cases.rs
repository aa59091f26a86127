//! Number of random cases, for tests of several crates.

use proptest::prelude::ProptestConfig;

/// Configures `count` random cases, or `PROPTEST_CASES` if it is set: fewer under emulation, many more to find rare
/// failures.
pub fn random_cases(count: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if is_set { config.cases } else { count }, ..config }
}
