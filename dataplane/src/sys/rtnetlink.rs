//! Settings and facts of devices that only rtnetlink offers (`linux/rtnetlink.h`).
//!
//! A message for each, answered on the spot. Addresses and routes are the control plane's business.

use std::io::{self, Read};

use socket2::{Domain, Protocol, Socket, Type};

// From the kernel's headers; libc lacks some of them.
const HEADER_LEN: usize = 16; // struct nlmsghdr
const IFINFO_LEN: usize = 16; // struct ifinfomsg
const TCMSG_LEN: usize = 20; // struct tcmsg
const HANDLE_ROOT: u32 = 0xffff_ffff; // TC_H_ROOT
const AF_SPEC: u16 = 26; // IFLA_AF_SPEC
const ADDR_GEN_MODE: u16 = 8; // IFLA_INET6_ADDR_GEN_MODE
const ADDR_GEN_NONE: u8 = 1; // IN6_ADDR_GEN_MODE_NONE
const NESTED: u16 = 1 << 15; // NLA_F_NESTED
const XDP: u16 = 43; // IFLA_XDP
const XDP_PROGRAM: u16 = 4; // IFLA_XDP_PROG_ID

/// More than the kernel tells of one device.
const ANSWER_LEN: usize = 32 << 10;

/// A conversation with the kernel about the devices of one network namespace.
#[derive(Debug)]
pub struct Rtnetlink {
    socket: Socket,
}

impl Rtnetlink {
    /// A conversation about this thread's namespace.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)`.
    pub fn open() -> io::Result<Self> {
        let domain = Domain::from(libc::AF_NETLINK);
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        Ok(Self { socket })
    }

    /// Hands packets to the device with this index at once: it gets the queueing discipline
    /// `noqueue`. It must be down, or it has another one already.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_ADMIN`, `ENODEV` when there is no such device, `EOPNOTSUPP` when
    /// the kernel has no queueing disciplines (`CONFIG_NET_SCHED`).
    pub fn set_no_queue(&self, index: u32) -> io::Result<()> {
        let mut body = vec![0; TCMSG_LEN];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[12..16].copy_from_slice(&HANDLE_ROOT.to_ne_bytes());
        put_attribute(&mut body, libc::TCA_KIND, b"noqueue\0");
        let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        self.request(libc::RTM_NEWQDISC, flags, &body)
    }

    /// Keeps the kernel from giving the device an IPv6 link-local address.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_ADMIN`, `ENODEV` when there is no such device, `EAFNOSUPPORT` or
    /// another when the kernel has no IPv6.
    pub fn set_no_link_local(&self, index: u32) -> io::Result<()> {
        let mut inet6 = Vec::new();
        put_attribute(&mut inet6, ADDR_GEN_MODE, &[ADDR_GEN_NONE]);
        let mut spec = Vec::new();
        put_attribute(&mut spec, libc::AF_INET6 as u16 | NESTED, &inet6);
        let mut body = vec![0; IFINFO_LEN];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        put_attribute(&mut body, AF_SPEC | NESTED, &spec);
        self.request(libc::RTM_SETLINK, 0, &body)
    }

    /// The number of the XDP program on the device with this index, if there is one.
    ///
    /// # Errors
    ///
    /// `ENODEV` when there is no such device.
    pub fn xdp_program(&self, index: u32) -> io::Result<Option<u32>> {
        let mut body = vec![0; IFINFO_LEN];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        let answer = self.ask(libc::RTM_GETLINK, 0, &body)?;
        let attributes = answer.get(HEADER_LEN + IFINFO_LEN..).unwrap_or_default();
        let program = attribute(attributes, XDP).and_then(|xdp| attribute(xdp, XDP_PROGRAM));
        let number = program.and_then(|number| number.try_into().ok());
        Ok(number.map(u32::from_ne_bytes).filter(|number| *number != 0))
    }

    /// Asks for something to be done and reads the kernel's answer to it.
    fn request(&self, kind: u16, flags: libc::c_int, body: &[u8]) -> io::Result<()> {
        self.ask(kind, flags | libc::NLM_F_ACK, body).map(drop)
    }

    /// Asks, and reads the kernel's first answer.
    fn ask(&self, kind: u16, flags: libc::c_int, body: &[u8]) -> io::Result<Vec<u8>> {
        let flags = (libc::NLM_F_REQUEST | flags) as u16; // bits 0 to 11
        let len = (HEADER_LEN + body.len()) as u32; // a hundred bytes
        let mut message = Vec::with_capacity(HEADER_LEN + body.len());
        message.extend(len.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        // Sequence number and sender: one question at a time needs neither.
        message.extend([0; 8]);
        message.extend(body);
        self.socket.send(&message)?;
        let mut answer = vec![0; ANSWER_LEN];
        let len = (&self.socket).read(&mut answer)?;
        answer.truncate(len);
        let kind = answer.get(4..6).and_then(|kind| kind.try_into().ok());
        if kind.map(u16::from_ne_bytes) != Some(libc::NLMSG_ERROR as u16) {
            return Ok(answer);
        }
        let code = answer.get(HEADER_LEN..HEADER_LEN + 4);
        match code.and_then(|code| code.try_into().ok().map(i32::from_ne_bytes)) {
            Some(0) => Ok(answer),
            Some(code) => Err(io::Error::from_raw_os_error(-code)),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The value of the first attribute of a kind.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (head, _) = attributes.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & !NESTED;
        let value = attributes.get(4..len)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

/// Appends an attribute, padded to four bytes.
fn put_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = (4 + value.len()) as u16; // a few bytes
    message.extend(len.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::netns;

    #[test]
    fn the_kernel_says_what_it_refuses() {
        netns::run_in_new(|| {
            let rtnetlink = Rtnetlink::open().unwrap();
            for refused in [
                rtnetlink.set_no_queue(4711),
                rtnetlink.set_no_link_local(4711),
            ] {
                assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::ENODEV));
            }
        })
        .expect("this test needs root");
    }
}
