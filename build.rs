//! Links the unwinder in, which std asks the system's compiler for in any case: the dynamic linker is spared a library that
//! every push would wait for. (Backtraces are all that it is for: a panic ends this program.)

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|environment| environment == "gnu") {
        println!("cargo:rustc-link-lib=gcc_eh");
    }
}
