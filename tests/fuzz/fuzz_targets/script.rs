//! Scripts of any text: refused with the line, or written back as the same script.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace_hal::sim::script::Script;

fuzz_target!(|text: &str| {
    if let Ok(script) = Script::parse(text) {
        let written = script.to_string();
        assert_eq!(Script::parse(&written).expect("what was written is a script"), script);
    }
});
