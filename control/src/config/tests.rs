use std::{fs, net::IpAddr, path::Path};

use super::*;

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 77, 1));

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/config")
        .join(folder);
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    files
}

fn local(config: &Config) -> IpAddr {
    match config.settings.local {
        Local::Address(address) => address,
        Local::Device(_) => LOCAL,
    }
}

fn load(file: &Path) -> Result<(Config, Rib), ConfigError> {
    let text = fs::read_to_string(file).unwrap();
    let config = Config::parse(Path::new(file.file_name().unwrap()), text)?;
    let rib = config.rib(local(&config))?;
    Ok((config, rib))
}

/// Each `bad/NAME.toml` is refused with exactly the message in `bad/NAME.txt`.
#[test]
fn bad_files_are_refused_with_one_clear_message() {
    let files = files("bad");
    assert!(files.len() > 25, "the cases are gone");
    let mut wrong = Vec::new();
    for file in files {
        let expected = fs::read_to_string(file.with_extension("txt")).unwrap_or_default();
        let message = match load(&file) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        if message != expected.trim_end() {
            wrong.push(format!("expected {expected}     got {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn good_files_survive_being_printed() {
    let files = files("good");
    assert!(!files.is_empty());
    for file in files {
        let (config, rib) = load(&file).unwrap();
        let printed = print(&config.settings, &rib);
        let again = Config::parse(Path::new("printed"), printed.clone()).unwrap();
        assert_eq!(again.settings, config.settings);
        let again_rib = again.rib(local(&again)).unwrap();
        assert!(rib.iter_all().eq(again_rib.iter_all()), "{printed}");
        assert_eq!(print(&again.settings, &again_rib), printed);
    }
}

#[test]
fn how_workers_wait_is_read_and_printed() {
    let dataplane = |keys: &str| {
        let text = format!("underlay.device = 'eth0'\n[dataplane]\n{keys}\n");
        let config = Config::parse(Path::new("x"), text).unwrap();
        let printed = print(&config.settings, &Rib::new(LOCAL));
        let lines = printed.lines().map(str::to_owned);
        let shown: Vec<_> = lines
            .filter(|line| line.starts_with("poll") || line.starts_with("spin"))
            .collect();
        (config.settings.poll, shown.join(" "))
    };
    let adaptive = |micros| Poll::Adaptive {
        spin: Duration::from_micros(micros),
    };
    for (keys, poll, shown) in [
        ("", adaptive(50), "poll = \"adaptive\" spin = \"50us\""),
        (
            "spin = '0'",
            adaptive(0),
            "poll = \"adaptive\" spin = \"0\"",
        ),
        (
            "spin = '1ms'",
            adaptive(1000),
            "poll = \"adaptive\" spin = \"1ms\"",
        ),
        (
            "poll = 'adaptive'\nspin = '20us'",
            adaptive(20),
            "poll = \"adaptive\" spin = \"20us\"",
        ),
        ("poll = 'busy'", Poll::Busy, "poll = \"busy\""),
        (
            "poll = 'interrupt'",
            Poll::Interrupt,
            "poll = \"interrupt\"",
        ),
    ] {
        assert_eq!(dataplane(keys), (poll, shown.to_owned()), "{keys}");
    }
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let text = "underlay.address = '192.168.77.1'\n\
                [[network]]\nname = 'blue'\nvni = 42\n\
                [[port]]\nnetwork = 'blue'\ndevice = 'rl0'\n";
    let config = Config::parse(Path::new("x"), text.to_owned()).unwrap();
    assert_eq!(config.settings.workers, Workers::Auto);
    assert_eq!(config.settings.driver, Driver::Auto);
    let spin = Duration::from_micros(50);
    assert_eq!(config.settings.poll, Poll::Adaptive { spin });
    assert!(!config.settings.accept_unknown_vteps);
    let [Object::Network(network), Object::Port(port)] = &config.objects[..] else {
        panic!("{:?}", config.objects)
    };
    assert_eq!(network.encap.port(), Some(4789));
    assert_eq!((network.mtu, network.mac), (None, None));
    assert_eq!(
        (port.name.as_str(), port.queues, port.routes),
        ("rl0", None, true)
    );
}

/// The files in the manifest are literal blocks of YAML: indented lines behind `NAME.toml: |`.
#[test]
fn the_nodes_of_the_kubernetes_manifest_are_good() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes.yaml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let blocks: Vec<_> = manifest.split(".toml: |\n").skip(1).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let lines = block
            .lines()
            .take_while(|line| line.is_empty() || line.starts_with("    "));
        let text: String = lines
            .map(|line| format!("{}\n", line.trim_start()))
            .collect();
        let config = Config::parse(Path::new("manifest"), text).unwrap();
        let Local::Address(local) = config.settings.local else {
            panic!("{:?}", config.settings.local);
        };
        config.rib(local).unwrap();
        assert_eq!(config.settings.pools.len(), 1);
    }
}
