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
    /// Where other plugins are, separated by colons.
    pub(crate) path: Option<String>,
    args: Option<String>,
}

/// Which container, and which device in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) container_id: String,
    pub(crate) interface: String,
}

/// What we look for among the arguments of `CNI_ARGS`; the others are somebody else's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    /// Addresses to give the container.
    pub(crate) ips: Vec<String>,
    /// A MAC address to give the device.
    pub(crate) mac: Option<String>,
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
            path: variable("CNI_PATH"),
            args: variable("CNI_ARGS"),
        }
    }

    /// What ADD, CHECK and DEL need to know: which container, and which device in it.
    pub(crate) fn attachment(&self) -> Result<Attachment, CniError> {
        let container_id = self
            .container_id
            .clone()
            .ok_or(CniError::UnknownContainer)?;
        check_container_id(&container_id)?;
        let interface = required("CNI_IFNAME", self.interface.as_deref())?;
        check_interface(interface)?;
        Ok(Attachment {
            container_id,
            interface: interface.to_owned(),
        })
    }

    /// The path of the network namespace. Only DEL can do without.
    pub(crate) fn netns(&self) -> Result<&str, CniError> {
        required("CNI_NETNS", self.netns.as_deref())
    }

    /// The arguments `KEY=VALUE;...` that we know.
    pub(crate) fn args(&self) -> Result<Args, CniError> {
        let mut args = Args::default();
        for pair in self.args.as_deref().unwrap_or_default().split(';') {
            if pair.is_empty() {
                continue;
            }
            let Some((key, value)) = pair.split_once('=') else {
                return Err(invalid(format!("CNI_ARGS: `{pair}` is no KEY=VALUE")));
            };
            match key {
                "IP" if !value.is_empty() => {
                    args.ips.extend(value.split(',').map(str::to_owned));
                }
                "MAC" if !value.is_empty() => args.mac = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(args)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Result<Args, CniError> {
        let args = Some(text.to_owned());
        Environment {
            args,
            ..Environment::default()
        }
        .args()
    }

    #[test]
    fn arguments_of_others_are_left_alone() {
        let found =
            args("IgnoreUnknown=1;K8S_POD_NAME=p;IP=10.1.0.5,fd00::5;;MAC=02:00:00:00:00:01");
        let expected = Args {
            ips: vec!["10.1.0.5".to_owned(), "fd00::5".to_owned()],
            mac: Some("02:00:00:00:00:01".to_owned()),
        };
        assert_eq!(found.expect("valid"), expected);
        assert_eq!(args("IP=;MAC=").expect("valid"), Args::default());
        assert!(args("nonsense").is_err());
    }
}
