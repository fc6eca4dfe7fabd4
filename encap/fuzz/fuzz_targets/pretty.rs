//! Any bytes, printed and parsed as every protocol.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target uses its part")]
mod oracle;

fuzz_target!(|data: &[u8]| {
    oracle::pretty(data, &mut String::new());
    oracle::reprs(data);
});
