//! Templates of any fields around any packet.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target uses its part")]
mod oracle;

fuzz_target!(|data: &[u8]| {
    oracle::template(data);
});
