//! What the templates write, read by tshark, which verifies the checksums.

use std::{fs, net::IpAddr, process::Command};

use ringlay_encap::{
    EtherType, GreKey, IpProtocol, Ipv4Packet, Ipv4Repr, MacAddr, OuterChecksum, Stamp, Template,
    TemplateBuilder, UdpPacket, UdpRepr, Vni, checksum,
};

use crate::pcap;

/// Fields that tshark is to print, and how it separates several values of one.
const FIELDS: [&str; 10] = [
    "frame.protocols",
    "ip.proto",
    "ipv6.nxt",
    "ip.checksum.status",
    "udp.checksum.status",
    "vxlan.vni",
    "geneve.vni",
    "gre.key",
    "ipv6.flow",
    "_ws.malformed",
];

const MAC: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
const HASH: u32 = 0xabcd_ef01;

/// A UDP packet to a port that tshark makes nothing of.
fn inner() -> Vec<u8> {
    let mut packet = vec![0; 28 + 9];
    let repr = Ipv4Repr {
        src_addr: [10, 42, 0, 1].into(),
        dst_addr: [10, 42, 0, 2].into(),
        protocol: IpProtocol::UDP,
        traffic_class: 0,
        ttl: 9,
        ident: 1,
        dont_fragment: true,
        payload_len: 17,
    };
    repr.emit(&mut packet);
    let (src_port, dst_port) = (40_001, 40_002);
    UdpRepr {
        src_port,
        dst_port,
        payload_len: 9,
    }
    .emit(&mut packet[20..]);
    let pseudo_header = Ipv4Packet::new_unchecked(&packet[..]).pseudo_header(17);
    UdpPacket::new_unchecked(&mut packet[20..]).fill_checksum(pseudo_header);
    packet
}

/// Templates by what tshark must call the layers behind the outer IP header.
fn templates(builder: TemplateBuilder) -> Vec<(Template, &'static str)> {
    let vni = Vni::new(0x00ab_cdef).unwrap();
    let key = Some(GreKey(0xdead_beef));
    let [dst, src] = MAC;
    let option = [0xff, 0, 1, 1, 1, 2, 3, 4];
    [
        (builder.vxlan(vni, dst, src), "udp:vxlan:eth:ethertype"),
        (builder.vxlan_bridged(vni), "udp:vxlan:eth:ethertype"),
        (
            builder.geneve(vni, &option, dst, src),
            "udp:geneve:eth:ethertype",
        ),
        (
            builder.geneve_bridged(vni, &option),
            "udp:geneve:eth:ethertype",
        ),
        (builder.geneve_ip(vni, &[]), "udp:geneve"),
        (builder.gre(None), "gre"),
        (builder.gre(key), "gre"),
        (builder.gre_bridged(key), "gre:eth:ethertype"),
        (builder.gre_ethernet(None, dst, src), "gre:eth:ethertype"),
        (builder.ipip(), ""),
    ]
    .map(|(template, layers)| (template.unwrap(), layers))
    .to_vec()
}

fn encapsulate(template: &Template) -> Vec<u8> {
    let mut inner = inner();
    if template.is_bridged() {
        let header = [&MAC[0].0[..], &MAC[1].0, &[0x08, 0x00]].concat();
        inner.splice(0..0, header);
    }
    let stamp = Stamp {
        checksum: OuterChecksum::Inner(checksum::sum(&inner)),
        ..Stamp::new(EtherType::IPV4, inner.len()).with_flow(HASH)
    };
    let mut bytes = vec![0xff; template.len()];
    template.stamp(&mut bytes, &stamp).unwrap();
    bytes.extend(inner);
    bytes
}

/// What tshark finds in each frame: the values of `FIELDS`.
fn dissect(frames: &[Vec<u8>]) -> Vec<Vec<String>> {
    let name = format!("ringlay-encap-{}.pcap", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, pcap::write(frames)).unwrap();
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "fields", "-E", "separator=|", "-r"]);
    tshark.arg(&path);
    for preference in ["ip.check_checksum:TRUE", "udp.check_checksum:TRUE"] {
        tshark.args(["-o", preference]);
    }
    for field in FIELDS {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().expect("tshark is installed");
    fs::remove_file(&path).unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let values = |line: &str| line.split('|').map(str::to_owned).collect();
    lines.lines().map(values).collect()
}

#[test]
fn tshark_reads_every_template() {
    let ends = |a: &str, b: &str| -> [IpAddr; 2] { [a.parse().unwrap(), b.parse().unwrap()] };
    let underlays = [
        ends("192.0.2.1", "192.0.2.2"),
        ends("2001:db8::1", "2001:db8::2"),
    ];
    let mut frames = Vec::new();
    let mut expected = Vec::new();
    for [src, dst] in underlays {
        let builder = Template::builder(src, dst).ethernet(MAC[0], MAC[1]);
        for (template, layers) in templates(builder) {
            frames.push(encapsulate(&template));
            let outer = if src.is_ipv4() { "ip" } else { "ipv6" };
            let colon = if layers.is_empty() { "" } else { ":" };
            let all = format!("eth:ethertype:{outer}:{layers}{colon}ip:udp:data");
            let number = template.protocol(EtherType::IPV4).unwrap().0.to_string();
            expected.push((all, number, layers, src.is_ipv4()));
        }
    }
    let found = dissect(&frames);
    assert_eq!(found.len(), expected.len());
    for (found, (all, number, layers, is_v4)) in found.iter().zip(expected) {
        let [
            protocols,
            ip,
            ipv6,
            ip_sums,
            udp_sums,
            vxlan,
            geneve,
            _,
            label,
            malformed,
        ] = &found[..]
        else {
            panic!("{found:?}");
        };
        assert_eq!(*protocols, all);
        let number_of_outer = if is_v4 { ip } else { ipv6 };
        assert_eq!(
            number_of_outer.split(',').next(),
            Some(&number[..]),
            "{found:?}"
        );
        // 1: good. All of them.
        assert!(ip_sums.split(',').all(|status| status == "1"), "{found:?}");
        assert!(udp_sums.split(',').all(|status| status == "1"), "{found:?}");
        let inner_and_outer = if layers.starts_with("udp") { 2 } else { 1 };
        assert_eq!(udp_sums.split(',').count(), inner_and_outer);
        let vni = "11259375";
        assert_eq!(vxlan == vni, layers.contains("vxlan"), "{found:?}");
        let is_geneve = layers.contains("geneve");
        assert_eq!(
            geneve.contains("abcdef") || geneve == vni,
            is_geneve,
            "{found:?}"
        );
        assert_eq!(label.contains("abcde"), !is_v4, "{found:?}");
        assert_eq!(malformed, "");
    }
    let keys = found.iter().filter(|values| values[7].contains("deadbeef"));
    assert_eq!(keys.count(), 4, "{found:?}");
}
