//! One run of the program with a state file of the caller's choice, and its page as plain series. What starts it over and
//! over with one state is in `harness`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::harness::{ask, program, spawn};

/// After this a child that does not do what it should is a failure. Nothing else is measured by the clock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running exporter. It is killed when it is dropped.
pub(crate) struct Exporter {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// Every series of a page, by its name and labels.
pub(crate) type Series = BTreeMap<String, f64>;

/// The series of a page.
pub(crate) fn series_of(page: &str) -> Series {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(k, v)| Some((k.to_owned(), v.parse().ok()?)))
        .collect()
}

/// The command that starts an exporter of `base_url` with its state at `state`.
pub(crate) fn command(base_url: &str, state: &Path, more: &[&str]) -> Command {
    let mut command = program();
    command
        .args(["--blooio.base-url", base_url, "--web.listen-address", "127.0.0.1:0", "--log.level", "debug"])
        .arg("--state.path")
        .arg(state)
        .args(more)
        .env("BLOOIO_API_KEY", "bl_live_SIMULATED")
        .stdout(Stdio::null());
    command
}

impl Exporter {
    /// Starts it and waits until it listens.
    pub(crate) fn start(command: Command) -> Exporter {
        Exporter::try_start(command).unwrap_or_else(|(code, said)| panic!("ended with {code:?}:\n{said}"))
    }

    /// Starts it and waits until it listens, or ends with an exit code and what it said.
    pub(crate) fn try_start(mut command: Command) -> Result<Exporter, (Option<i32>, String)> {
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        let note = move |line: &str| {
            let mut written = written.lock().unwrap();
            written.push_str(line);
            written.push('\n');
        };
        match spawn(&mut command, note) {
            Ok((child, address)) => Ok(Exporter { child, address, log }),
            Err(mut child) => {
                let _ = child.kill();
                let code = child.wait().unwrap().code();
                let said = log.lock().unwrap().clone();
                Err((code, said))
            }
        }
    }

    /// Everything it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A page of it, or nothing while it does not answer.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        ask("GET", self.address, path, &[]).map(|answer| answer.body)
    }

    /// Its metrics.
    pub(crate) fn series(&self) -> Series {
        series_of(&self.get("/metrics").unwrap_or_else(|| panic!("no page:\n{}", self.log())))
    }

    /// Waits until its metrics are as wanted.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Series) -> bool) -> Series {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let series = self.series();
            if wanted(&series) {
                return series;
            }
            assert!(Instant::now() < deadline, "never came: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The largest resident size it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Whether it is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGTERM, and waits until it has ended by itself.
    pub(crate) fn stop(mut self) {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.log()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sum of a family's series whose labels contain all of these.
pub(crate) fn sum(series: &Series, family: &str, labels: &[&str]) -> f64 {
    let matches = |key: &&String| {
        key.split('{').next() == Some(family) && labels.iter().all(|label| key.contains(label))
    };
    series.keys().filter(matches).map(|key| series[key]).sum()
}

/// Whether a series is one of those that must never fall.
pub(crate) fn is_counter(key: &str) -> bool {
    let name = key.split('{').next().unwrap_or_default();
    let counts = ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
    counts && !name.starts_with("process_")
}
