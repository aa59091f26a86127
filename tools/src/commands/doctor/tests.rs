//! Boards as folders: what the checks say of each.

use super::check::{Check, Verdict};
use super::{Needs, checks};
use crate::commands::board::Board;
use sonotrace::kernels::arch::Instructions;
use sonotrace::realtime::Priority;
use std::path::{Path, PathBuf};

/// A folder with `proc` and `sys`, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("sonotrace-doctor-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let tree = Self(folder);
        files.iter().for_each(|(path, text)| tree.write(path, text.as_bytes()));
        tree
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn checks(&self) -> Vec<Check> {
        checks(&Board::at(&self.0), &needs())
    }

    fn check(&self, name: &str) -> Check {
        named(&self.checks(), name)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn named(checks: &[Check], name: &str) -> Check {
    checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no check {name}")).clone()
}

/// A session of four threads that locks 50 MB.
fn needs() -> Needs {
    let instructions = Instructions::portable();
    Needs { instructions, threads: 4, priority: Priority::DEFAULT, locked_bytes: 50_000_000 }
}

const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max locked memory         8388608              8388608              bytes     
Max nice priority         0                    0                    
Max realtime priority     0                    0                    
";

/// A Raspberry Pi 5 as it comes.
const PI: [(&str, &str); 22] = [
    (
        "proc/version",
        "Linux version 6.6.51+rpt-rpi-2712 (serge@raspberrypi.com) (gcc 12.2.0) #1 SMP PREEMPT Debian 1:6.6.51-1+rpt3\n",
    ),
    ("proc/cmdline", "coherent_pool=1M 8250.nr_uarts=1 console=tty1 root=PARTUUID=1-02 rootwait\n"),
    ("proc/self/limits", LIMITS),
    ("proc/self/status", "Name:\tsonotrace\nCapEff:\t0000000000000000\nCpus_allowed_list:\t0-3\n"),
    ("proc/self/uid_map", "         0          0 4294967295\n"),
    ("proc/self/cgroup", "0::/user.slice/user-1000.slice\n"),
    ("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"),
    ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/var/swap  file  524272  0  -2\n"),
    ("proc/sys/vm/swappiness", "60\n"),
    ("proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
    ("proc/sys/kernel/sched_rt_period_us", "1000000\n"),
    ("sys/devices/system/cpu/online", "0-3\n"),
    ("sys/devices/system/cpu/isolated", "\n"),
    ("sys/devices/system/cpu/nohz_full", "(null)\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "2400000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "2400000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000\n"),
    ("sys/class/thermal/thermal_zone0/temp", "55300\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "arch_sys_counter\n"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state0/latency", "1\n"),
];

/// An Orin Nano with PREEMPT_RT that was set up.
const ORIN: [(&str, &str); 22] = [
    (
        "proc/version",
        "Linux version 5.15.148-rt-tegra (buildbrain@mobile) #1 SMP PREEMPT_RT Tue Jan 7 UTC 2025\n",
    ),
    ("sys/kernel/realtime", "1\n"),
    ("proc/self/limits", "Max locked memory  unlimited unlimited bytes\nMax realtime priority     99   99\n"),
    ("proc/self/status", "CapEff:\t0000000000000000\nCpus_allowed_list:\t0-1\n"),
    ("proc/self/uid_map", "0 0 4294967295\n"),
    ("proc/self/cgroup", "4:cpu,cpuacct:/scan\n0::/\n"),
    ("sys/fs/cgroup/cpu/scan/cpu.cfs_quota_us", "-1\n"),
    ("sys/fs/cgroup/cpu/scan/cpu.cfs_period_us", "100000\n"),
    ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n"),
    ("proc/sys/kernel/sched_rt_runtime_us", "-1\n"),
    ("proc/sys/kernel/sched_rt_period_us", "1000000\n"),
    ("sys/devices/system/cpu/online", "0-5\n"),
    ("sys/devices/system/cpu/isolated", "2-5\n"),
    ("sys/devices/system/cpu/nohz_full", "2-5\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1728000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "1728000\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1728000\n"),
    ("sys/class/thermal/thermal_zone0/temp", "48250\n"),
    ("sys/class/thermal/thermal_zone1/temp", "-256000\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "arch_sys_counter\n"),
];

#[test]
fn a_raspberry_pi_as_it_comes() {
    use Verdict::{Fail, Ok, Warn};
    let tree = Tree::new("pi", &PI);
    for (name, verdict, found, fix) in [
        ("governor", Warn, "ondemand (cpu0)", "echo performance"),
        ("frequency", Ok, "1500 MHz", ""),
        ("temperature", Ok, "55 degrees C", ""),
        ("idle states", Ok, "state0 takes 1 us", ""),
        ("cores", Ok, "4 usable (0-3), 4 threads", ""),
        (
            "isolated cores",
            Warn,
            "none",
            "isolcpus=1-3 nohz_full=1-3 rcu_nocbs=1-3, and compute with --pin=1-3",
        ),
        ("time quota", Ok, "none", ""),
        ("preemption", Warn, "full", "PREEMPT_RT"),
        ("RT throttling", Warn, "950000 of 1000000", "sched_rt_runtime_us=-1"),
        ("clock source", Ok, "arch_sys_counter", ""),
        ("RT priority limit", Fail, "0, a scan asks for 40", "RLIMIT_RTPRIO"),
        ("locked memory", Fail, "8.4 MB, a session needs 50.0 MB", "RLIMIT_MEMLOCK"),
        ("huge pages", Ok, "madvise", ""),
        ("swap", Warn, "areas: 1, swappiness 60", "swapoff"),
    ] {
        let check = tree.check(name);
        assert_eq!(check.verdict, verdict, "{check}");
        assert!(check.found.contains(found), "{check}");
        assert!(check.fix.as_deref().unwrap_or_default().contains(fix), "{check}");
        assert_eq!(check.fix.is_none(), verdict == Ok, "{check}");
    }
}

#[test]
fn an_orin_nano_that_is_set_up_has_nothing_to_fix() {
    let tree = Tree::new("orin", &ORIN);
    for check in tree.checks() {
        // The kernels are those of the machine of the tests.
        assert!(check.verdict == Verdict::Ok || check.name == "instruction set", "{check}");
    }
    assert_eq!(tree.check("preemption").found, "PREEMPT_RT");
    assert_eq!(tree.check("isolated cores").found, "2-5, without timer ticks: compute with --pin=2-5");
    assert_eq!(tree.check("temperature").found, "48 degrees C");

    // And if one thing is missing.
    for (path, text, name, fix) in [
        ("sys/devices/system/cpu/nohz_full", "2-3", "isolated cores", "nohz_full=2-5"),
        ("sys/devices/system/cpu/isolated", "4-5", "isolated cores", "--threads 2 --pin=4-5"),
        ("sys/devices/system/cpu/cpu7/cpufreq/scaling_governor", "schedutil", "governor", "performance"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "1100000", "frequency", "nvpmodel"),
        ("sys/class/thermal/thermal_zone12/temp", "91000", "temperature", "cool"),
        ("sys/fs/cgroup/cpu/scan/cpu.cfs_quota_us", "150000", "time quota", "CPUQuota"),
        ("proc/self/status", "Cpus_allowed_list:\t3\n", "cores", "more"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never", "huge pages", "madvise"),
    ] {
        let tree = Tree::new("orin-less", &ORIN);
        tree.write(path, text.as_bytes());
        let check = tree.check(name);
        assert_eq!(check.verdict, Verdict::Warn, "{check}");
        assert!(check.fix.as_deref().is_some_and(|found| found.contains(fix)), "{check}");
    }
    for (path, text, name) in [
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet", "clock source"),
        ("proc/sys/kernel/sched_rt_runtime_us", "0", "RT throttling"),
        ("sys/fs/cgroup/cpu/scan/cpu.rt_runtime_us", "0", "RT priority limit"),
        ("proc/self/limits", "Max realtime priority 39 99", "RT priority limit"),
        ("proc/self/limits", "Max locked memory 49999999 unlimited bytes", "locked memory"),
    ] {
        let tree = Tree::new("orin-fail", &ORIN);
        tree.write(path, text.as_bytes());
        assert_eq!(tree.check(name).verdict, Verdict::Fail, "{}", tree.check(name));
    }
}

#[test]
fn a_plain_laptop() {
    let tree = Tree::new(
        "laptop",
        &[
            (
                "proc/version",
                "Linux version 6.8.0-45-generic (buildd@lcy02) #45-Ubuntu SMP PREEMPT_DYNAMIC Fri Aug 30\n",
            ),
            ("proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/nvme0n1p2 ro quiet splash preempt=voluntary\n"),
            ("proc/self/limits", LIMITS),
            ("proc/self/status", "CapEff:\t0000000000000000\nCpus_allowed_list:\t0-7\n"),
            ("sys/devices/system/cpu/online", "0-7\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state1/name", "C1\n"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "2\n"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state9/name", "C10\n"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state9/latency", "890\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ],
    );
    let preemption = tree.check("preemption");
    assert_eq!((preemption.verdict, preemption.found.as_str()), (Verdict::Fail, "voluntary"));
    assert!(preemption.fix.is_some_and(|fix| fix.contains("preempt=full")));
    assert!(tree.check("idle states").found.contains("C10 takes 890 us"));
    assert_eq!(tree.check("idle states").verdict, Verdict::Warn);
    assert!(tree.check("isolated cores").fix.is_some_and(|fix| fix.contains("isolcpus=4-7")));
    assert_eq!(tree.check("huge pages").verdict, Verdict::Warn);
    assert_eq!(tree.check("clock source").verdict, Verdict::Ok);
    // Switched off, the deep state is no problem; the running kernel's mode goes before its command line.
    tree.write("sys/devices/system/cpu/cpu0/cpuidle/state9/disable", b"1\n");
    assert!(tree.check("idle states").found.contains("C1 takes 2 us"));
    tree.write("sys/kernel/debug/sched/preempt", b"none voluntary (full) lazy\n");
    tree.write("proc/cmdline", b"preempt=full");
    assert_eq!(tree.check("preemption").verdict, Verdict::Warn);
    tree.write("proc/cmdline", b"");
    tree.write("sys/kernel/debug/sched/preempt", b"none voluntary full (lazy)\n");
    assert_eq!(tree.check("preemption").found, "lazy");
}

#[test]
fn a_container_that_tells_nothing_fails_nothing() {
    let tree = Tree::new("container", &[]);
    let checks = tree.checks();
    assert!(checks.iter().all(|check| check.verdict != Verdict::Fail), "{checks:?}");
    for name in
        ["governor", "frequency", "cores", "preemption", "clock source", "RT priority limit", "locked memory"]
    {
        assert_eq!(named(&checks, name).found, "not told");
    }
}

#[test]
fn rights_count_only_if_they_are_the_systems() {
    let limits = ("proc/self/limits", LIMITS);
    let status = ("proc/self/status", "CapEff:\t000001ffffffffff\nCpus_allowed_list:\t0-1\n");
    let verdicts = |uid_map: &'static str| {
        let tree = Tree::new("rights", &[limits, status, ("proc/self/uid_map", uid_map)]);
        [tree.check("RT priority limit").verdict, tree.check("locked memory").verdict]
    };
    assert_eq!(verdicts("         0          0 4294967295\n"), [Verdict::Ok; 2]);
    assert_eq!(verdicts("         0       1000          1\n"), [Verdict::Fail; 2]);
    // A control group of version 2, and one around it with less.
    let tree = Tree::new(
        "quota",
        &[
            ("proc/self/cgroup", "0::/machine/scan/../scan\n"),
            ("sys/fs/cgroup/machine/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/machine/scan/cpu.max", "400000 100000\n"),
        ],
    );
    assert!(tree.check("time quota").found.starts_with("1.50 cores"), "{}", tree.check("time quota"));
}

/// Whatever is in the files, every check says something, in one line without control characters.
#[test]
fn malformed_contents_are_no_reason_to_panic() {
    let long = vec![b'7'; 1 << 20];
    let contents: [&[u8]; 12] = [
        b"",
        b"\n\n",
        b"\xff\xfe\0\x01\x1b[2J",
        b"-1",
        b"99999999999999999999999",
        b"NaN",
        b"inf inf",
        b"][",
        b"(:[]):)",
        b"0-18446744073709551615",
        b"1:cpu:/../../../../etc\n0::..\n",
        &long,
    ];
    let check_all = |tree: &Tree, what: &dyn std::fmt::Debug| {
        for check in tree.checks() {
            let text = check.to_string();
            assert!(text.lines().count() <= 2 && text.len() < 700, "{what:?}: {text}");
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{what:?}: {text}");
        }
    };
    let all = Tree::new("malformed", &PI);
    for (at, content) in contents.iter().enumerate() {
        PI.iter().chain(&ORIN).for_each(|(path, _)| all.write(path, content));
        check_all(&all, &at);
        let one = Tree::new("malformed-one", &PI);
        for (path, text) in PI {
            one.write(path, content);
            check_all(&one, &(path, at));
            one.write(path, text.as_bytes());
        }
    }
    // Folders in the place of files, and no folder at all.
    let folders = Tree::new("folders", &[]);
    PI.iter().for_each(|(path, _)| std::fs::create_dir_all(folders.0.join(path)).unwrap());
    check_all(&folders, &"folders");
    assert!(!checks(&Board::at(Path::new("/nowhere/at/all")), &needs()).is_empty());
}
