//! Settings of the kernel's network stack, in the calling thread's namespace.

use std::fs;
use std::path::Path;

use super::LabError;

/// Sets `key`, as in `ipv4/ip_forward`.
///
/// # Errors
/// If there is no such setting, or the kernel refuses the value.
pub fn set(key: &str, value: &str) -> Result<(), LabError> {
    let path = Path::new("/proc/sys/net").join(key);
    fs::write(&path, value).map_err(LabError::io(format!("write {}", path.display())))
}
