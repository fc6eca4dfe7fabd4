//! No encapsulation: packets go to the far end as they are. That must be on the same link, for
//! packets are led there by the next hop and not by an outer address.
//!
//! A template of it is the Ethernet header alone or, where the kernel's socket makes that, nothing.
//! There is nothing to take off at the far end, which routes what it gets like any packet.

use crate::{Template, TemplateBuilder, decap::DecapError, ip::IpVersion, template::TemplateError};

/// Never recognises a tunnel packet: there is none.
///
/// # Errors
/// [`DecapError::InnerProtocol`] for IP packets, as for any other [`DecapError`].
#[inline]
pub(crate) fn decap<T>(packet: &[u8]) -> Result<T, DecapError> {
    IpVersion::of(packet)?;
    Err(DecapError::InnerProtocol)
}

impl TemplateBuilder {
    /// A template for IP packets of either version that are sent as they are. Only
    /// [`ethernet`](Self::ethernet) counts.
    ///
    /// # Errors
    /// [`TemplateError::MixedVersions`]
    pub fn plain(&self) -> Result<Template, TemplateError> {
        self.build_plain()
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::{EtherType, MacAddr, Stamp};

    fn builder() -> TemplateBuilder {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Template::builder(any, any)
    }

    #[test]
    fn nothing_is_added_for_a_socket() {
        let template = builder().plain().unwrap();
        assert!(template.is_empty() && template.is_plain());
        assert_eq!((template.overhead(), template.tunnel_len()), (0, 0));
        assert_eq!(template.l2_offset(), None);
        template.write_tunnel(EtherType::IPV4, &mut []);
        template
            .stamp(&mut [], &Stamp::new(EtherType::IPV4, 20))
            .unwrap();
    }

    #[test]
    fn a_link_takes_the_ethernet_header_of_either_version() {
        let [dst, src] = [1, 2].map(|last| MacAddr([2, 0, 0, 0, 0, last]));
        let template = builder().ethernet(dst, src).plain().unwrap();
        assert_eq!((template.overhead(), template.tunnel_len()), (0, 0));
        assert_eq!(template.l2_offset(), Some(0));
        for ethertype in [EtherType::IPV4, EtherType::IPV6] {
            let mut out = [0xff; 14];
            template
                .stamp(&mut out, &Stamp::new(ethertype, 40))
                .unwrap();
            assert_eq!(out[..6], dst.0);
            assert_eq!(out[6..12], src.0);
            assert_eq!(out[12..], ethertype.0.to_be_bytes());
        }
    }

    #[test]
    fn nothing_is_a_tunnel_packet() {
        for packet in [&[0x45][..], &[0x60], &[], &[0x10]] {
            assert!(decap::<()>(packet).is_err());
        }
    }
}
