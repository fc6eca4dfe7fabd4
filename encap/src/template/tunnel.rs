//! The header of any encapsulation, by the key of the tunnel: here each is registered.
//!
//! Does not know their bytes: each has a file of its own.

use super::{Inner, Template, TemplateBuilder, TemplateError, TunnelHeader};
use crate::{
    EtherType, GeneveHeader, GreHeader, TunnelKey, VxlanHeader, encapsulation::Encapsulation,
    ipip::NoHeader,
};

impl TunnelKey {
    /// Length in bytes of the tunnel header, without options.
    #[inline]
    pub fn header_len(self) -> usize {
        self.with_header(|header| header.len())
    }

    /// Writes the tunnel header, for what follows to be of the type `protocol`. Encapsulations whose
    /// header has no place for that do not look at it.
    ///
    /// # Panics
    /// If `out` is shorter than [`header_len`](Self::header_len).
    #[inline]
    pub fn emit(self, protocol: EtherType, out: &mut [u8]) {
        self.with_header(|header| header.emit(protocol, out));
    }

    #[inline]
    fn with_header<T>(self, act: impl FnOnce(&dyn TunnelHeader) -> T) -> T {
        // Stamped, or given when it is written.
        let protocol = EtherType(0);
        match self {
            Self::Vxlan(vni) => act(&VxlanHeader { vni }),
            Self::Geneve(vni) => act(&GeneveHeader::new(vni, protocol, &[])),
            Self::Gre(key) => act(&GreHeader::new(protocol, key)),
            Self::Ipip | Self::Plain => act(&NoHeader),
        }
    }
}

impl TemplateBuilder {
    /// A template for the tunnel with this key, without options.
    ///
    /// # Errors
    /// [`TemplateError`]; [`TemplateError::Inner`] if the encapsulation does not carry such.
    pub fn tunnel(&self, key: TunnelKey, inner: Inner) -> Result<Template, TemplateError> {
        let carried = match inner {
            Inner::Ip => key.encapsulation() != Encapsulation::Vxlan,
            Inner::Ethernet { .. } | Inner::Frames => key.encapsulation().carries_frames(),
        };
        if !carried {
            return Err(TemplateError::Inner);
        }
        match key {
            TunnelKey::Plain => self.plain(),
            _ => key.with_header(|header| self.build(header, inner)),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};
    use std::vec;

    use super::*;
    use crate::{GreKey, MacAddr, Vni};

    const DST: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const SRC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    #[test]
    fn each_is_what_its_own_method_builds() {
        let vni = Vni::new(42).unwrap();
        let key = Some(GreKey(7));
        let builder = Template::builder(
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
        );
        let ethernet = Inner::Ethernet { dst: DST, src: SRC };
        let pairs = [
            (
                TunnelKey::Vxlan(vni),
                ethernet,
                builder.vxlan(vni, DST, SRC),
            ),
            (
                TunnelKey::Geneve(vni),
                ethernet,
                builder.geneve(vni, &[], DST, SRC),
            ),
            (
                TunnelKey::Geneve(vni),
                Inner::Ip,
                builder.geneve_ip(vni, &[]),
            ),
            (
                TunnelKey::Gre(key),
                ethernet,
                builder.gre_ethernet(key, DST, SRC),
            ),
            (TunnelKey::Gre(None), Inner::Ip, builder.gre(None)),
            (TunnelKey::Gre(key), Inner::Frames, builder.gre_bridged(key)),
            (TunnelKey::Ipip, Inner::Ip, builder.ipip()),
            (TunnelKey::Plain, Inner::Ip, builder.plain()),
        ];
        for (key, inner, expected) in pairs {
            let (built, expected) = (builder.tunnel(key, inner).unwrap(), expected.unwrap());
            assert_eq!(built.bytes(), expected.bytes(), "{key}");
            assert_eq!(built.overhead(), expected.overhead(), "{key}");
        }
    }

    #[test]
    fn what_an_encapsulation_does_not_carry_is_an_error() {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let builder = Template::builder(any, any);
        let vxlan = TunnelKey::Vxlan(Vni::MAX);
        for (key, inner) in [(vxlan, Inner::Ip), (TunnelKey::Ipip, Inner::Frames)] {
            let error = builder.tunnel(key, inner).unwrap_err();
            assert_eq!(error, TemplateError::Inner, "{key}");
        }
    }

    #[test]
    fn the_header_alone_is_that_of_the_template() {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        for key in [
            TunnelKey::Vxlan(Vni::MAX),
            TunnelKey::Geneve(Vni::MAX),
            TunnelKey::Gre(None),
            TunnelKey::Gre(Some(GreKey(7))),
        ] {
            let template = Template::builder(any, any)
                .tunnel(key, Inner::Frames)
                .unwrap();
            let mut header = vec![0xff; key.header_len()];
            key.emit(EtherType::BRIDGED, &mut header);
            assert_eq!(header, template.tunnel_bytes(), "{key}");
        }
    }
}
