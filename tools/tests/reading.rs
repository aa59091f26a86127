//! `sonotrace eval` reads the data folders that training reads, and refuses those that it refuses: the cases of
//! `models/tests/reading_cases.json`, which Python tests too.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `eval` with these words, the folder and the further arguments.
fn eval(words: &[&str], folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sonotrace"));
    command.arg("eval").args(words).arg(folder).args(arguments).output().expect("the command starts")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("the file is there")).expect("the file is JSON")
}

fn cases() -> Value {
    json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/reading_cases.json"))
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("hex"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
}

/// Writes the folder of a case.
fn written(cases: &Value, case: &Value, at: usize) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reading-{at}"));
    let _ = std::fs::remove_dir_all(&folder);
    let changed = case["files"].as_object().expect("files");
    let kept = cases["base"].as_object().expect("files");
    for (path, content) in kept.iter().filter(|(path, _)| !changed.contains_key(*path)).chain(changed) {
        let Some(content) = content.as_str() else { continue };
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(path, bytes(content)).expect("the file is written");
    }
    folder
}

fn verdict(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn eval_refuses_what_training_refuses_and_reads_what_it_reads() {
    let cases = cases();
    for (at, case) in cases["cases"].as_array().expect("a list").iter().enumerate() {
        let (name, folder) = (&case["name"], written(&cases, case, at));
        let counts = folder.with_extension("json");
        let (code, message) =
            verdict(&eval(&["check"], &folder, &["--json", counts.to_str().expect("text")]));
        let Some(words) = case["refused"].as_array() else {
            assert_eq!(code, Some(0), "{name}: {message}");
            let counts = json(&counts);
            assert_eq!(counts["objects"]["DISCS"], case["objects"], "{name}");
            let without_mask = counts["without_mask"].as_object().expect("counts").values();
            let without_mask: u64 = without_mask.filter_map(Value::as_u64).sum();
            assert_eq!(case["without_mask"], without_mask, "{name}");
            continue;
        };
        assert_eq!(code, Some(1), "{name}: {message}");
        for word in words.iter().filter_map(Value::as_str) {
            assert!(message.contains(word), "{name}: {word:?} is not in: {message}");
        }
    }
}

/// A fault in another split is one, too: what is wrong there can make the figures of this one wrong.
#[test]
fn clicks_checks_the_whole_folder_first() {
    let cases = cases();
    let list = cases["cases"].as_array().expect("a list");
    let (at, case) = list
        .iter()
        .enumerate()
        .find(|(_, case)| case["name"] == "a picture in two splits")
        .expect("there is such a case");
    let folder = written(&cases, case, list.len() + at);
    let (code, message) = verdict(&eval(&["clicks"], &folder, &["--split", "val"]));
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("are the same picture"), "{message}");
}
