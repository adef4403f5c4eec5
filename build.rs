//! Compiles into the program what it is built from, for `blooio_exporter_build_info`.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/refs/heads");
    println!("cargo:rerun-if-env-changed=BLOOIO_EXPORTER_REVISION");
    let revision = std::env::var("BLOOIO_EXPORTER_REVISION")
        .ok()
        .filter(|revision| !revision.is_empty())
        .or_else(|| first_line("git", &["rev-parse", "--short=12", "HEAD"]));
    let rustc = std::env::var("RUSTC").ok().and_then(|rustc| first_line(&rustc, &["--version"]));
    let version = rustc.as_deref().and_then(|line| line.split(' ').nth(1)).unwrap_or("unknown");
    println!("cargo:rustc-env=BUILD_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    println!("cargo:rustc-env=BUILD_RUSTC={version}");
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}
