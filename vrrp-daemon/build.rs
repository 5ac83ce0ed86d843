//! x
fn main() {
    std::fs::write(
        std::path::Path::new(&std::env::var("OUT_DIR").unwrap()).join("ebpf_object.rs"),
        "static OBJECT: &[u8] = &[];",
    )
    .unwrap();
}
