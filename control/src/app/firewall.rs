//! Whether a firewall of the host judges the packets that it forwards. Reads nothing but the names of
//! nftables' chains and how many rules they have, and changes none.
//!
//! `iptables` of today makes such chains too. Whether a rule would let a packet through is not
//! worked out: rules lead to other rules, sets and connection tracking.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    net::IpAddr,
};

use socket2::{Domain, Protocol, Socket, Type};

/// A chain of nftables that packets pass which the host forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chain {
    /// Its table's family and name, and its own.
    name: String,
    /// Whether it drops what no rule decides about.
    drops: bool,
    /// How many rules it has.
    rules: u32,
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nftables chain {} has ", self.name)?;
        match (self.drops, self.rules) {
            (true, 0) => f.write_str("policy drop"),
            (true, _) => f.write_str("policy drop and rules"),
            (false, _) => f.write_str("rules"),
        }
    }
}

/// What forwarded packets of this IP version may not get past: a chain that drops, or one with
/// rules.
///
/// # Errors
///
/// If the kernel does not tell.
pub(crate) fn forward_obstacle(version: IpAddr) -> io::Result<Option<String>> {
    let (family, legacy) = match version {
        IpAddr::V4(_) => (NFPROTO_IPV4, "ip_tables_names"),
        IpAddr::V6(_) => (NFPROTO_IPV6, "ip6_tables_names"),
    };
    if let Some(chain) = obstacle(&list()?, family) {
        return Ok(Some(chain.to_string()));
    }
    let tables = fs::read_to_string(format!("/proc/thread-self/net/{legacy}")).unwrap_or_default();
    let filter = tables.lines().any(|table| table == "filter");
    Ok(filter.then(|| "the filter table of legacy iptables is in use".to_owned()))
}

/// The first chain of this IP version that may stop a packet.
fn obstacle(chains: &[(u8, Chain)], family: u8) -> Option<&Chain> {
    let relevant = |of: u8| of == family || of == NFPROTO_INET;
    chains
        .iter()
        .filter(|(of, chain)| relevant(*of) && (chain.drops || chain.rules > 0))
        .max_by_key(|(_, chain)| chain.drops)
        .map(|(_, chain)| chain)
}

/// All chains at the forward hook, each with its family.
fn list() -> io::Result<Vec<(u8, Chain)>> {
    let socket = Socket::new(
        Domain::from(AF_NETLINK),
        Type::RAW,
        Some(Protocol::from(NETLINK_NETFILTER)),
    )?;
    (&socket).write_all(&request())?;
    let mut chains = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let len = (&socket).read(&mut buffer)?;
        if !take(&buffer[..len], &mut chains)? {
            return Ok(chains);
        }
    }
}

/// `NFT_MSG_GETCHAIN` for all chains of all families.
fn request() -> Vec<u8> {
    const LEN: u32 = 20;
    let mut request = LEN.to_ne_bytes().to_vec();
    request.extend(GET_CHAIN.to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    // Sequence number, port, and an `nfgenmsg` of zeroes.
    request.resize(LEN as usize, 0);
    request
}

/// Takes the chains from some messages; false after the last message.
fn take(mut bytes: &[u8], chains: &mut Vec<(u8, Chain)>) -> io::Result<bool> {
    while let Some((header, _)) = bytes.split_first_chunk::<4>() {
        let len = u32::from_ne_bytes(*header) as usize;
        let (Some(message), Some(kind)) = (bytes.get(..len), half(bytes, 4)) else {
            break;
        };
        match kind {
            DONE => return Ok(false),
            ERROR => {
                let code = message.get(16..).and_then(word).unwrap_or_default();
                let code = u32::from_ne_bytes(code).cast_signed();
                return match code {
                    0 => Ok(false),
                    code => Err(io::Error::from_raw_os_error(-code)),
                };
            }
            NEW_CHAIN => chains.extend(chain(message)),
            _ => {}
        }
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
        if len == 0 {
            break;
        }
    }
    Ok(true)
}

/// A message about a chain, if that is at the forward hook.
fn chain(message: &[u8]) -> Option<(u8, Chain)> {
    let family = *message.get(16)?;
    let mut fields = [None; 7];
    for (kind, value) in attributes(message.get(20..)?) {
        if let Some(field) = fields.get_mut(usize::from(kind)) {
            *field = Some(value);
        }
    }
    let [_, table, _, name, hook, policy, rules] = fields;
    let mut hook = attributes(hook?);
    let (_, number) = hook.find(|(kind, _)| *kind == HOOK_NUMBER)?;
    if u32::from_be_bytes(word(number)?) != FORWARD {
        return None;
    }
    let number = |value: Option<&[u8]>| value.and_then(word).map(u32::from_be_bytes);
    let chain = Chain {
        name: format!("{} {} {}", family_name(family), text(table?), text(name?)),
        drops: number(policy) == Some(POLICY_DROP),
        // Nothing but rules counts: no other chain leads to one at a hook.
        rules: number(rules).unwrap_or_default(),
    };
    Some((family, chain))
}

/// Kinds and values.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const NESTED: u16 = 0x8000;
    std::iter::from_fn(move || {
        let len = usize::from(half(bytes, 0)?);
        let kind = half(bytes, 2)? & !NESTED;
        let value = bytes.get(4..len)?;
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes([bytes[0], bytes[1]]))
}

fn word(bytes: &[u8]) -> Option<[u8; 4]> {
    bytes.first_chunk().copied()
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn text(zero_ended: &[u8]) -> String {
    let text = zero_ended.split(|byte| *byte == 0).next();
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}

fn family_name(family: u8) -> &'static str {
    match family {
        NFPROTO_INET => "inet",
        NFPROTO_IPV4 => "ip",
        NFPROTO_IPV6 => "ip6",
        _ => "other",
    }
}

// linux/socket.h, linux/netlink.h
const AF_NETLINK: i32 = 16;
const NETLINK_NETFILTER: i32 = 12;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_DUMP: u16 = 0x301;
// linux/netfilter/nfnetlink.h and nf_tables.h
const NEW_CHAIN: u16 = 10 << 8 | 3;
const GET_CHAIN: u16 = 10 << 8 | 4;
const HOOK_NUMBER: u16 = 1;
// linux/netfilter.h
const FORWARD: u32 = 2;
const POLICY_DROP: u32 = 0;
const NFPROTO_INET: u8 = 1;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, process::Command};

    use ringlay_dataplane::sys::netns;

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    /// In a namespace of its own, with these rules.
    fn obstacles(rules: &str) -> [Option<String>; 2] {
        let ask = || {
            let nft = Command::new("nft").arg(rules).output().unwrap();
            let stderr = String::from_utf8_lossy(&nft.stderr);
            assert!(nft.status.success(), "{stderr}");
            [V4, V6].map(|version| forward_obstacle(version).unwrap())
        };
        netns::run_in_new(ask).expect("these tests need root")
    }

    #[test]
    fn chains_that_may_stop_forwarded_packets_are_found() {
        let some = |text: &str| Some(text.to_owned());
        let base = "type filter hook forward priority 0;";
        let drop = format!("add table ip t; add chain ip t c {{ {base} policy drop; }}");
        assert_eq!(
            obstacles(&drop),
            [some("nftables chain ip t c has policy drop"), None]
        );
        let rule =
            format!("add table inet u; add chain inet u d {{ {base} }}; add rule inet u d counter");
        let has_rules = some("nftables chain inet u d has rules");
        assert_eq!(obstacles(&rule), [has_rules.clone(), has_rules]);
        let both =
            format!("{rule}; {drop}; add table ip6 t; add chain ip6 t c {{ {base} policy drop; }}");
        assert_eq!(
            obstacles(&both),
            ["ip", "ip6"]
                .map(|family| some(&format!("nftables chain {family} t c has policy drop")))
        );
    }

    #[test]
    fn other_chains_do_not_matter() {
        let input = "add table inet t; add chain inet t c { type filter hook input priority 0; policy drop; }; \
                     add chain inet t plain; add rule inet t plain drop; \
                     add chain inet t d { type filter hook forward priority 0; policy accept; }";
        assert_eq!(obstacles(input), [None, None]);
    }

    #[test]
    fn garbage_is_no_chain_and_no_panic() {
        let mut chains = Vec::new();
        for len in 0..64_u32 {
            for byte in 0..=u8::MAX {
                let mut message = len.to_ne_bytes().to_vec();
                message.extend(NEW_CHAIN.to_ne_bytes());
                message.resize(64, byte);
                let _ = take(&message, &mut chains);
                let _ = take(&message[..len as usize], &mut chains);
            }
        }
        assert!(chains.is_empty());
    }
}
