//! Offload features of a network device, by the names `ethtool -k` derives its list from, how many
//! queues it has, and which driver.
//!
//! Reads and sets them in the calling thread's network namespace; it does not decide which are
//! wanted. Layouts: include/uapi/linux/ethtool.h.

use std::io;
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

/// One feature of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// The kernel's name, as in `tx-udp-segmentation`.
    pub name: String,
    /// Whether it is on.
    pub active: bool,
    /// Whether it can be changed.
    pub changeable: bool,
}

/// The features of `device`.
///
/// # Errors
/// If there is no such device or it has no features.
pub fn features(device: &str) -> io::Result<Vec<Feature>> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let names = names(&socket, device)?;
    let mut request = vec![0_u32; 2 + names.len().div_ceil(32) * GET_BLOCK];
    request[0] = ETHTOOL_GFEATURES;
    request[1] = block_count(names.len());
    call(&socket, device, &mut request)?;
    let bit = |index: usize, word: usize| {
        request[2 + index / 32 * GET_BLOCK + word] & 1 << (index % 32) != 0
    };
    Ok(names
        .into_iter()
        .enumerate()
        .map(|(index, name)| Feature {
            name,
            active: bit(index, 2),
            changeable: bit(index, 0) && !bit(index, 3),
        })
        .collect())
}

/// Turns features of `device` on or off; names it does not have are passed over.
///
/// # Errors
/// Without CAP_NET_ADMIN, or if there is no such device.
pub fn set_features(device: &str, wanted: &[(&str, bool)]) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let names = names(&socket, device)?;
    let mut request = vec![0_u32; 2 + names.len().div_ceil(32) * SET_BLOCK];
    request[0] = ETHTOOL_SFEATURES;
    request[1] = block_count(names.len());
    for (index, name) in names.iter().enumerate() {
        let Some((_, on)) = wanted.iter().find(|(wanted, _)| wanted == name) else {
            continue;
        };
        let block = 2 + index / 32 * SET_BLOCK;
        request[block] |= 1 << (index % 32);
        request[block + 1] |= u32::from(*on) << (index % 32);
    }
    call(&socket, device, &mut request)
}

/// How many queues `device` receives by.
///
/// # Errors
/// If there is no such device, or it does not tell: then it has one, as a rule.
pub fn receive_queues(device: &str) -> io::Result<u32> {
    let channels = channels(device)?;
    Ok(channels[5] + channels[8])
}

/// How many queues `device` sends by.
///
/// # Errors
/// As [`receive_queues`].
pub fn send_queues(device: &str) -> io::Result<u32> {
    let channels = channels(device)?;
    Ok(channels[6] + channels[8])
}

/// The name of the driver of `device`.
///
/// # Errors
/// If there is no such device, or it has none that tells.
pub fn driver(device: &str) -> io::Result<String> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let mut info = [0; DRIVER_INFO_WORDS];
    info[0] = ETHTOOL_GDRVINFO;
    call(&socket, device, &mut info)?;
    Ok(name(&info[1..=NAME_WORDS]))
}

/// The command, four maxima, and the numbers of queues to receive, to send, for other things, and to
/// do both (`struct ethtool_channels`).
fn channels(device: &str) -> io::Result<[u32; 9]> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let mut channels = [0; 9];
    channels[0] = ETHTOOL_GCHANNELS;
    call(&socket, device, &mut channels)?;
    Ok(channels)
}

/// The names of all feature bits, in bit order.
fn names(socket: &Socket, device: &str) -> io::Result<Vec<String>> {
    let mut info = [ETHTOOL_GSSET_INFO, 0, 0, 0, 0];
    let mask = (1_u64 << ETH_SS_FEATURES).to_ne_bytes();
    let (low, high) = mask.split_at(4);
    info[2] = u32::from_ne_bytes(low.try_into().expect("four bytes"));
    info[3] = u32::from_ne_bytes(high.try_into().expect("four bytes"));
    call(socket, device, &mut info)?;
    let count = info[4] as usize;
    let mut request = vec![0_u32; 3 + count * NAME_WORDS];
    request[0] = ETHTOOL_GSTRINGS;
    request[1] = ETH_SS_FEATURES;
    request[2] = info[4];
    call(socket, device, &mut request)?;
    Ok(request[3..].chunks_exact(NAME_WORDS).map(name).collect())
}

fn name(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn block_count(features: usize) -> u32 {
    u32::try_from(features.div_ceil(32)).expect("the kernel has some hundred features at most")
}

/// Runs one SIOCETHTOOL request. `request` is as long as its command and counts say: each caller
/// in this file sizes it by the count that it writes into it.
fn call(socket: &Socket, device: &str, request: &mut [u32]) -> io::Result<()> {
    // SAFETY: ifreq is plain old data for which all zeroes is a valid value.
    let mut ifreq: libc::ifreq = unsafe { std::mem::zeroed() };
    if device.len() >= ifreq.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (target, byte) in ifreq.ifr_name.iter_mut().zip(device.bytes()) {
        *target = byte.cast_signed();
    }
    ifreq.ifr_ifru.ifru_data = request.as_mut_ptr().cast();
    // SAFETY: ifru_data points to `request`, alive and exclusively borrowed for the call, and the
    // kernel writes no further than the counts in it, which the callers took for its length.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut ifreq) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETH_SS_FEATURES: u32 = 4;
/// Words of a name (ETH_GSTRING_LEN bytes).
const NAME_WORDS: usize = 8;
/// Words of ethtool_drvinfo: the command, five names, 12 bytes that are reserved, five counts.
const DRIVER_INFO_WORDS: usize = 1 + 5 * NAME_WORDS + 3 + 5;
/// Words of ethtool_get_features_block: available, requested, active, never_changed.
const GET_BLOCK: usize = 4;
/// Words of ethtool_set_features_block: valid, requested.
const SET_BLOCK: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_lists_features_by_name() {
        let features = features("lo").unwrap();
        let segmentation = features
            .iter()
            .find(|f| f.name == "tx-tcp-segmentation")
            .unwrap();
        assert!(segmentation.active);
        assert!(
            features
                .iter()
                .any(|f| f.name == "loopback" && !f.changeable)
        );
    }

    #[test]
    fn loopback_has_no_driver() {
        assert!(driver("lo").is_err());
    }

    #[test]
    fn unknown_device_is_an_error() {
        assert!(driver("no-such-dev").is_err());
        assert!(features("no-such-dev").is_err());
        assert!(features("a-name-that-is-too-long").is_err());
    }
}
