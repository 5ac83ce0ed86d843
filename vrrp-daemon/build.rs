//! Embeds the XDP program that `cargo xtask build-ebpf` has built: generates `ebpf_object.rs` with the bytes.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=LBD_EBPF_OBJECT");
    let object = env::var_os("LBD_EBPF_OBJECT").map_or_else(
        || {
            // Not the one that this script was compiled in: a copy of the target directory has that one's script.
            let package = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
            Path::new(&package).join("../target/bpf/lb-ebpf.o")
        },
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", object.display());
    let code = match object.canonicalize() {
        Ok(object) => format!(
            "/// The XDP program, as an ELF object.\n\
             static OBJECT: &[u8] = ::aya::include_bytes_aligned!({:?});\n",
            object.display().to_string()
        ),
        Err(error) => {
            println!(
                "cargo::warning=lbd is built without its XDP program ({}: {error}) and will not run: build that first \
                 with `cargo xtask build-ebpf`",
                object.display()
            );
            "/// The XDP program, as an ELF object: not built, hence empty.\n\
             static OBJECT: &[u8] = &[];\n"
                .to_owned()
        }
    };
    let generated = Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("ebpf_object.rs");
    fs::write(generated, code).expect("cargo's output folder is writable");
}
