//! Containers of containerd and runc, with networks as `ctr run --cni` sets them up.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::host::{Host, PATIENCE, two_hosts};
use crate::installed::{inside, install};
use crate::traffic::{NAMED, large_datagram, name_server};

/// A containerd of its own on a host, stopped when dropped.
struct Containerd {
    folder: TempDir,
    daemon: Child,
    netns: PathBuf,
}

impl Containerd {
    fn start(host: &Host) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        install(folder.path(), host);
        let config = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{0}/sock\"\n",
            folder.path().display()
        );
        fs::write(at("config.toml"), config).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        // Not by `ip netns exec`, which hides the control groups.
        let daemon = inside(&host.netns.path())
            .args(["containerd", "--config"])
            .arg(at("config.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let this = Self {
            folder,
            daemon,
            netns: host.netns.path(),
        };
        let deadline = Instant::now() + PATIENCE;
        while !this.ctr("version").status.success() {
            let log = fs::read_to_string(this.at("log")).unwrap();
            assert!(Instant::now() < deadline, "no containerd:\n{log}");
            thread::sleep(Duration::from_millis(50));
        }
        this
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `ctr` on the host. It is the client that calls plugins, from directories that are fixed.
    fn ctr(&self, arguments: &str) -> Output {
        let folder = self.folder.path().display();
        let script = format!(
            "mkdir -p /etc/cni/net.d /opt/cni/bin && \
             mount --bind {folder}/net.d /etc/cni/net.d && \
             mount --bind {folder}/bin /opt/cni/bin && \
             exec ctr --address {folder}/sock {arguments}"
        );
        let mut command = inside(&self.netns);
        command.args(["unshare", "--mount", "sh", "-c", &script]);
        command.output().unwrap()
    }

    /// Runs a container until its command ends; returns what it said.
    fn run(&self, id: &str, command: &str) -> Result<String, String> {
        let rootfs = self.at("rootfs");
        let run = format!(
            "run --rm --cni --rootfs {} {id} {command}",
            rootfs.display()
        );
        let output = self.ctr(&run);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stdout) + &text(&output.stderr)),
        }
    }

    /// Starts a container that goes on.
    fn start_detached(&self, id: &str, command: &str) {
        let rootfs = self.at("rootfs");
        let run = format!("run -d --cni --rootfs {} {id} {command}", rootfs.display());
        let output = self.ctr(&run);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
    }

    fn remove(&self, id: &str) {
        self.ctr(&format!("task kill --signal 9 {id}"));
        let deadline = Instant::now() + PATIENCE;
        while !self.ctr(&format!("task rm {id}")).status.success() {
            assert!(Instant::now() < deadline, "task {id} stays");
            thread::sleep(Duration::from_millis(50));
        }
        assert!(self.ctr(&format!("container rm {id}")).status.success());
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(self.at("log")).unwrap_or_default();
            eprintln!("log of containerd:\n{log}");
        }
        for id in ["server", "neighbour", "peer", "client"] {
            self.ctr(&format!("task kill --signal 9 {id}"));
            self.ctr(&format!("task rm --force {id}"));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        // Only those that are empty go.
        let places = ["/etc/cni/net.d", "/etc/cni", "/opt/cni/bin", "/opt/cni"];
        places.iter().for_each(|place| drop(fs::remove_dir(place)));
    }
}

#[test]
fn containers_of_containerd_are_on_the_overlay() {
    let [one, two] = two_hosts();
    let (near, far) = (Containerd::start(&one), Containerd::start(&two));
    far.start_detached("server", "/bin/httpd -f -h /etc");
    near.start_detached("neighbour", "/bin/httpd -f -h /etc");
    near.start_detached("peer", "/bin/httpd -f -h /etc");
    let peer = one.attachment("default-peer");
    let peer = Path::new(peer["netns"].as_str().unwrap());
    for (host, name) in [(&two, "server"), (&one, "neighbour")] {
        let server = host.attachment(&format!("default-{name}"));
        for address in server["addresses"].as_array().unwrap() {
            let address = address.as_str().unwrap().split('/').next().unwrap();
            let ping = format!("/bin/ping -c 3 -W 3 {address}");
            let said = near.run("client", &ping).unwrap();
            assert!(said.contains(" 0% packet loss"), "{said}");
            let address: IpAddr = address.parse().unwrap();
            let url = format!("http://{}/hello", SocketAddr::new(address, 80));
            let said = near.run("client", &format!("/bin/wget -q -O - {url}"));
            assert_eq!(said.unwrap(), "hello from here\n", "{url}");
            let netns = Path::new(server["netns"].as_str().unwrap());
            let said = name_server(netns, address, || {
                let lookup = format!("/bin/nslookup -type=a ringlay.test {address}");
                near.run("client", &lookup).unwrap()
            });
            assert!(said.contains(NAMED), "{said}");
            large_datagram(peer, netns, address);
        }
    }
    let shown = near.run("client", "/bin/ip address show eth0").unwrap();
    assert!(
        shown.contains("inet 10.42.1.") && shown.contains("mtu 1450"),
        "{shown}"
    );
    let started = [
        (&far, &two, "server"),
        (&near, &one, "neighbour"),
        (&near, &one, "peer"),
    ];
    for (runtime, host, name) in started {
        runtime.remove(name);
        // A container that was started in the background has no client that would detach it.
        host.ringlay(&format!("attachment delete default-{name}"));
    }
    one.assert_clean();
    two.assert_clean();
}
