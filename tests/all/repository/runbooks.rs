//! Every shell command of the runbooks runs as it is written there.

#![allow(clippy::print_stdout, reason = "says how many commands ran")]

use std::path::Path;
use std::process::Command;

use blooio_exporter::simulator::{self, Tuning};

use crate::support::{Exporter, Simulated, eventually, in_repository, wall_clock};

/// The shell blocks of a text, each with the heading above it.
fn shell_blocks(text: &str) -> Vec<(String, String)> {
    let (mut heading, mut open, mut blocks) = (String::new(), false, Vec::<(String, String)>::new());
    for line in text.lines() {
        match line {
            "```sh" => {
                open = true;
                blocks.push((heading.clone(), String::new()));
            }
            "```" => open = false,
            _ if open => {
                let (_, block) = blocks.last_mut().unwrap();
                *block += &format!("{line}\n");
            }
            _ => {
                if let Some(chapter) = line.strip_prefix("## ") {
                    heading = chapter.to_owned();
                }
            }
        }
    }
    blocks
}

#[test]
fn every_command_runs_as_written() {
    let simulated = Simulated::start(simulator::scenario("demo").unwrap().world(7, wall_clock()));
    let line = simulated.world().lines()[0].clone();
    // Something always waits, so that there is an age to look at.
    simulated.world().switch_on("stuck", Tuning::line(&line)).unwrap();
    let exporter = Exporter::start(&simulated, &[]);
    let needed = [
        "blooio_outbound_failed_messages_total",
        "blooio_outbound_fallback_messages_total",
        "blooio_outbound_open_oldest_age_seconds",
        "blooio_device_probes_total",
        "blooio_line_active",
    ];
    eventually("some of everything", || {
        let page = exporter.page();
        needed.iter().all(|family| page.sum(family) > 0.0).then_some(())
    });
    let chat = simulated.world().chat_ids()[0].clone();
    let line = simulated.world().lines()[0].clone();
    let programs = Path::new(env!("CARGO_BIN_EXE_blooio-exporter")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let key = simulated.world().setup().key.clone();

    let text = std::fs::read_to_string(in_repository("alerts/runbooks.md")).unwrap();
    let blocks = shell_blocks(&text);
    for (heading, block) in &blocks {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", block])
            .env("PATH", &path)
            .env("CHAT", &chat)
            .env("LINE", &line)
            .env("BLOOIO_EXPORTER", exporter.address().to_string())
            .env("BLOOIO_API_KEY", &key)
            .env("BLOOIO_BASE_URL", simulated.base_url())
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{heading}: {:?}\n{block}{complaints}", output.status);
        assert!(!output.stdout.is_empty(), "{heading} shows nothing:\n{block}");
    }
    assert!(blocks.len() >= 15, "{} blocks", blocks.len());
    println!("{} shell blocks run as written", blocks.len());
}
