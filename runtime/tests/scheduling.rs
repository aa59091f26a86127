//! Priority, cores and locked memory, with the rights that the tests have and without any: refusals are reported, once each, and the
//! work is done all the same. One test, because it takes its own process's rights away.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;
use common::{AlignedBytes, disc, disc_model};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use sonotrace::exec::{Executor, ExecutorConfig, memory_required};
use sonotrace::realtime::{CoreSet, Pinning, Priority, Scheduling, Want, Warnings, lock_process, set_thread};

/// `policy` and `rt_priority` of each thread of this process that runs helpers or work, of `SCHED_FIFO` only.
fn fifo_priorities() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let priorities = tasks.flatten().filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        // Behind the name, which may hold anything, the third field is first.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let (priority, policy) = (fields.get(37)?, fields.get(38)?);
        (*policy == "1").then(|| priority.parse().unwrap())
    });
    priorities.collect()
}

/// Runs every program with two helpers. Returns what was refused, and the priorities meanwhile.
fn work(scheduling: Scheduling) -> (Warnings, Vec<u32>) {
    let config = ExecutorConfig { threads: 3, ..ExecutorConfig::default() };
    let mut memory = AlignedBytes::zeroed(memory_required(disc(), &config).unwrap().bytes);
    let mut executor = Executor::new(disc_model(), config, memory.bytes_mut()).unwrap();
    executor.self_test().unwrap();
    executor.with_helpers(scheduling, |executor, warnings| {
        for program in 0..disc_model().programs().len() {
            executor.begin_apart(program).unwrap();
            executor.finish();
        }
        (*warnings, fifo_priorities())
    })
}

/// Forbids priorities and locked memory, for this process and this thread.
fn give_up_rights() {
    for resource in [Resource::Rtprio, Resource::Memlock] {
        setrlimit(resource, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    }
    let mut sets = capabilities(None).unwrap();
    for right in [CapabilitySet::SYS_NICE, CapabilitySet::IPC_LOCK] {
        sets.effective.remove(right);
        sets.permitted.remove(right);
        sets.inheritable.remove(right);
    }
    set_capabilities(None, sets).unwrap();
}

#[test]
fn what_is_refused_is_reported_once_and_the_work_is_done() {
    let priority = Priority::new(7).unwrap();
    let before = CoreSet::of_this_thread().unwrap();
    let scheduling = Scheduling { pinning: Pinning::CoreEach, priority: Some(priority) };

    // With whatever rights the tests have.
    let (warnings, priorities) = work(scheduling);
    assert!(!warnings.has(Want::Core), "{warnings:?}");
    if warnings.has(Want::Priority) {
        println!("this machine grants no priority");
        assert_eq!(priorities, []);
    } else {
        assert_eq!(priorities, [7; 3]);
    }
    assert_eq!(fifo_priorities(), [], "the thread's own policy is back");
    assert_eq!(CoreSet::of_this_thread(), Some(before), "so are its cores");
    let first = before.iter().next().unwrap().to_string();
    let (warnings, _) = work(Pinning::Cores(first.parse().unwrap()).into());
    assert!(warnings.is_empty(), "{warnings:?}");
    let (warnings, _) = work(Scheduling::default());
    assert!(warnings.is_empty(), "{warnings:?}");
    // No machine of the tests has so many.
    let (warnings, _) = work(Pinning::Cores("1023".parse().unwrap()).into());
    assert!(warnings.has(Want::Core) && warnings.iter().count() == 1, "{warnings:?}");

    give_up_rights();
    let (warnings, priorities) = work(scheduling);
    assert_eq!(warnings.iter().map(|warning| warning.want).collect::<Vec<_>>(), [Want::Priority]);
    assert_eq!(priorities, []);
    let text = warnings.iter().next().unwrap().to_string();
    assert!(text.contains("RLIMIT_RTPRIO") && text.contains("CAP_SYS_NICE"), "{text}");
    assert_eq!(CoreSet::of_this_thread(), Some(before));

    let warnings = set_thread(before.iter().next(), Some(priority));
    assert!(warnings.has(Want::Priority) && !warnings.has(Want::Core), "{warnings:?}");
    assert_eq!(CoreSet::of_this_thread().unwrap().count(), 1, "the rest is done");
    // Emulators and sanitizers map more than the system may lock.
    if cfg!(not(sonotrace_sanitizer)) {
        let refused = lock_process().unwrap_err();
        assert_eq!(refused.want, Want::LockedMemory);
        assert!(refused.to_string().contains("RLIMIT_MEMLOCK"), "{refused}");
    }
}
