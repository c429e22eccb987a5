//! Compiles the `.proto` files without `protoc`, and keeps the descriptor set for reflection.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const SERDE: &str = "#[derive(::serde::Serialize, ::serde::Deserialize)]";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let own = [
        "proto/portolan/v1/topology.proto",
        "proto/portolan/v1/ownership.proto",
        "proto/portolan/v1/notes.proto",
    ];
    let own = protox::compile(own, ["proto"])?;
    // `compile_fds` ignores `file_descriptor_set_path`, so the set is written here.
    std::fs::write(out.join("portolan_v1.bin"), own.encode_to_vec())?;
    tonic_prost_build::configure()
        .message_attribute(".portolan.v1", SERDE)
        .message_attribute(".portolan.v1", "#[serde(default)]")
        // Ordered, so that the JSON of one answer is one text.
        .btree_map(".portolan.v1")
        .compile_fds(own)?;

    let foreign = protox::compile(["proto/netobserv/flow.proto"], ["proto"])?;
    tonic_prost_build::configure().build_client(false).build_server(false).compile_fds(foreign)?;
    Ok(())
}
