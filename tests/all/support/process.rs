//! The program as a child process: one run of it, and an installation that is started again with the same state.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::{LONGEST_WAIT, Page, Simulated, ask, eventually, get};

/// One run of the program. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it and waits until it listens.
    pub(crate) fn start(mut command: Command) -> Process {
        Process::try_start(&mut command).unwrap_or_else(|(code, log)| panic!("ended with {code:?}:\n{log}"))
    }

    /// Starts it and waits until it listens, or ends with an exit code and its log.
    pub(crate) fn try_start(command: &mut Command) -> Result<Process, (Option<i32>, String)> {
        Process::logging_to(command, Arc::default())
    }

    /// The same, with a log that earlier runs began.
    fn logging_to(command: &mut Command, log: Arc<Mutex<String>>) -> Result<Process, (Option<i32>, String)> {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (found, listening) = mpsc::channel();
        let written = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut written = written.lock().unwrap();
                written.push_str(&line);
                written.push('\n');
                let address = line.split_once("message=listening address=");
                if let Some(address) = address.and_then(|(_, rest)| rest.split(' ').next()) {
                    let _ = found.send(address.parse().unwrap());
                }
            }
        });
        // The sender is dropped when the program ends.
        if let Ok(address) = listening.recv_timeout(LONGEST_WAIT) {
            return Ok(Process { child, address, log });
        }
        let _ = child.kill();
        let code = child.wait().unwrap().code();
        reader.join().unwrap();
        let log = log.lock().unwrap().clone();
        Err((code, log))
    }

    /// Everything it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A page of it, or nothing while it does not answer.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        ask("GET", self.address, path, &[]).map(|answer| answer.body)
    }

    pub(crate) fn page(&self) -> Page {
        Page::parse(&get(self.address, "/metrics", &[]).body)
    }

    /// Waits until its metrics are as wanted.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Page) -> bool) -> Page {
        let until = Instant::now() + LONGEST_WAIT;
        loop {
            let page = self.page();
            if wanted(&page) {
                return page;
            }
            assert!(Instant::now() < until, "{what} did not happen within {LONGEST_WAIT:?}\n{}", self.log());
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

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.id().to_string()]).status().unwrap().success());
    }

    /// Whether it is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGTERM; returns its exit code and how long it took to end.
    pub(crate) fn terminate(mut self) -> (Option<i32>, Duration) {
        let asked = Instant::now();
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        (status.code(), asked.elapsed())
    }

    /// SIGTERM, and fails unless it ends as it should.
    pub(crate) fn stop(self) {
        let log = Arc::clone(&self.log);
        let (code, _) = self.terminate();
        assert_eq!(code, Some(0), "{}", log.lock().unwrap());
    }

    /// SIGKILL, as a crash: no handler runs. Waits until it is gone.
    pub(crate) fn kill(mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.log()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An installation: a folder with the state and the configuration, and the program, which may be started again.
pub(crate) struct Exporter {
    pub(crate) folder: tempfile::TempDir,
    arguments: Vec<String>,
    key: String,
    log: Arc<Mutex<String>>,
    running: Option<Process>,
}

impl Exporter {
    /// Starts the program so that it watches the simulated API, with short intervals.
    pub(crate) fn start(simulated: &Simulated, more: &[&str]) -> Exporter {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> = vec![
            "--blooio.base-url".into(),
            simulated.base_url(),
            "--state.path".into(),
            folder.path().join("state.db").display().to_string(),
            "--web.listen-address".into(),
            "127.0.0.1:0".into(),
            "--log.level".into(),
            "debug".into(),
        ];
        let defaults = [
            ("--collector.interval", "300ms"),
            ("--collector.full-interval", "2s"),
            ("--probe.interval", "2s"),
            ("--api.budget", "100"),
            ("--api.timeout", "3s"),
        ];
        for (flag, value) in defaults {
            if !more.contains(&flag) {
                arguments.extend([flag.into(), value.into()]);
            }
        }
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let key = simulated.world().setup().key.clone();
        Exporter::install(folder, arguments, key)
    }

    /// Starts the program with a configuration file, which `config` writes for the folder that it is in.
    pub(crate) fn configured(config: impl FnOnce(&Path) -> String) -> Exporter {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.yml"), config(folder.path())).unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let arguments = [
            ["--config.file", &path("config.yml")],
            ["--state.path", &path("state.db")],
            ["--web.listen-address", "127.0.0.1:0"],
        ];
        let arguments =
            arguments.into_iter().flatten().chain(["--web.enable-lifecycle"]).map(str::to_owned).collect();
        Exporter::install(folder, arguments, String::new())
    }

    fn install(folder: tempfile::TempDir, arguments: Vec<String>, key: String) -> Exporter {
        let mut exporter = Exporter { folder, arguments, key, log: Arc::default(), running: None };
        exporter.launch();
        exporter
    }

    /// Starts it again with the same state.
    pub(crate) fn launch(&mut self) {
        assert!(self.running.is_none());
        // While another test has opened connections by the ten thousand, no port may be free for a moment.
        let last = |log: &str| log.lines().rfind(|line| !line.is_empty()).map(str::to_owned);
        let no_port = |log: &str| last(log).is_some_and(|line| line.contains(":0: Address already in use"));
        let started = eventually("a free port", || {
            let mut command = program();
            command.args(&self.arguments).env("BLOOIO_API_KEY", &self.key);
            let started = Process::logging_to(&mut command, Arc::clone(&self.log));
            (!started.as_ref().is_err_and(|(_, log)| no_port(log))).then_some(started)
        });
        self.running = Some(started.unwrap_or_else(|(code, log)| panic!("ended with {code:?}:\n{log}")));
    }

    fn running(&self) -> &Process {
        self.running.as_ref().unwrap()
    }

    /// Kills it as a crash would: no handler runs.
    pub(crate) fn kill(&mut self) {
        self.running.take().unwrap().kill();
    }

    /// Asks it to stop; returns its exit code and how long that took.
    pub(crate) fn terminate(&mut self) -> (Option<i32>, Duration) {
        self.running.take().unwrap().terminate()
    }

    pub(crate) fn signal(&self, name: &str) {
        self.running().signal(name);
    }

    /// Everything that its runs logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running().address
    }

    pub(crate) fn page(&self) -> Page {
        self.running().page()
    }
}

/// The built program with nothing of this machine's environment that could mean something to it.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blooio-exporter"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BLOOIO_")) {
        command.env_remove(name);
    }
    command.env_remove("CREDENTIALS_DIRECTORY");
    command
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
