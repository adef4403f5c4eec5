//! Answers made to exhaust memory.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::{Compression, write::GzEncoder};

use super::{FakeApi, ok};
use crate::support::Process;

/// The most memory that the process may ever have had, in bytes.
const MOST: u64 = 64 << 20;
const BODY: usize = (8 << 20) - 64;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// `start`, then `unit` as often as it fits, then `end`.
fn filled(start: &str, unit: &str, end: &str) -> Vec<u8> {
    let times = (BODY - start.len() - end.len()) / unit.len();
    format!("{start}{}{end}", unit.repeat(times)).into_bytes()
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let rows = filled("{\"chats\":[", "{},", "{}]}");
    let escaped = filled("{\"chats\":[{\"id\":\"+1\",\"x\":\"", "\\u00e9", "\"}]}");
    let id = filled("{\"chats\":[{\"id\":\"", "\\u00e9", "\"}]}");
    let mut invalid = filled("{\"chats\":[{\"id\":\"+1\",\"x\":\"", "x", "\"}]}");
    invalid.iter_mut().skip(40).step_by(2).for_each(|byte| {
        if *byte == b'x' {
            *byte = 0xff;
        }
    });
    vec![
        ("empty rows", ok(&rows, "")),
        ("empty rows, compressed", ok(&gzip(&rows), "Content-Encoding: gzip\r\n")),
        ("rows that are numbers", ok(&filled("{\"chats\":[", "1,", "1]}"), "")),
        ("rows that are null", ok(&filled("{\"chats\":[", "null,", "null]}"), "")),
        ("broken rows, and no end", ok(&filled("{\"chats\":[", "{\"id\":1},", "x"), "")),
        ("open lists", ok(&filled("{\"chats\":[{\"id\":\"+1\",\"x\":", "[", ""), "")),
        ("nested lists", ok(&nested(), "")),
        ("escapes in a text", ok(&escaped, "")),
        ("escapes in an id", ok(&id, "")),
        ("bytes that are not UTF-8", ok(&invalid, "")),
        ("a number of many digits", ok(&filled("{\"chats\":[{\"message_count\":", "9", "}]}"), "")),
        ("many keys", ok(&filled("{\"chats\":[{", "\"a\":1,", "\"id\":\"+1\"}]}"), "")),
        ("a gzip bomb", ok(&gzip(&vec![b' '; 256 << 20]), "Content-Encoding: gzip\r\n")),
        (
            "a large error",
            [&b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\n"[..], &vec![b'x'; 64 << 20]].concat(),
        ),
    ]
}

fn nested() -> Vec<u8> {
    let depth = BODY / 2 - 64;
    format!("{{\"chats\":[{{\"id\":\"+1\",\"x\":{}{}}}]}}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
}

#[test]
fn no_answer_takes_more_than_64_mib_whatever_it_holds() {
    let current: Arc<Mutex<Vec<u8>>> = Arc::default();
    let served = Arc::clone(&current);
    // Several accounts at a time, all of whose APIs misbehave.
    let api =
        FakeApi::start(move |target| match target.contains("offset=") && !target.contains("offset=0") {
            // The end of a list whose first page could be used.
            true => ok(b"{\"chats\":[]}", ""),
            false => served.lock().unwrap().clone(),
        });
    for (name, bomb) in bombs() {
        let sent = bomb.len();
        *current.lock().unwrap() = bomb;
        let folder = tempfile::tempdir().unwrap();
        let accounts: String = (0..4)
            .map(|n| {
                let key = folder.path().join(format!("key{n}"));
                std::fs::write(&key, format!("bl_live_SIMULATED_{n}")).unwrap();
                std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
                format!("- {{name: a{n}, api_key_file: key{n}, base_url: \"{}\"}}\n", api.base_url())
            })
            .collect();
        let config = folder.path().join("config.yml");
        std::fs::write(&config, format!("accounts:\n{accounts}")).unwrap();
        let mut command = crate::support::program();
        command
            .args([
                "--web.listen-address",
                "127.0.0.1:0",
                "--collector.interval",
                "200ms",
                "--api.budget",
                "50",
            ])
            .arg("--config.file")
            .arg(&config)
            .arg("--state.path")
            .arg(folder.path().join("state.db"));
        let exporter = Process::start(command);
        exporter.wait_for(name, |page| {
            (0..4).all(|n| {
                let account = format!("account=\"a{n}\"");
                page.sum_where("blooio_api_requests_total", &["list_chats", &account]) >= 1.0
            })
        });
        // Where the list can be used, what follows are the same bombs in other places.
        std::thread::sleep(Duration::from_secs(2));
        let peak = exporter.peak_memory();
        println!("{name}: {sent} bytes sent, peak {:.1} MiB", peak as f64 / f64::from(1 << 20));
        assert!(peak < MOST, "{name}: {peak}");
        exporter.stop();
    }
}
