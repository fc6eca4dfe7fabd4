//! Geneve (RFC 8926).
//!
//! Does not interpret options: those that the caller does not know are skipped, or, if critical,
//! refused. Control messages (the O bit) are recognised and refused.

use crate::{
    EtherType, MacAddr, ParseError, Template, TemplateBuilder, Vni,
    bytes::{array, put, put_u16, u16_at},
    decap::{Decap, DecapError, TunnelKey},
    template::{Carrier, Inner, TemplateError, TunnelHeader},
};

pub mod options;
#[cfg(test)]
mod tests;

pub use options::{GeneveOption, GeneveOptions, OptionKind};

/// Length in bytes of a header without options.
pub const HEADER_LEN: usize = 8;
/// Length in bytes of the longest options a header can have: 63 words.
pub const OPTIONS_MAX: usize = 63 * 4;
/// Length in bytes of the longest options a template can have: with them, what follows UDP stays
/// below 64 bytes, and everything below [`template::MAX_LEN`](crate::template::MAX_LEN).
pub const TEMPLATE_OPTIONS_MAX: usize = 40;
/// The UDP destination port that IANA assigned (RFC 8926, section 3.3).
pub const UDP_PORT: u16 = 6081;

mod field {
    pub(super) const VERSION_LEN: usize = 0;
    pub(super) const FLAGS: usize = 1;
    pub(super) const PROTOCOL: usize = 2;
    pub(super) const VNI: usize = 4;
}

/// Control message: not to be forwarded.
const FLAG_CONTROL: u8 = 0x80;
/// Critical options are present.
const FLAG_CRITICAL: u8 = 0x40;
const LEN_MASK: u8 = 0x3f;

/// A view of a Geneve header, its options and the packet after it.
#[derive(Debug, Clone, Copy)]
pub struct GenevePacket<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> GenevePacket<T> {
    /// Wraps `buffer`. Reserved bits may have any value (section 3.4: ignored on receipt); options
    /// are not looked at.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if it ends within header or options, [`ParseError::Version`] if
    /// the version is not 0 (section 3.4: must be dropped).
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, ParseError> {
        let data = buffer.as_ref();
        if data.len() < HEADER_LEN {
            return Err(ParseError::Truncated);
        }
        if data[field::VERSION_LEN] & !LEN_MASK != 0 {
            return Err(ParseError::Version);
        }
        let packet = Self { buffer };
        if packet.buffer.as_ref().len() < packet.header_len() {
            return Err(ParseError::Truncated);
        }
        Ok(packet)
    }

    #[inline]
    fn data(&self) -> &[u8] {
        self.buffer.as_ref()
    }

    /// Length in bytes of the header with its options.
    #[inline]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + usize::from(self.data()[field::VERSION_LEN] & LEN_MASK) * 4
    }

    /// Whether it is a control message (the O bit): its payload must not be forwarded.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.data()[field::FLAGS] & FLAG_CONTROL != 0
    }

    /// Whether the sender says that there are critical options (the C bit).
    #[inline]
    pub fn has_critical_options(&self) -> bool {
        self.data()[field::FLAGS] & FLAG_CRITICAL != 0
    }

    /// Type of the payload.
    #[inline]
    pub fn protocol(&self) -> EtherType {
        EtherType(u16_at(self.data(), field::PROTOCOL))
    }

    /// The network identifier.
    #[inline]
    pub fn vni(&self) -> Vni {
        Vni::from_be_bytes(array(self.data(), field::VNI))
    }

    /// The options.
    #[inline]
    pub fn options(&self) -> GeneveOptions<'_> {
        GeneveOptions::new(&self.data()[HEADER_LEN..self.header_len()])
    }

    /// The inner packet or frame.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.data()[self.header_len()..]
    }
}

/// A Geneve header, with the bytes of its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GeneveHeader<'a> {
    /// The network identifier.
    pub vni: Vni,
    /// Type of the payload: IPv4, IPv6 or [`EtherType::BRIDGED`] in what this crate sends.
    pub protocol: EtherType,
    /// Whether it is a control message (the O bit).
    pub is_control: bool,
    /// The options as on the wire: see [`options::emit`].
    pub options: &'a [u8],
}

impl<'a> GeneveHeader<'a> {
    /// A header that is no control message.
    pub const fn new(vni: Vni, protocol: EtherType, options: &'a [u8]) -> Self {
        Self {
            vni,
            protocol,
            is_control: false,
            options,
        }
    }

    /// Reads the header that `datagram` (a UDP payload) begins with.
    ///
    /// # Errors
    /// As [`GenevePacket::new_checked`], and [`ParseError::Length`] if the options do not add up to
    /// their length (section 3.5: must be dropped).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let view = GenevePacket::new_checked(datagram)?;
        for option in view.options() {
            option?;
        }
        Ok(Self {
            vni: view.vni(),
            protocol: view.protocol(),
            is_control: view.is_control(),
            options: &datagram[HEADER_LEN..view.header_len()],
        })
    }

    /// Length in bytes of the header with its options.
    #[inline]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the [`header_len`](Self::header_len) bytes of header and options, reserved bits zero.
    /// The C bit is set if an option is critical.
    ///
    /// # Panics
    /// If `out` is shorter, or the options are longer than [`OPTIONS_MAX`] or no multiple of 4.
    pub fn emit(&self, out: &mut [u8]) {
        let len = self.options.len();
        assert!(
            len <= OPTIONS_MAX && len.is_multiple_of(4),
            "Geneve options of {len} bytes"
        );
        let mut critical = GeneveOptions::new(self.options).flatten();
        let mut flags = 0;
        if self.is_control {
            flags |= FLAG_CONTROL;
        }
        if critical.any(|option| option.kind.is_critical()) {
            flags |= FLAG_CRITICAL;
        }
        put(out, 0, [0; HEADER_LEN]);
        out[field::VERSION_LEN] = (len / 4) as u8;
        out[field::FLAGS] = flags;
        put_u16(out, field::PROTOCOL, self.protocol.0);
        put(out, field::VNI, self.vni.to_be_bytes());
        out[HEADER_LEN..HEADER_LEN + len].copy_from_slice(self.options);
    }
}

/// Recognises what `datagram`, a UDP payload, carries. Options of the kinds `known` are the
/// caller's to interpret; others are skipped.
///
/// # Errors
/// [`DecapError`]; [`DecapError::CriticalOption`] if an unknown option has its critical bit set,
/// whether or not the header announces it.
#[inline]
pub fn decap(datagram: &[u8], known: &[OptionKind]) -> Result<Decap, DecapError> {
    let view = GenevePacket::new_checked(datagram)?;
    if view.is_control() {
        return Err(DecapError::Control);
    }
    let offset = view.header_len();
    if offset != HEADER_LEN {
        check_options(view.options(), known)?;
    }
    Decap::new(
        TunnelKey::Geneve(view.vni()),
        datagram,
        offset,
        view.protocol(),
    )
}

/// Where the inner frame or packet begins, and what it is, as far as that can be told at a glance.
#[inline]
pub(crate) fn glance(datagram: &[u8]) -> Option<(usize, EtherType)> {
    let header: &[u8; HEADER_LEN] = datagram.first_chunk()?;
    let options = usize::from(header[field::VERSION_LEN] & LEN_MASK) * 4;
    let protocol = u16::from_be_bytes([header[field::PROTOCOL], header[field::PROTOCOL + 1]]);
    Some((HEADER_LEN + options, EtherType(protocol)))
}

fn check_options(options: GeneveOptions<'_>, known: &[OptionKind]) -> Result<(), DecapError> {
    // To the end, so that a malformed one is refused even behind a critical one.
    let mut unknown_critical = false;
    for option in options {
        let kind = option?.kind;
        unknown_critical |= kind.is_critical() && !known.contains(&kind);
    }
    if unknown_critical {
        return Err(DecapError::CriticalOption);
    }
    Ok(())
}

impl TunnelHeader for GeneveHeader<'_> {
    fn carrier(&self) -> Carrier {
        Carrier::Udp(UDP_PORT)
    }

    fn len(&self) -> usize {
        self.header_len()
    }

    fn protocol_offset(&self) -> Option<usize> {
        Some(field::PROTOCOL)
    }

    fn emit(&self, protocol: EtherType, out: &mut [u8]) {
        Self { protocol, ..*self }.emit(out);
    }
}

impl TemplateBuilder {
    /// A template for IP packets of a routed network, in Geneve: they get an inner Ethernet header,
    /// as other systems expect. `options` are the same in every packet: see [`options::emit`].
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn geneve(
        &self,
        vni: Vni,
        options: &[u8],
        inner_dst: MacAddr,
        inner_src: MacAddr,
    ) -> Result<Template, TemplateError> {
        let inner = Inner::Ethernet {
            dst: inner_dst,
            src: inner_src,
        };
        self.build_geneve(vni, options, inner)
    }

    /// A template for IP packets of a routed network, directly in Geneve, without an inner Ethernet
    /// header: 14 bytes less. Linux takes them with `innerprotoinherit`.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn geneve_ip(&self, vni: Vni, options: &[u8]) -> Result<Template, TemplateError> {
        self.build_geneve(vni, options, Inner::Ip)
    }

    /// A template for Ethernet frames of a bridged network, in Geneve.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn geneve_bridged(&self, vni: Vni, options: &[u8]) -> Result<Template, TemplateError> {
        self.build_geneve(vni, options, Inner::Frames)
    }

    fn build_geneve(
        &self,
        vni: Vni,
        options: &[u8],
        inner: Inner,
    ) -> Result<Template, TemplateError> {
        let valid = GeneveOptions::new(options).all(|option| option.is_ok());
        if !valid || options.len() > TEMPLATE_OPTIONS_MAX {
            return Err(TemplateError::Options);
        }
        self.build(&GeneveHeader::new(vni, EtherType(0), options), inner)
    }
}
