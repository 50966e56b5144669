//! Options of the linker for the released program.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    // The loader of glibc 2.36 and later reads relocations from a bitmap, which is a thirtieth of a list.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    // Arrow's code is the same for many types, such as for BIGINT and each TIMESTAMP. The linker that comes with Rust keeps one.
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
