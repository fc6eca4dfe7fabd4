//! The time stamp counter, in whose cycles packet processing is usually told. Measures no time
//! where there is none.

use std::time::{Duration, Instant};

/// The counter after all that comes before is done, as DPDK's `rte_rdtsc_precise` reads it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn fenced() -> u64 {
    use std::arch::x86_64::{_mm_mfence, _rdtsc};
    // SAFETY: every x86-64 processor has both instructions; neither touches memory of ours.
    unsafe {
        _mm_mfence();
        _rdtsc()
    }
}

/// The counter as it is: what comes before may not be done, and what comes after may be. For stretches
/// that are much longer than the processor looks ahead.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; it touches no memory.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// See [`fenced`].
#[cfg(not(target_arch = "x86_64"))]
pub fn now() -> u64 {
    fenced()
}

/// Nanoseconds since the first call, in place of cycles.
#[cfg(not(target_arch = "x86_64"))]
pub fn fenced() -> u64 {
    use std::sync::LazyLock;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}

/// Cycles in a nanosecond, by the wall clock. Takes a tenth of a second.
pub fn cycles_per_ns() -> f64 {
    let (start, cycles) = (Instant::now(), fenced());
    while start.elapsed() < Duration::from_millis(100) {
        std::hint::spin_loop();
    }
    let (cycles, elapsed) = (fenced() - cycles, start.elapsed());
    cycles as f64 / elapsed.as_nanos() as f64
}
