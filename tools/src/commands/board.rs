//! What the system tells of itself, in files of `/proc` and `/sys`. Their contents are outside input: a file that is missing, too
//! long or malformed tells nothing.

use sonotrace::realtime::CoreSet;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// Longest file that is read.
const BYTES_MAX: u64 = 1 << 16;
/// Most cores, zones or idle states that are looked at.
const ENTRIES_MAX: usize = 1024;

/// `CAP_IPC_LOCK`, a bit of a process's capabilities.
pub const CAP_IPC_LOCK: u32 = 14;
/// `CAP_SYS_NICE`.
pub const CAP_SYS_NICE: u32 = 23;

/// A limit of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// As many as this.
    Of(u64),
    /// Any number.
    Unlimited,
}

/// The files below a root folder: `/`, or a copy of another board's.
#[derive(Debug, Clone)]
pub struct Board {
    root: PathBuf,
}

impl Board {
    /// The board whose `proc` and `sys` are in this folder.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Text of a file, by its path without the leading slash.
    pub fn text(&self, path: &str) -> Option<String> {
        let path = self.root.join(path);
        // A pipe in a copy would block.
        if !path.metadata().ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// First line of a file, unless it is empty.
    pub fn line(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        let line = text.lines().next()?.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!line.is_empty()).then(|| line.to_owned())
    }

    /// A file's value.
    pub fn value<T: FromStr>(&self, path: &str) -> Option<T> {
        self.line(path)?.parse().ok()
    }

    /// A set of cores in a file.
    pub fn cores(&self, path: &str) -> Option<CoreSet> {
        self.value(path)
    }

    /// What follows a name and a colon in a file of such lines.
    pub fn field(&self, path: &str, name: &str) -> Option<String> {
        let text = self.text(path)?;
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.trim() == name).map(|(_, value)| value.trim().to_owned())
    }

    /// The marked option of a file such as `always [madvise] never` or `none voluntary (full)`.
    pub fn chosen(&self, path: &str) -> Option<String> {
        let line = self.line(path)?;
        let (_, from) = line.split_once(['[', '('])?;
        from.split_once([']', ')']).map(|(chosen, _)| chosen.to_owned())
    }

    /// Names in a folder that are a prefix and a number, in the order of the numbers.
    pub fn numbered(&self, folder: &str, prefix: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number: u32 = name.strip_prefix(prefix)?.parse().ok()?;
            Some((number, name))
        });
        let mut numbers: Vec<(u32, String)> = numbers.take(ENTRIES_MAX).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|(_, name)| name).collect()
    }

    /// Warmest zone, degrees Celsius.
    pub fn temperature_c(&self) -> Option<f64> {
        let zones = self.numbered("sys/class/thermal", "thermal_zone").into_iter();
        let degrees = zones.filter_map(|zone| {
            let value = self.value::<f64>(&format!("sys/class/thermal/{zone}/temp"))? / 1000.0;
            // Zones that are switched off have impossible values.
            (-100.0..200.0).contains(&value).then_some(value)
        });
        degrees.reduce(f64::max)
    }

    /// The cores that this process may use.
    pub fn usable_cores(&self) -> Option<CoreSet> {
        self.field("proc/self/status", "Cpus_allowed_list")?.parse().ok()
    }

    /// The soft limit of a resource, by its name in `/proc/self/limits`.
    pub fn limit(&self, name: &str) -> Option<Limit> {
        let text = self.text("proc/self/limits")?;
        let values = text.lines().find_map(|line| line.strip_prefix(name))?;
        match values.split_whitespace().next()? {
            "unlimited" => Some(Limit::Unlimited),
            number => number.parse().ok().map(Limit::Of),
        }
    }

    /// Whether the process has a capability. Those of a container with a user namespace of its own do not count: they are for what
    /// belongs to that namespace, not for priorities and locked memory.
    pub fn is_capable(&self, capability: u32) -> bool {
        let set = self.field("proc/self/status", "CapEff").and_then(|set| u64::from_str_radix(&set, 16).ok());
        let is_own = self.line("proc/self/uid_map").is_some_and(|line| {
            let numbers: Vec<&str> = line.split_whitespace().collect();
            numbers != ["0", "0", "4294967295"]
        });
        !is_own && set.is_some_and(|set| set >> capability & 1 == 1)
    }

    /// Folders of the process's control group and of those around it, below `controller` (empty for version 2).
    pub fn control_groups(&self, controller: &str) -> Vec<String> {
        let text = self.text("proc/self/cgroup").unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':')
        });
        let is_of = |names: &str| names.split(',').any(|name| name == controller);
        let Some((_, path)) = lines.find(|(names, _)| is_of(names)) else { return Vec::new() };
        let names = Path::new(path).components().filter_map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
        let mut folder = "sys/fs/cgroup".to_owned();
        if !controller.is_empty() {
            folder = format!("{folder}/{controller}");
        }
        let mut folders = vec![folder.clone()];
        for name in names.take(ENTRIES_MAX) {
            folder = format!("{folder}/{name}");
            folders.push(folder.clone());
        }
        folders
    }
}
