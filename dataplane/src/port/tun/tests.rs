use std::fs;
use std::process::Command;

use super::*;

fn config(name: &str) -> TunConfig {
    let (name, netns, offloads) = (name.to_owned(), None, TunOffloads::NONE);
    TunConfig {
        name,
        netns,
        queues: 2,
        mtu: 1_400,
        offloads,
        life: Life::Queues,
    }
}

fn in_new_namespace(test: impl FnOnce() + Send) {
    netns::run_in_new(test).expect("this test needs root");
}

fn setting(device: &TunDevice, file: &str) -> String {
    let path = format!("/proc/sys/net/ipv6/conf/{}/{file}", device.name);
    fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn a_device_lives_as_long_as_its_queues() {
    in_new_namespace(|| {
        let mut device = open(&config("rl%d")).unwrap();
        assert_eq!((device.name.as_str(), device.queues.len()), ("rl0", 2));
        assert_eq!(link::index("rl0").unwrap(), device.index);
        device.queues.pop();
        assert!(link::index("rl0").is_ok());
        device.queues.pop();
        assert!(link::index("rl0").is_err());
    });
}

#[test]
fn a_device_is_up_with_its_mtu_and_without_addresses_of_its_own() {
    in_new_namespace(|| {
        let device = open(&config("rl0")).unwrap();
        assert_eq!(setting(&device, "mtu"), "1400");
        assert_eq!(setting(&device, "addr_gen_mode"), "1");
        // Each line is an address of a device.
        let addresses = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        assert!(!addresses.contains("rl0"), "{addresses}");
        let mut adopted = tun::Configuration::default();
        adopted
            .raw_fd(device.queues[0].as_raw_fd())
            .close_fd_on_drop(false)
            .tun_name("rl0");
        assert_eq!(tun::create(&adopted).unwrap().mtu().unwrap(), 1_400);
    });
}

#[test]
fn packets_wait_in_the_devices_own_queues_only() {
    in_new_namespace(|| {
        let device = open(&config("rl0")).unwrap();
        let show = ["-oneline", "link", "show", &device.name];
        let shown = Command::new("ip").args(show).output().unwrap().stdout;
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains(" qdisc noqueue "), "{shown}");
        assert!(shown.contains(" qlen 5000"), "{shown}");
    });
}

#[test]
fn offloads_are_granted_one_by_one() {
    in_new_namespace(|| {
        let mut wanted = config("rl0");
        // Super-frames cannot be had without checksums.
        wanted.offloads = TunOffloads::TSO4;
        let device = open(&wanted).unwrap();
        assert!(!device.offloads.contains(TunOffloads::CSUM));
        drop(device);
        wanted.offloads = TunOffloads::CSUM | TunOffloads::TSO4 | TunOffloads::TSO6;
        let device = open(&wanted).unwrap();
        assert_eq!(device.offloads, wanted.offloads);
        assert!(device.refused.is_empty());
    });
}

#[test]
fn a_name_in_use_is_an_error_that_says_how_to_look() {
    in_new_namespace(|| {
        let first = open(&config("rl0")).unwrap();
        for name in ["rl0", "lo"] {
            let error = open(&config(name)).unwrap_err();
            assert!(matches!(error, OpenTunError::InUse { .. }), "{error}");
            assert!(
                error
                    .to_string()
                    .contains(&format!("ip link delete {name}"))
            );
        }
        drop(first);
        open(&config("rl0")).unwrap();
    });
}

#[test]
fn a_device_appears_in_the_namespace_asked_for() {
    in_new_namespace(|| {
        let thread = fs::read_link("/proc/thread-self").unwrap();
        let here = PathBuf::from("/proc").join(thread).join("ns/net");
        let elsewhere = netns::run_in_new(|| {
            let mut config = config("rl0");
            config.netns = Some(here);
            let device = open(&config).unwrap();
            assert!(link::index("rl0").is_err());
            device
        });
        assert_eq!(link::index("rl0").unwrap(), elsewhere.unwrap().index);
    });
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_opened() {
    for name in ["", "sixteen-bytes-xx", "a/b", "a b", "a:b"] {
        assert!(
            matches!(open(&config(name)), Err(OpenTunError::InvalidName { .. })),
            "{name}"
        );
    }
    for mtu in [0, 67, 65_536] {
        let config = TunConfig {
            mtu,
            ..config("rl0")
        };
        assert!(matches!(
            open(&config),
            Err(OpenTunError::InvalidMtu { .. })
        ));
    }
    let none = TunConfig {
        queues: 0,
        ..config("rl0")
    };
    assert!(matches!(open(&none), Err(OpenTunError::NoQueues { .. })));
    let nowhere = TunConfig {
        netns: Some("/nonexistent".into()),
        ..config("rl0")
    };
    let error = open(&nowhere).unwrap_err();
    assert!(matches!(error, OpenTunError::Netns { .. }));
    assert!(error.to_string().contains("/nonexistent"));
}

#[test]
fn too_many_queues_are_an_error_that_names_the_limit() {
    in_new_namespace(|| {
        let error = open(&TunConfig {
            queues: 300,
            ..config("rl0")
        })
        .unwrap_err();
        let OpenTunError::TooManyQueues {
            granted,
            asked: 300,
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(granted, 256);
        assert!(link::index("rl0").is_err(), "no device is left behind");
    });
}

#[test]
fn a_kept_device_outlives_its_queues_and_is_taken_up_again() {
    in_new_namespace(|| {
        let mut wanted = config("rl0");
        wanted.life = Life::Kept;
        let first = open(&wanted).unwrap();
        let index = first.index;
        drop(first);
        assert_eq!(link::index("rl0").unwrap(), index, "it is still there");
        let error = open(&wanted).unwrap_err();
        assert!(matches!(error, OpenTunError::InUse { .. }), "{error}");
        wanted.life = Life::Resumed;
        let again = open(&wanted).unwrap();
        assert_eq!((again.index, again.queues.len()), (index, 2));
        drop(again.queues);
        again.keeper.expect("kept").release().unwrap();
        assert!(link::index("rl0").is_err(), "let go, it vanishes");
    });
}

#[test]
fn a_device_that_is_gone_is_made_anew() {
    in_new_namespace(|| {
        let mut wanted = config("rl0");
        wanted.life = Life::Resumed;
        let device = open(&wanted).unwrap();
        assert_eq!(link::index("rl0").unwrap(), device.index);
        drop(device.queues);
        device.keeper.expect("kept").release().unwrap();
    });
}

#[test]
fn a_watch_sees_from_outside_when_a_device_goes() {
    let (device, watch) = netns::run_in_new(|| {
        let config = TunConfig {
            life: Life::Kept,
            ..config("rl0")
        };
        let device = open(&config).unwrap();
        let watch = device.keeper.as_ref().expect("kept").watch().unwrap();
        (device, watch)
    })
    .expect("this test needs root");
    assert!(watch.is_there());
    device.keeper.as_ref().expect("kept").release().unwrap();
    assert!(watch.is_there(), "its queues are open");
    drop(device);
    assert!(!watch.is_there());
}
