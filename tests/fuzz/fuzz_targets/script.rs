//! Arbitrary text as a script gives an error that names the line, or a script that is the same after writing and parsing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace_sim::script::Script;

fuzz_target!(|text: &str| {
    match Script::parse(text) {
        Ok(script) => {
            let written = script.to_string();
            assert_eq!(Script::parse(&written).expect("a written script is valid"), script);
        }
        Err(error) => assert!(error.to_string().contains("line"), "does not name the line: {error}"),
    }
});
