//! Output that cannot be written to: a reader that has gone, a disk that is full, a descriptor that is closed. None of them
//! aborts a command or leaves anything behind.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Simulated, program, wall_clock};

/// What becomes of an output.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Output {
    Read,
    Gone,
    Full,
    Closed,
}

const ALL: [Output; 4] = [Output::Read, Output::Gone, Output::Full, Output::Closed];

/// The end of a pipe that nobody reads.
fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn stdio(output: Output) -> Stdio {
    match output {
        Output::Read | Output::Closed => Stdio::null(),
        Output::Gone => gone(),
        Output::Full => std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into(),
    }
}

/// Runs the program to its end; after a while it is asked to stop, by the signal given.
fn ends(
    words: &[&str],
    base_url: &str,
    outputs: [Output; 2],
    signal: &str,
    folder: &std::path::Path,
) -> ExitStatus {
    let [out, err] = outputs;
    let closed =
        [(out, ">&-"), (err, "2>&-")].map(|(output, how)| if output == Output::Closed { how } else { "" });
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$@\" {} {}", closed[0], closed[1]), "sh"]);
    command.arg(program().get_program()).args(words);
    command.env("BLOOIO_API_KEY", "bl_live_SIMULATED").env("BLOOIO_BASE_URL", base_url).env("TMPDIR", folder);
    command.env("BLOOIO_EXPORTER_STATE", folder.join("state.db"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdio(out))
        .stderr(stdio(err))
        .current_dir(folder)
        .spawn()
        .unwrap();
    let began = Instant::now();
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > Duration::from_secs(2) && !asked {
            asked = true;
            let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
            assert!(sent.success());
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{words:?} {outputs:?} hangs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn no_command_aborts_when_its_output_cannot_be_written_to() {
    let simulated =
        Simulated::start(blooio_exporter::simulator::scenario("steady").unwrap().world(7, wall_clock()));
    let (base_url, chat) = (simulated.base_url(), "+14155550100");
    let free = ["--web.listen-address", "127.0.0.1:0"];
    let commands: [(&[&str], &str); 9] = [
        (&["--help"], "-TERM"),
        (&["--version"], "-TERM"),
        (&["--config.check", free[0], free[1]], "-TERM"),
        (&["--no-such-flag"], "-TERM"),
        (&["inspect", chat], "-TERM"),
        (&["plan", "--chats", "10", "--messages-per-second", "1"], "-TERM"),
        (&["healthcheck", "--web.listen-address", "127.0.0.1:1"], "-TERM"),
        (&["demo", free[0], free[1]], "-HUP"),
        (&["simulate", "--simulator.listen-address", "127.0.0.1:0"], "-HUP"),
    ];
    let mut tried = 0;
    for (words, signal) in commands {
        let folder = tempfile::tempdir().unwrap();
        let usual = ends(words, &base_url, [Output::Read; 2], signal, folder.path());
        for out in ALL {
            for err in ALL {
                let status = ends(words, &base_url, [out, err], signal, folder.path());
                let about = format!("{words:?}, standard output {out:?}, standard error {err:?}: {status}");
                assert_eq!(status.signal(), None, "{about}");
                let is_lost = out == Output::Full && usual.success();
                assert_eq!(status.code(), if is_lost { Some(1) } else { usual.code() }, "{about}");
                tried += 1;
            }
        }
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{words:?} leaves {left:?}");
    }
    println!("outputs that cannot be written to: {tried} tried, no command aborted");
}

#[test]
fn the_exporter_serves_although_its_log_cannot_be_written() {
    let simulated =
        Simulated::start(blooio_exporter::simulator::scenario("steady").unwrap().world(7, wall_clock()));
    for format in ["logfmt", "json"] {
        for err in [Output::Gone, Output::Full, Output::Closed] {
            let folder = tempfile::tempdir().unwrap();
            let words =
                ["--web.listen-address", "127.0.0.1:0", "--log.level", "debug", "--log.format", format];
            let status = ends(&words, &simulated.base_url(), [Output::Read, err], "-TERM", folder.path());
            assert_eq!(status.code(), Some(0), "{format} {err:?}: {status}");
        }
    }
}
