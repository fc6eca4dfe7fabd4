//! Containers of podman, with its CNI backend.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use tempfile::TempDir;

use crate::host::{Host, two_hosts};
use crate::installed::{NETWORK, inside, install};

/// A podman of its own on a host; its containers go when it is dropped.
struct Podman {
    folder: TempDir,
    netns: PathBuf,
}

impl Podman {
    fn new(host: &Host) -> Self {
        let folder = tempfile::tempdir().unwrap();
        install(folder.path(), host);
        // Limits that every machine allows.
        let config = format!(
            "[network]\nnetwork_backend = \"cni\"\n\
             cni_plugin_dirs = [\"{0}/bin\"]\nnetwork_config_dir = \"{0}/net.d\"\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n\
             [containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n",
            folder.path().display()
        );
        fs::write(folder.path().join("containers.conf"), config).unwrap();
        let netns = host.netns.path();
        Self { folder, netns }
    }

    fn run(&self, arguments: &str) -> Output {
        let folder = self.folder.path().display();
        let mut command = inside(&self.netns);
        command.env("CONTAINERS_CONF", format!("{folder}/containers.conf"));
        let places = format!(
            "podman --root {folder}/root --runroot {folder}/runroot --tmpdir {folder}/tmp \
             --storage-driver vfs {arguments}"
        );
        command.args(places.split_whitespace()).output().unwrap()
    }

    /// What `podman run` says, which must succeed.
    fn container(&self, options: &str, command: &str) -> String {
        let rootfs = self.folder.path().join("rootfs");
        let rootfs = rootfs.display();
        let run = format!("run --network {NETWORK} {options} --rootfs {rootfs} {command}");
        let output = self.run(&run);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{run}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.run("rm --force --time 0 --all");
    }
}

#[test]
fn containers_of_podman_are_on_the_overlay() {
    let [one, two] = two_hosts();
    let (near, far) = (Podman::new(&one), Podman::new(&two));
    far.container(
        "--detach --name server --ip 10.42.2.77",
        "/bin/httpd -f -h /etc",
    );
    let [server] = two.attachments().try_into().unwrap();
    let addresses = server["addresses"].as_array().unwrap();
    assert_eq!(addresses[0], "10.42.2.77/32", "what was asked for");
    let said = near.container("--rm", "/bin/wget -q -O - http://10.42.2.77/hello");
    assert_eq!(said, "hello from here\n");
    one.assert_clean();
    let removed = far.run("rm --force --time 0 server");
    assert!(removed.status.success(), "{removed:?}");
    two.assert_clean();
}
