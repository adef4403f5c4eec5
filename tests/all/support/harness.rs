//! What the scenarios share: a simulated API on a socket, the program as a child process, its page.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use blooio_exporter::simulator::{self, World};

/// Longest wait for anything that must happen. Far beyond what a slow machine needs: it decides nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn wall_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A world that is served on a loopback port by a thread of its own. Its clock is the machine's, and can be
/// set forward.
pub(crate) struct Simulated {
    world: Arc<Mutex<World>>,
    address: SocketAddr,
    ahead: Arc<AtomicI64>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Simulated {
    pub(crate) fn start(world: World) -> Simulated {
        let (world, ahead) = (Arc::new(Mutex::new(world)), Arc::new(AtomicI64::new(0)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (served, offset) = (Arc::clone(&world), Arc::clone(&ahead));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let clock: simulator::Clock = Arc::new(move || wall_clock() + offset.load(Ordering::Relaxed));
                let stopped = async { drop(stopped.await) };
                simulator::serve(listener, served, clock, stopped).await.unwrap();
            });
        });
        Simulated { world, address, ahead, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}{}", self.address, simulator::BASE_PATH)
    }

    /// Sends the world's events to a URL, in a manner that may change, until the test ends.
    pub(crate) fn feed(&self, url: &str, manner: &Arc<Mutex<simulator::Manner>>) -> simulator::Answers {
        let answers = simulator::Answers::default();
        let (world, manner) = (Arc::clone(&self.world), Arc::clone(manner));
        let (target, told) = (simulator::Target::parse(url).unwrap(), Arc::clone(&answers));
        let offset = Arc::clone(&self.ahead);
        let clock: simulator::Clock = Arc::new(move || wall_clock() + offset.load(Ordering::Relaxed));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let how = (simulator::EventFaults::NONE, manner);
            runtime.block_on(simulator::deliver(world, target, how, clock, told, std::future::pending()));
        });
        answers
    }

    /// Sets the world's clock forward.
    pub(crate) fn skip(&self, by: Duration) {
        self.ahead.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The program, and where its files are.
pub(crate) struct Exporter {
    pub(crate) folder: tempfile::TempDir,
    arguments: Vec<String>,
    key: String,
    running: Option<Running>,
}

struct Running {
    child: Child,
    address: SocketAddr,
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
        let mut exporter = Exporter { folder, arguments, key, running: None };
        exporter.launch();
        exporter
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
        let mut exporter = Exporter { folder, arguments, key: String::new(), running: None };
        exporter.launch();
        exporter
    }

    /// Starts it again with the same state.
    pub(crate) fn launch(&mut self) {
        assert!(self.running.is_none());
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = program();
        command.args(&self.arguments).env("BLOOIO_API_KEY", &self.key);
        let started = spawn(&mut command, move |line| writeln!(log, "{line}").unwrap());
        let (child, address) = started.expect("the program says where it listens");
        self.running = Some(Running { child, address });
    }

    /// Kills it as a crash would: no handler runs.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }

    /// Asks it to stop; returns its exit code and how long that took.
    pub(crate) fn terminate(&mut self) -> (Option<i32>, Duration) {
        let mut running = self.running.take().unwrap();
        let asked = Instant::now();
        let pid = running.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = running.child.wait().unwrap();
        (status.code(), asked.elapsed())
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.running.as_ref().unwrap().child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub(crate) fn page(&self) -> Page {
        Page::parse(&get(self.address(), "/metrics", &[]).body)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

/// Starts the program, notes every line that it says, and waits until it listens; gives the program back when it ends
/// before that.
pub(crate) fn spawn(
    command: &mut Command,
    mut note: impl FnMut(&str) + Send + 'static,
) -> Result<(Child, SocketAddr), Child> {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (found, listening) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            note(&line);
            let address = line.split_once("message=listening address=");
            if let Some(address) = address.and_then(|(_, rest)| rest.split(' ').next()) {
                let _ = found.send(address.parse().unwrap());
            }
        }
    });
    // Nobody is left to speak when the program has ended.
    match listening.recv_timeout(PATIENCE) {
        Ok(address) => Ok((child, address)),
        Err(_) => Err(child),
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

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
}

/// Gets a path, with further header lines. A machine so busy that the server's time limit for a request's head
/// passes gets further tries.
pub(crate) fn get(address: SocketAddr, path: &str, headers: &[&str]) -> Answer {
    eventually("a complete answer", || ask("GET", address, path, headers))
}

/// Posts to a path, once.
pub(crate) fn post(address: SocketAddr, path: &str, headers: &[&str]) -> Answer {
    ask("POST", address, path, headers).expect("a complete answer")
}

pub(crate) fn ask(method: &str, address: SocketAddr, path: &str, headers: &[&str]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
        .ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let bytes = bytes.split_off(split);
    Some(Answer { status, head, body: String::from_utf8_lossy(&bytes).into_owned(), bytes })
}

/// A page, by series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page {
    pub(crate) samples: BTreeMap<String, f64>,
    pub(crate) types: BTreeMap<String, String>,
}

impl Page {
    pub(crate) fn parse(text: &str) -> Page {
        let mut page = Page::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(page.types.insert(name.into(), kind.into()).is_none(), "{name} declared twice");
            } else if !line.starts_with('#') && !line.is_empty() {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value = value.parse().unwrap();
                assert!(page.samples.insert(series.into(), value).is_none(), "{series} twice");
            }
        }
        page
    }

    /// The series of a family, as label values in the page's order.
    pub(crate) fn family(&self, name: &str) -> BTreeMap<Vec<String>, f64> {
        let series = self.samples.iter().filter_map(|(series, value)| {
            let (family, labels) = series.split_once('{').unwrap_or((series, "}"));
            (family == name).then(|| (labels.trim_end_matches('}'), *value))
        });
        series
            .map(|(labels, value)| {
                let values = labels.split("\",").filter(|label| !label.is_empty());
                let values = values.map(|label| label.split_once("=\"").unwrap().1.trim_end_matches('"'));
                (values.map(str::to_owned).collect(), value)
            })
            .collect()
    }

    /// The same of one account.
    pub(crate) fn of(&self, account: &str, name: &str) -> BTreeMap<Vec<String>, f64> {
        let mut series = self.family(name);
        series.retain(|labels, _| labels[0] == account);
        series
    }

    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.family(name).values().sum()
    }

    /// The series that only grow.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&String, f64)> {
        self.samples.iter().filter_map(|(series, value)| {
            let name = series.split('{').next().unwrap();
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
                name.strip_suffix(suffix)
                    .filter(|family| self.types.get(*family).is_some_and(|t| t == "histogram"))
            });
            let is_counter =
                self.types.get(name).is_some_and(|kind| kind == "counter") || of_histogram.is_some();
            (is_counter && !name.starts_with("process_")).then_some((series, *value))
        })
    }

    /// Fails when a counter is smaller here than on an earlier page, or missing.
    pub(crate) fn assert_not_behind(&self, earlier: &Page) {
        for (series, before) in earlier.counters() {
            let now = self.samples.get(series).copied();
            assert!(now.is_some_and(|now| now >= before - 1e-9), "{series} fell from {before} to {now:?}");
        }
    }

    /// outbound = delivered + failed + cancelled + unconfirmed + open - open history, for every line.
    pub(crate) fn assert_conserved(&self) {
        let per_line = |name: &str| {
            let mut lines: BTreeMap<Vec<String>, f64> = BTreeMap::new();
            for (labels, value) in self.family(name) {
                *lines.entry(labels[..2].to_vec()).or_default() += value;
            }
            lines
        };
        let ended = ["delivered", "failed", "cancelled", "unconfirmed"]
            .map(|end| per_line(&format!("blooio_outbound_{end}_messages_total")));
        let (open, history) =
            (per_line("blooio_outbound_open_messages"), per_line("blooio_outbound_open_history_messages"));
        for (line, accepted) in per_line("blooio_outbound_messages_total") {
            let of = |map: &BTreeMap<Vec<String>, f64>| map.get(&line).copied().unwrap_or(0.0);
            let explained = ended.iter().map(of).sum::<f64>() + of(&open) - of(&history);
            assert_eq!(accepted, explained, "conservation on {line:?}");
        }
    }
}

/// Calls `look` until it gives something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a program said, and how it ended. It is killed, and the test fails, when it does not end in time.
pub(crate) fn outcome(
    mut child: Child,
    patience: Duration,
    what: &dyn std::fmt::Debug,
) -> std::process::Output {
    let until = Instant::now() + patience;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            let _ = child.kill();
            panic!("{what:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// A file of the repository.
pub(crate) fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
