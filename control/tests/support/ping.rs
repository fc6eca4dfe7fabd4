//! How to ask `ping`, and which of its requests were answered.
//!
//! Behind its last request `ping` waits for twice the longest round trip so far, or for the
//! interval between requests, whatever `-W` says: a reply may be later than that on a busy machine.
//! By `-w` it would go on asking, which pushes out what waits for an address to be resolved. So all
//! requests are sent at once (`-l`), with a long interval behind them.

/// Arguments for `count` requests, with much time for the answers.
pub(crate) fn patiently(count: u32) -> String {
    format!("-n -l {count} -i 10 -W 20 -c {count}")
}

/// Arguments that find out whether anything is answered, and soon if nothing is.
pub(crate) const BRIEFLY: &str = "-n -i 0.1 -W 1 -c 3";

/// Whether the first `count` requests were answered, and none twice, by what `ping` printed that waits
/// for so many answers. If they took long it has asked more often.
pub(crate) fn each_answered(printed: &str, count: u32) -> bool {
    let replies = printed.lines().filter(|line| line.contains(" bytes from "));
    let numbers = replies.map(|line| {
        let number = line
            .split_once("icmp_seq=")
            .expect("a reply has a number")
            .1;
        let end = number.find(' ').expect("a time to live follows");
        number[..end].parse().expect("it is a number")
    });
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    let all = numbers.len();
    numbers.dedup();
    numbers.len() == all && numbers.into_iter().take(count as usize).eq(1..=count)
}
