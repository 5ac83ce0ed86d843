//! x
fn main() {
    std::fs::write(
        std::path::Path::new(&std::env::var("OUT_DIR").unwrap()).join("ebpf_object.rs"),
        "/// x\nstatic OBJECT: &[u8] = aya::include_bytes_aligned!(\"/work/main/target/bpf/lb-ebpf.o\");",
    )
    .unwrap();
}
