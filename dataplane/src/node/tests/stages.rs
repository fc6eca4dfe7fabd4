//! The time and frames of each node, and that measuring them changes nothing.

use super::*;
use crate::stage::{Stage, StageStats};

impl Rig {
    /// The stages that were called, with their calls and frames.
    fn called(&self) -> Vec<(Stage, u64, u64)> {
        let read = |&stage| (stage, self.counters.stages.read(stage));
        let called = |(_, it): &(Stage, StageStats)| it.calls > 0;
        let stages = Stage::ALL.iter().map(read).filter(called);
        stages
            .map(|(stage, it)| {
                assert!(it.cycles > 0, "{stage:?} takes time");
                (stage, it.calls, it.frames)
            })
            .collect()
    }
}

#[test]
fn nothing_is_counted_unless_the_clock_runs() {
    let mut rig = Rig::new();
    rig.send_from_port(&udp4("10.42.1.9", "10.42.2.9", 64, b"x"));
    assert_eq!(rig.called(), []);
}

#[test]
fn each_node_counts_its_frames() {
    let mut rig = Rig::new();
    rig.counters.stages.start();
    let out = udp4("10.42.1.9", "10.42.2.9", 64, b"x");
    let expired = udp4("10.42.1.9", "10.42.2.9", 1, b"x");
    let frames = [&out, &out, &expired].map(|it| rig.frame(Ingress::Port(PORT), it));
    let (back, sent) = rig.run(frames);
    assert_eq!((back.len(), sent.len()), (1, 2));
    assert_eq!(
        rig.called(),
        [
            (Stage::Dispatch, 1, 3),
            (Stage::IpInput, 1, 3),
            // Once for what came in, once for the error about one of them.
            (Stage::IpLookup, 2, 4),
            (Stage::TunnelEncap, 1, 2),
            (Stage::IcmpError, 1, 1),
            (Stage::Send, 1, 3),
        ]
    );
}

#[test]
fn frames_from_tunnels_are_merged_in_a_stage_of_their_own() {
    let mut rig = Rig::new();
    rig.counters.stages.start();
    let inside = udp4("10.42.2.9", "10.42.1.9", 64, &[7; 100]);
    let mut train = rig.frame(
        Ingress::Underlay(UNDERLAY),
        &vxlan_ip4(&inside).repeat(BATCH_SIZE + 1),
    );
    train.meta.remote = SocketAddr::new(IpAddr::V4(PEER_VTEP), 55_555);
    train.meta.segment_size = vxlan_ip4(&inside).len() as u16;
    rig.run([train]);
    let called = rig.called();
    let of = |wanted| called.iter().find(|(stage, ..)| *stage == wanted);
    assert_eq!(of(Stage::Coalesce), Some(&(Stage::Coalesce, 1, 1)));
    assert!(of(Stage::VxlanDecap).is_some() && of(Stage::UplinkInput).is_none());
}

/// Everything goes the same way while it is measured.
#[test]
fn measuring_changes_nothing() {
    let run = |measured: bool| {
        let mut rig = Rig::new();
        if measured {
            rig.counters.stages.start();
        }
        let inside = udp4("10.42.2.9", "10.42.1.9", 64, b"inside");
        let good = outside(&vxlan_ip4(&inside));
        let broken = outside(&vxlan_ip4(&inside)[..9]);
        let frames = [
            (Ingress::Uplink(UNDERLAY), good.clone()),
            (Ingress::Uplink(UNDERLAY), vec![0; 40]),
            (
                Ingress::Port(PORT),
                udp4("10.42.1.9", "10.42.2.9", 64, b"x"),
            ),
            (Ingress::Uplink(UNDERLAY), broken),
            (Ingress::Uplink(UNDERLAY), good),
        ];
        let frames = frames.map(|(ingress, data)| rig.frame(ingress, &data));
        let (ports, underlays) = rig.run(frames);
        let data = |frames: &[Frame]| frames.iter().map(|it| it.data().to_vec()).collect();
        let out: [Vec<Vec<u8>>; 2] = [data(&ports), data(&underlays)];
        let drops: Vec<_> = DropReason::ALL.iter().map(|&it| rig.drops(it)).collect();
        (out, drops, rig.called())
    };
    let (out, drops, called) = run(true);
    assert_eq!((out.clone(), drops.clone(), vec![]), run(false));
    assert_eq!(out[1].len(), 1);
    assert!(!out[0].is_empty() && drops.iter().sum::<u64>() == 2);
    assert!(called.contains(&(Stage::UplinkInput, 1, 4)), "{called:?}");
    assert!(called.contains(&(Stage::Coalesce, 1, 3)), "{called:?}");
}

/// A tunnel frame as an uplink hands it over.
fn outside(datagram: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(PEER_MAC.0, OUR_MAC.0)
        .ipv4(PEER_VTEP.octets(), OUR_VTEP.octets(), 64)
        .udp(50_000, 4789)
        .write(&mut frame, datagram)
        .unwrap();
    frame
}
