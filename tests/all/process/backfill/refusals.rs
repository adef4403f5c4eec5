//! What is refused, in which words, and what a refusal leaves behind: nothing.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{HOUR, RUN_LIMIT, Setting, days, said, state, world};
use crate::support::{outcome, wall_clock};

fn refused(output: &Output, code: i32, words: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{words} is not in: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn what_makes_no_sense_or_comes_too_early_is_refused_and_leaves_nothing_behind() {
    let setting = Setting::new(world(11, |setup| setup.chats = 5));
    let file = setting.path("file");
    std::fs::write(&file, "x").unwrap();
    let path = |path: &Path| path.display().to_string();
    let page = |text: &str| {
        let page = setting.path("page");
        std::fs::write(&page, text).unwrap();
        path(&page)
    };
    let baseline = |account: &str, at: i64| {
        page(&format!(
            "blooio_collection_baseline_timestamp_seconds{{account=\"{account}\"}} {}\n",
            at as f64 / 1_000.0
        ))
    };
    for (more, code, words) in [
        (vec!["--from", "soon"], 1, "neither a duration before now such as 30d"),
        (vec!["--from", "3M"], 1, "unit of a month"),
        (vec!["--step", "10m"], 1, "--step: 10m is not a number of whole seconds from 15s to 5m"),
        (vec!["--step", "1s"], 1, "15s to 5m"),
        (vec!["--step", "often"], 1, "write it as 1m"),
        (vec!["--label", "no"], 1, "write it as job=blooio"),
        (vec!["--label", "line=x"], 1, "line is a label of the exporter's own"),
        (vec!["--label", "job=x"], 1, "job is given twice"),
        (vec!["--from", "2h"], 1, "is not before the end of the range"),
        (vec!["--from", "2099-01-01"], 1, "is not before the end of the range"),
        (vec!["--to", "1h"], 1, "overlaps with the counters of the running exporter"),
        (vec!["--from", "30d", "--to", "31d"], 1, "is not before the end of the range"),
        (vec!["--account", "other"], 1, "is not one of default"),
        (vec!["--api.budget", "0"], 1, "api.budget"),
        (vec!["--from-metrics", "nowhere"], 1, "cannot be read"),
    ] {
        refused(&setting.run("out", &more), code, words);
        assert!(!setting.path("out").exists(), "{more:?} leaves nothing behind");
    }
    let early = baseline("default", wall_clock() - 2 * HOUR);
    refused(&setting.run("out", &["--from-metrics", &early]), 1, "wait another 1h");
    let other = baseline("other", wall_clock() - 9 * HOUR);
    refused(&setting.run("out", &["--from-metrics", &other]), 1, "holds no first start of it");
    let nothing = page("blooio_up 1\n");
    refused(&setting.run("out", &["--from-metrics", &nothing]), 1, "save the metrics page of the exporter");
    refused(&setting.run("file", &[]), 1, "cannot be read");
    refused(&setting.run("no/where", &[]), 1, "cannot be made");
    std::fs::create_dir(setting.path("full")).unwrap();
    std::fs::write(setting.path("full").join("letter.txt"), "x").unwrap();
    refused(&setting.run("full", &[]), 1, "is not empty");
    refused(&setting.run("out", &["--state.path", "nowhere.db"]), 1, "nowhere.db does not exist");
    let mut command = setting.command("out", &[]);
    command.env("BLOOIO_API_KEY", "bl_live_WRONG");
    refused(&outcome(command.spawn().unwrap(), RUN_LIMIT, &command), 1, "check the API key");
    assert!(!setting.path("out").exists());
    let good = baseline("default", setting.baseline);
    setting.fill("out", &["--from-metrics", &good, "--state.path", "nowhere.db"]);
}

#[test]
fn a_label_of_the_target_is_asked_for() {
    let setting = Setting::new(world(12, |setup| setup.chats = 5));
    let mut command = setting.command("out", &[]);
    let without: Vec<_> =
        command.get_args().filter(|a| *a != "instance=127.0.0.1:12566").map(Into::into).collect();
    let mut args: Vec<std::ffi::OsString> = without;
    let second = args.iter().rposition(|argument| argument == "--label").unwrap();
    args.remove(second);
    command = {
        let mut again = Command::new(command.get_program());
        again.args(args).env("BLOOIO_API_KEY", "x").stdin(Stdio::null());
        again.stdout(Stdio::piped()).stderr(Stdio::piped());
        again
    };
    refused(&outcome(command.spawn().unwrap(), RUN_LIMIT, &command), 1, "--label: instance is missing");
}

#[test]
fn a_clock_that_contradicts_the_servers_is_refused() {
    let setting = Setting::new(world(13, |setup| setup.chats = 5));
    setting.simulated.skip(std::time::Duration::from_secs(3_600));
    refused(&setting.run("out", &[]), 1, "clocks of the API and of this machine differ by");
    assert!(!setting.path("out").exists());
}

#[test]
fn chats_that_cannot_be_read_are_not_left_out_in_silence() {
    let setting = Setting::new(world(14, |setup| setup.chats = 5));
    let chat = setting.simulated.world().chat_ids().len();
    assert!(chat >= 5);
    let tuning = blooio_exporter::simulator::Tuning::parse("chats=2&endpoint=list_messages").unwrap();
    setting.simulated.world().switch_on("forbidden", tuning).unwrap();
    refused(&setting.run("out", &[]), 1, "--skip-unreadable");
    assert!(days(&setting.path("out")).is_empty());
    setting.fill("out", &["--skip-unreadable"]);
    let readme = std::fs::read_to_string(setting.path("out").join("README.md")).unwrap();
    assert!(readme.contains("unreadable chats"), "{readme}");
}

#[test]
fn lists_and_answers_that_lack_something_are_not_believed_in_silence() {
    let setting = Setting::new(world(18, |_| {}));
    let on = |fault: &str, tuning: &str| {
        let tuning = blooio_exporter::simulator::Tuning::parse(tuning).unwrap();
        setting.simulated.world().switch_on(fault, tuning).unwrap();
    };
    let off = |fault: &str| setting.simulated.world().switch_off(fault);
    on("null-id", "share=1");
    refused(&setting.run("out", &[]), 1, "cannot be used, and hide their chats");
    setting.fill("zeros", &["--skip-unreadable"]);
    let readme = std::fs::read_to_string(setting.path("zeros").join("README.md")).unwrap();
    assert!(readme.contains("unusable chats"), "{readme}");
    off("null-id");
    // A few chats are read; then the list is empty.
    let mut slow = setting.command("out", &["--api.budget", "20"]);
    super::kill_at(slow.spawn().unwrap(), &setting.path("out"), 12);
    on("empty-list", "share=1");
    refused(&setting.run("out", &["--api.budget", "20"]), 1, "the list of chats is empty");
    off("empty-list");
    let directory = setting.fill("out", &["--api.budget", "20"]);
    setting.assert_filled(&directory);
    on("empty-messages", "share=1");
    let output = setting.run("hollow", &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("contradict each other or the list"), "{}", said(&output));
    let readme = std::fs::read_to_string(setting.path("hollow").join("README.md")).unwrap();
    assert!(readme.contains("chats that may lack messages"), "{readme}");
}

#[test]
fn a_disk_that_is_full_ends_the_run_and_room_lets_it_go_on() {
    let setting = Setting::new(world(15, |_| {}));
    for (kib, words) in [(8, "backfill.journal cannot be written"), (512, "make room")] {
        let inner = setting.command("out", &[]);
        let mut command = Command::new("sh");
        // A limit on the size of files, without the signal: writing fails as on a full disk.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kib * 2);
        command.args(["-c", &script, "sh"]).arg(inner.get_program()).args(inner.get_args());
        command.env("BLOOIO_API_KEY", "bl_live_SIMULATED");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        refused(&outcome(command.spawn().unwrap(), RUN_LIMIT, &command), 1, words);
    }
    let directory = setting.fill("out", &[]);
    let left = std::fs::read_dir(&directory).unwrap();
    assert!(left.into_iter().all(|entry| !entry.unwrap().file_name().to_string_lossy().ends_with(".part")));
    setting.assert_filled(&directory);
}

#[test]
fn two_runs_do_not_share_a_directory_and_a_closed_output_changes_nothing() {
    let setting = Setting::new(world(16, |_| {}));
    let mut first = setting.command("out", &["--api.budget", "20"]);
    let child = first.spawn().unwrap();
    let journal = setting.path("out").join("backfill.journal");
    crate::support::eventually("it has begun", || journal.exists().then_some(()));
    refused(&setting.run("out", &["--api.budget", "20"]), 1, "in use by another backfill");
    assert!(outcome(child, RUN_LIMIT, &first).status.success());
    let inner = setting.command("silent", &[]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" >&- 2>&-", "sh"]).arg(inner.get_program()).args(inner.get_args());
    command.env("BLOOIO_API_KEY", "bl_live_SIMULATED").stdin(Stdio::null());
    outcome(command.spawn().unwrap(), RUN_LIMIT, &command);
    setting.assert_filled(&setting.path("silent"));
}

#[test]
fn the_state_of_a_running_exporter_is_read_and_left_alone() {
    let setting = Setting::new(world(17, |setup| setup.chats = 5));
    let path = setting.path("held.db");
    state(&path, &[("default", setting.baseline)]);
    let before = std::fs::read(&path).unwrap();
    let held = blooio_exporter::store::sqlite::StateFile::open(&path, [7; 32]).unwrap();
    setting.fill("out", &["--state.path", &path.display().to_string()]);
    drop(held);
    assert_eq!(before, std::fs::read(&path).unwrap());
}
