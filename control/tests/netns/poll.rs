//! How workers wait, as the configuration says: told by how often their threads went to sleep.

use std::fs;

use super::hosts::Hosts;

/// How many times the workers of a process gave up their CPU to wait.
fn sleeps(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_task = |task: fs::DirEntry| {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap();
        if !read("comm").starts_with("ringlay-w") {
            return None;
        }
        let status = read("status");
        let mut lines = status.lines();
        let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        count.trim().parse::<u64>().ok()
    };
    let counts: Vec<_> = tasks.filter_map(|task| of_task(task.unwrap())).collect();
    assert_eq!(counts.len(), 1, "there is one worker");
    counts[0]
}

/// With these settings, whether the worker sleeps between ten pings a tenth of a second apart.
fn sleeps_between_pings(settings: &str) -> bool {
    let mut hosts = Hosts::new();
    hosts.set(0, "dataplane", &format!("workers = 1\n{settings}"));
    hosts.start(0);
    hosts.start(1);
    assert!(hosts.pings("10.42.2.1"));
    let before = sleeps(hosts.pid(0));
    let ping = hosts.exec(0, "ping -q -c 10 -i 0.1 -w 20 10.42.2.1");
    let text = String::from_utf8_lossy(&ping.stdout).into_owned();
    assert!(text.contains("10 received"), "{text}");
    let slept = sleeps(hosts.pid(0)) - before;
    // A busy machine may bring a gap that is too long, but not many.
    assert!(!(4..10).contains(&slept), "{slept} times with {settings}");
    slept >= 10
}

#[test]
fn busy_workers_never_sleep() {
    for driver in ["io_uring", "epoll"] {
        let settings = format!("poll = \"busy\"\ndriver = \"{driver}\"");
        assert!(!sleeps_between_pings(&settings), "{driver}");
    }
}

#[test]
fn interrupted_workers_sleep_after_each_packet() {
    for driver in ["io_uring", "epoll"] {
        let settings = format!("poll = \"interrupt\"\ndriver = \"{driver}\"");
        assert!(sleeps_between_pings(&settings), "{driver}");
    }
}

#[test]
fn adaptive_workers_look_for_work_as_long_as_they_are_told() {
    for (settings, expected) in [
        ("poll = \"adaptive\"", true),
        ("spin = \"0\"", true),
        ("spin = \"1ms\"", true),
        ("spin = \"1s\"", false),
    ] {
        assert_eq!(sleeps_between_pings(settings), expected, "{settings}");
    }
}
