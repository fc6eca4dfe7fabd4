//! The variables that a runtime passes arguments in (CNI specification, section 2).
//!
//! It checks what they are, not what they refer to.

use std::env;

use crate::error::CniError;

/// The longest name of a Linux network device (`IFNAMSIZ` less the closing zero).
const DEVICE_NAME_BYTES_MAX: usize = 15;

/// The variables as found. Empty ones count as absent.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) command: Option<String>,
    container_id: Option<String>,
    netns: Option<String>,
    interface: Option<String>,
}

impl Environment {
    pub(crate) fn from_process() -> Self {
        // What is no Unicode is no valid value of any of these either.
        let variable = |name| {
            let value = env::var_os(name)?.to_string_lossy().into_owned();
            (!value.is_empty()).then_some(value)
        };
        Self {
            command: variable("CNI_COMMAND"),
            container_id: variable("CNI_CONTAINERID"),
            netns: variable("CNI_NETNS"),
            interface: variable("CNI_IFNAME"),
        }
    }

    /// Checks what ADD, CHECK and DEL need to know: which container, and which device in it.
    pub(crate) fn check_attachment(&self) -> Result<(), CniError> {
        let container_id = self
            .container_id
            .as_deref()
            .ok_or(CniError::UnknownContainer)?;
        check_container_id(container_id)?;
        check_interface(required("CNI_IFNAME", self.interface.as_deref())?)
    }

    /// Checks that a network namespace is named. Only DEL can do without.
    pub(crate) fn check_netns(&self) -> Result<(), CniError> {
        required("CNI_NETNS", self.netns.as_deref()).map(|_| ())
    }
}

fn required<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, CniError> {
    value.ok_or_else(|| invalid(format!("{name} is missing")))
}

/// A letter or digit, then letters, digits, `_`, `.` and `-`.
fn check_container_id(id: &str) -> Result<(), CniError> {
    if is_identifier(id) {
        return Ok(());
    }
    Err(invalid(format!(
        "CNI_CONTAINERID `{id}` has a character that is not allowed"
    )))
}

/// Whether `text` is what the specification allows as a container id or network name.
pub(crate) fn is_identifier(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed)
}

/// What the kernel accepts as the name of a device (net/core/dev.c, `dev_valid_name`).
fn check_interface(name: &str) -> Result<(), CniError> {
    let reason = if name.len() > DEVICE_NAME_BYTES_MAX {
        "is longer than 15 bytes"
    } else if matches!(name, "." | "..") {
        "is no device name"
    } else if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        "has a character that is not allowed"
    } else {
        return Ok(());
    };
    Err(invalid(format!("CNI_IFNAME `{name}` {reason}")))
}

fn invalid(reason: String) -> CniError {
    CniError::InvalidEnvironment { reason }
}
