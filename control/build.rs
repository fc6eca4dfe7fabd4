//! Compiles the protocol buffers, without a `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const PROTOS: &[&str] = &[
    "attach",
    "fdb",
    "mtu",
    "network",
    "neighbour",
    "node",
    "port",
    "route",
    "state",
    "stats",
    "vtep",
];

fn main() -> Result<(), Box<dyn Error>> {
    let files = PROTOS.iter().map(|name| format!("ringlay/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("ringlay.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
