//! `blooio-exporter backfill`, from outside: a user who runs it, and what the files must say by the simulator's ledger.

mod files;
mod proof;
mod refusals;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use blooio_exporter::domain::{Delta, Progress};
use blooio_exporter::simulator::{self, Knobs, Setup, Shares, Tuning, Upheavals, World};
use blooio_exporter::store::State;
use blooio_exporter::store::Store as _;
use blooio_exporter::store::sqlite::StateFile;

use self::files::{DAY, HORIZON, assert_true, days, of_account, samples, truth};
use crate::support::{Simulated, eventually, outcome, program, wall_clock};

/// Longest wait for a run to end.
const RUN_LIMIT: Duration = Duration::from_secs(120);
const HOUR: i64 = 3_600_000;

/// A world whose history of 40 days follows the seasons, and which has gone on for an hour when the exporter is first
/// started, four hours ago. Messages come late, and their times are rewritten when they are handed over.
fn world(seed: u64, change: impl Fn(&mut Setup)) -> World {
    let ages_meanwhile = |world: &World| {
        let soon = wall_clock()..wall_clock() + 30 * 60_000;
        let mut open =
            world.truth().entries().filter(|entry| entry.direction == "outbound" && entry.terminal.is_none());
        open.any(|entry| soon.contains(&(entry.time_sent_ms + HORIZON)))
    };
    // A message that is given up while a test runs is in the files or not, as the moment happens to be.
    let mut worlds = (0..20).map(|other| grown(seed + 1_000 * other, &change));
    worlds.find(|world| !ages_meanwhile(world)).expect("a world in which no message is given up just now")
}

fn grown(seed: u64, change: &dyn Fn(&mut Setup)) -> World {
    let mut setup = Setup {
        seed,
        start_ms: wall_clock() - 5 * HOUR,
        chats: 60,
        history_messages: 4_000,
        history_ms: 40 * DAY,
        // What is open comes to rest before the test begins.
        pace: 20.0,
        shares: Shares { late: 0.1, late_ms: (1_000, 600_000), long_tail: 0.0, ..Shares::default() },
        knobs: Knobs { rewrite_time_sent: true, ordered: true, ..Knobs::default() },
        ..simulator::scenario("year").unwrap().setup
    };
    setup.inbound_per_minute = 2.0;
    setup.outbound_per_minute = 3.0;
    change(&mut setup);
    let mut world = World::new(setup);
    // A message that appears while a test runs would stand in one of two answers and not in the other.
    world.step(wall_clock() - HOUR / 2);
    world.quiet();
    world.step(wall_clock());
    world
}

/// A state file of an exporter that was first started at these times and has counted nothing yet.
fn state(path: &Path, baselines: &[(&str, i64)]) {
    let file = StateFile::open(path, [7; 32]).unwrap();
    for (account, baseline) in baselines {
        let mut account = file.account(account, *baseline, None).unwrap();
        let (baseline, floor, watermark) = (*baseline, *baseline, *baseline);
        let progress = Progress { baseline, floor, watermark, ..Progress::default() };
        account.store.commit(&Delta { progress, ..Delta::default() }).unwrap();
    }
}

/// A world, the state of an exporter that watches it, and a place for files.
struct Setting {
    simulated: Simulated,
    folder: tempfile::TempDir,
    baseline: i64,
}

impl Setting {
    fn new(world: World) -> Setting {
        let folder = tempfile::tempdir().unwrap();
        let baseline = wall_clock() - 4 * HOUR;
        state(&folder.path().join("state.db"), &[("default", baseline)]);
        Setting { simulated: Simulated::start(world), folder, baseline }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command as a user would type it, but for a budget that a test can wait for.
    fn command(&self, directory: &str, more: &[&str]) -> Command {
        let mut command = program();
        command.arg("backfill").args(["--label", "job=blooio", "--label", "instance=127.0.0.1:12566"]);
        command.arg("--to-directory").arg(self.path(directory));
        command.args(["--blooio.base-url", &self.simulated.base_url()]);
        if !more.contains(&"--state.path") {
            command.arg("--state.path").arg(self.path("state.db"));
        }
        for default in [["--from", "6d"], ["--api.budget", "100"], ["--api.timeout", "3s"]] {
            if !more.contains(&default[0]) {
                command.args(default);
            }
        }
        command.args(more).env("BLOOIO_API_KEY", &self.simulated.world().setup().key);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, directory: &str, more: &[&str]) -> Output {
        let mut command = self.command(directory, more);
        outcome(command.spawn().unwrap(), RUN_LIMIT, &command)
    }

    /// Runs it and expects files.
    fn fill(&self, directory: &str, more: &[&str]) -> PathBuf {
        let output = self.run(directory, more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        self.path(directory)
    }

    /// Asserts that the files say what the ledger says.
    fn assert_filled(&self, directory: &Path) {
        let shown = of_account(&samples(directory), "default");
        let from = shown.values().next().unwrap()[0].0 * 1_000;
        let events = truth(&self.simulated.world(), from, self.baseline, wall_clock());
        assert!(events.values().map(Vec::len).sum::<usize>() > 500, "there is something to compare");
        assert_true(&shown, &events);
    }
}

/// What a person reads of a run.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// The bytes of every file with samples, by name.
fn bytes(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| (path.file_name().unwrap().into(), std::fs::read(&path).unwrap());
    days(directory).into_iter().map(read).collect()
}

/// Kills a run once the journal holds so many lines.
fn kill_at(mut child: Child, directory: &Path, lines: usize) {
    let journal = directory.join("backfill.journal");
    eventually("some chats are read", || {
        let text = std::fs::read(&journal).unwrap_or_default();
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        (text.iter().filter(|byte| **byte == b'\n').count() >= lines).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_user_fills_thirty_days_and_finds_how_to_import_them() {
    let setting = Setting::new(world(1, |_| {}));
    let directory = setting.fill("out", &["--from", "30d"]);
    setting.assert_filled(&directory);
    assert!((30..=32).contains(&days(&directory).len()), "a file for each day");
    let readme = std::fs::read_to_string(directory.join("README.md")).unwrap();
    for part in [
        "promtool tsdb create-blocks-from openmetrics",
        "import/prometheus",
        "mimirtool backfill",
        "out-of-order",
    ] {
        assert!(readme.contains(part), "{part}");
    }
    assert!(!directory.join("backfill.journal").exists());
    let again = said(&setting.run("out", &[]));
    assert!(again.contains("holds a backfill that is finished"), "{again}");
    // No contact, text or id in any file.
    for file in std::fs::read_dir(&directory).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap().to_lowercase();
        for private in ["canary", "+1415555", "+1646555", "msg_", "grp_", "bl_live"] {
            assert!(!text.contains(private), "{private}");
        }
    }
}

#[test]
fn a_run_that_is_killed_goes_on_and_ends_in_the_same_files() {
    // What is given up depends on the moment at which the run began.
    let setting = Setting::new(world(2, |setup| setup.shares.sms_stay_sent = 0.0));
    let from =
        humantime::format_rfc3339_seconds(std::time::SystemTime::now() - Duration::from_secs(6 * 86_400));
    let from = from.to_string();
    let requests = || setting.simulated.world().request_totals().values().sum::<u64>();
    let whole = setting.fill("whole", &["--from", &from]);
    let of_whole = requests();
    let slow = ["--from", &from, "--api.budget", "20"];
    let parts = setting.path("parts");
    for lines in [5, 12, 30] {
        kill_at(setting.command("parts", &slow).spawn().unwrap(), &parts, lines);
    }
    let journal = parts.join("backfill.journal");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&journal).unwrap().permissions().mode() & 0o777, 0o600);
    let whole_lines = std::fs::read(&journal).unwrap();
    let text = String::from_utf8_lossy(&whole_lines).to_lowercase();
    for private in ["canary", "+1415555", "+1646555", "msg_", "grp_", "bl_live"] {
        assert!(!text.contains(private), "{private} in the resume file");
    }
    // Half a line, as a crash of the machine leaves it.
    std::fs::write(&journal, &whole_lines[..whole_lines.len() - 20]).unwrap();
    let other = said(&setting.run("parts", &["--from", "5d"]));
    assert!(other.contains("--from differ from what that run was given"), "{other}");
    let chats = whole_lines.windows(11).filter(|bytes| *bytes == b"\"is\":\"chat\"").count() as u64;
    let before = requests();
    let parts = setting.fill("parts", &["--from", &from]);
    let rest = requests() - before;
    assert!(
        rest + chats <= of_whole + 2,
        "{rest} of {of_whole} requests after {chats} chats: none is read again"
    );
    assert!(bytes(&whole) == bytes(&parts), "the same files");
    setting.assert_filled(&parts);
}

#[test]
fn ctrl_c_ends_a_run_and_leaves_it_to_be_taken_up() {
    // With values that nobody documented, rows that cannot be used, and messages dated ahead.
    let odd = |setup: &mut Setup| {
        let shares = setup.shares.clone();
        setup.shares =
            Shares { odd: 0.05, unusable: 0.01, future: 0.02, both_sides: 0.05, read: 0.1, ..shares };
    };
    let setting = Setting::new(world(3, odd));
    let mut command = setting.command("out", &["--api.budget", "20"]);
    let child = command.spawn().unwrap();
    let journal = setting.path("out").join("backfill.journal");
    eventually("a chat is read", || (std::fs::metadata(&journal).ok()?.len() > 2_000).then_some(()));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = outcome(child, RUN_LIMIT, &command);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("run the same command again"), "{}", said(&output));
    assert_eq!(days(&setting.path("out")), [] as [PathBuf; 0], "no half history");
    let directory = setting.fill("out", &[]);
    setting.assert_filled(&directory);
}

#[test]
fn lists_that_move_chats_that_merge_and_pages_that_lie_lose_and_double_nothing() {
    // It begins now, and goes on while it is read.
    let setup = world(4, |_| {}).setup().clone();
    let moving = World::new(Setup {
        start_ms: wall_clock(),
        chats: 150,
        page_cap: 20,
        inbound_per_minute: 60.0,
        outbound_per_minute: 60.0,
        knobs: Knobs {
            shift: 0.3,
            unstable_ties: true,
            short_pages: 0.1,
            duplicate_rows: 0.2,
            ..setup.knobs.clone()
        },
        upheavals: Upheavals { merges_per_hour: 18_000.0, ..Upheavals::default() },
        ..setup
    });
    let setting = Setting::new(moving);
    let mut command = setting.command("out", &["--api.budget", "50"]);
    let child = command.spawn().unwrap();
    let journal = setting.path("out").join("backfill.journal");
    eventually("some chats are read and some were merged", || {
        let text = std::fs::read(&journal).unwrap_or_default();
        let (_, _, merged) = setting.simulated.world().truth().chats();
        (text.iter().filter(|byte| **byte == b'\n').count() > 50 && merged > 2).then_some(())
    });
    setting.simulated.world().quiet();
    let output = outcome(child, RUN_LIMIT, &command);
    assert!(output.status.success(), "{}", said(&output));
    setting.assert_filled(&setting.path("out"));
}

#[test]
fn limits_and_outages_of_the_api_are_waited_out() {
    let setting = Setting::new(world(5, |setup| setup.chats = 20));
    for (fault, share) in [("http-503", 0.1), ("reset", 0.05), ("truncated-json", 0.05)] {
        setting.simulated.world().switch_on(fault, Tuning::share(share)).unwrap();
    }
    let refused = || {
        let world = setting.simulated.world();
        world.request_totals().iter().filter(|((_, status), _)| *status == 503).map(|(_, n)| n).sum::<u64>()
    };
    let out = |share: f64| setting.simulated.world().switch_on("http-503", Tuning::share(share)).unwrap();
    // It begins in an outage that is longer than the client's own attempts.
    out(1.0);
    let mut command = setting.command("out", &[]);
    let child = command.spawn().unwrap();
    eventually("nothing is answered at first", || (refused() >= 5).then_some(()));
    out(0.1);
    let journal = setting.path("out").join("backfill.journal");
    eventually("a chat is read", || (std::fs::metadata(&journal).ok()?.len() > 2_000).then_some(()));
    let before = refused();
    out(1.0);
    eventually("nothing else is answered for a while", || (refused() >= before + 5).then_some(()));
    for fault in ["http-503", "reset", "truncated-json"] {
        setting.simulated.world().switch_off(fault);
    }
    setting
        .simulated
        .world()
        .switch_on("rate-limit-seconds", Tuning { value: Some(1.0), ..Tuning::share(0.03) })
        .unwrap();
    let output = outcome(child, RUN_LIMIT, &command);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(setting.simulated.world().violations(), 0, "no request within a pause");
    setting.assert_filled(&setting.path("out"));
}

#[test]
fn an_account_without_chats_and_one_without_messages_in_the_range_have_files_of_zeros() {
    let empty = Setting::new(world(6, |setup| {
        (setup.chats, setup.history_messages) = (0, 0);
        (setup.inbound_per_minute, setup.outbound_per_minute) = (0.0, 0.0);
    }));
    let output = empty.fill("out", &["--from", "3d", "--to", "30h"]);
    let shown = samples(&output);
    assert!(shown.contains_key(
        "blooio_clock_skew_messages_total{account=\"default\",instance=\"127.0.0.1:12566\",job=\"blooio\"}"
    ));
    assert!(shown.values().flatten().all(|(_, value)| *value == 0.0));
    let old = Setting::new(world(7, |_| {}));
    let output = old.fill("out", &["--from", "60d", "--to", "58d"]);
    assert!(samples(&output).values().flatten().all(|(_, value)| *value == 0.0));
    assert_eq!(days(&output).len(), 2, "the day between holds nothing");
}

#[test]
fn two_runs_one_after_the_other_hold_what_one_holds() {
    let setting = Setting::new(world(8, |_| {}));
    let minutes = wall_clock() as u64 / 60_000 - 3 * 1_440;
    let middle = std::time::UNIX_EPOCH + Duration::from_secs(60 * minutes);
    let middle = humantime::format_rfc3339_seconds(middle).to_string();
    let older = setting.fill("older", &["--to", &middle]);
    let newer = setting.fill("newer", &["--from", &middle]);
    let both = setting.fill("both", &[]);
    let sum = |directory: &Path, name: &str| {
        let shown = of_account(&samples(directory), "default");
        let of_family = shown.iter().filter(|(series, _)| series.starts_with(name));
        of_family.map(|(_, samples)| files::Rise::of(samples).within(0, i64::MAX)).sum::<f64>()
    };
    // Conversations of the second run begin again.
    for name in
        ["blooio_inbound", "blooio_outbound_messages", "blooio_outbound_delivered", "blooio_outbound_failed"]
    {
        assert!(sum(&older, name) > 0.0 && sum(&newer, name) > 0.0, "{name}");
        assert_eq!(sum(&older, name) + sum(&newer, name), sum(&both, name), "{name}");
    }
}
