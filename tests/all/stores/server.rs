//! Debian's PostgreSQL and pgbouncer in a temporary directory, on sockets of their own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest that a server takes to start or stop.
const STARTING: Duration = Duration::from_secs(60);

/// A program that runs until this value is dropped, or the test process ends in whatever way.
struct Daemon {
    supervisor: Child,
}

impl Daemon {
    /// Runs `program` as the user postgres, with its output in `log`.
    fn start(program: &Path, args: &[&str], log: &Path) -> Daemon {
        // The shell ends the program when its input does. Its process id is that of the program it started, no other.
        // Without a signal named, the test process has ended, and nothing else removes the folder.
        let script = r#""$@" >>"$LOG" 2>&1 <&- & pid=$!; read -r how; kill -s "${how:-INT}" $pid; wait $pid
            [ -n "$how" ] || rm -rf "$(dirname "$LOG")""#;
        let mut command = as_postgres("sh");
        command.args(["-c", script, "sh"]).arg(program).args(args).env("LOG", log);
        let supervisor = command.stdin(Stdio::piped()).spawn().unwrap();
        Daemon { supervisor }
    }

    /// Sends a signal to the program, and waits until it has ended.
    fn stop(&mut self, signal: &str) {
        use std::io::Write;
        if let Some(mut input) = self.supervisor.stdin.take() {
            let _ = writeln!(input, "{signal}");
        }
        let _ = self.supervisor.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop("INT");
    }
}

/// A command of the user postgres: neither initdb nor pgbouncer runs as root.
fn as_postgres(program: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", program]);
    command
}

fn ids() -> (Option<u32>, Option<u32>) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let line = line.expect("there is no user postgres: install Debian's packages postgresql and pgbouncer");
    let mut ids = line.split(':').skip(2).map(|id| id.parse().ok());
    (ids.next().flatten(), ids.next().flatten())
}

/// A folder that the user postgres can write to, in memory where possible and not asked otherwise.
fn folder(on_disk: bool) -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("pg");
    let in_memory = shared.is_dir() && !on_disk;
    let folder = if in_memory { builder.tempdir_in(shared) } else { builder.tempdir() }.unwrap();
    if rustix::process::geteuid().is_root() {
        let (user, group) = ids();
        chown(folder.path(), user, group).unwrap();
    }
    folder
}

/// The newest installed version of one of PostgreSQL's programs.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").map(|entries| {
        let mut found: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path().join("bin").join(name)).collect();
        found.retain(|path| path.exists());
        found.sort();
        found
    });
    let newest = versions.ok().and_then(|mut found| found.pop());
    newest.unwrap_or_else(|| {
        panic!("{name} is missing: these tests need Debian's package postgresql; ./check installs it")
    })
}

/// A running PostgreSQL.
pub(crate) struct Server {
    // Ends before its folder is removed.
    daemon: Option<Daemon>,
    folder: tempfile::TempDir,
    settings: Vec<String>,
    /// Names its socket as well.
    port: u16,
    databases: AtomicU32,
}

impl Server {
    /// With settings of `postgresql.conf` beside the usual ones.
    pub(crate) fn start(settings: &[&str]) -> Server {
        Server::start_in(folder(false), settings)
    }

    /// On a disk, with every flush that it does by default.
    pub(crate) fn start_on_disk() -> Server {
        Server::start_in(folder(true), &["fsync=on"])
    }

    fn start_in(folder: tempfile::TempDir, settings: &[&str]) -> Server {
        let data = folder.path().join("data");
        let mut initdb = as_postgres(program("initdb").to_str().unwrap());
        initdb.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        let output = initdb.output().unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Server { daemon: None, folder, settings, port: 5432, databases: AtomicU32::new(0) };
        server.resume();
        server
    }

    /// Starts it again after [`Server::crash`] or [`Server::stop`].
    pub(crate) fn resume(&mut self) {
        let (data, log) = (self.folder.path().join("data"), self.folder.path().join("log"));
        let mut args = vec!["-D", data.to_str().unwrap(), "-k", self.socket(), "-c", "listen_addresses="];
        // Nothing here is about the disk.
        args.extend(["-c", "fsync=off", "-c", "max_connections=200", "-c", "max_prepared_transactions=0"]);
        let port = format!("port={}", self.port);
        args.extend(["-c", &port]);
        for setting in &self.settings {
            args.extend(["-c", setting]);
        }
        self.daemon = Some(Daemon::start(&program("postgres"), &args, &log));
        let deadline = Instant::now() + STARTING;
        while self.try_sql("postgres", "SELECT 1").is_err() {
            assert!(
                Instant::now() < deadline,
                "PostgreSQL does not start: {}",
                fs::read_to_string(&log).unwrap()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts it again with another setting.
    pub(crate) fn restart_with(&mut self, setting: &str) {
        self.crash();
        self.settings.push(setting.to_owned());
        self.resume();
    }

    /// Starts it again on loopback addresses as well. Returns the port.
    pub(crate) fn listen(&mut self, addresses: &str) -> u16 {
        // A port that was free a moment ago.
        self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        self.restart_with(&format!("listen_addresses={addresses}"));
        self.port
    }

    /// Writes a file into its data folder that only it can read.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.data().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            let (user, group) = ids();
            chown(&path, user, group).unwrap();
        }
    }

    /// Ends all its processes at once, as a loss of power does.
    pub(crate) fn crash(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            daemon.stop("QUIT");
        }
        self.daemon = None;
    }

    /// Where it listens, if it does, and what names its socket.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket.
    pub(crate) fn socket(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// Its data and configuration.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Creates an empty database, and returns its name.
    pub(crate) fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Runs SQL, and returns what psql prints.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let psql = program("psql");
        let mut command = Command::new(psql);
        command.args([
            "-h",
            self.socket(),
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
            "-d",
            database,
            "-X",
            "-q",
            "-t",
            "-A",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ]);
        let output = command.output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The same, and it must succeed.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The URL of a database over the socket.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let port = if self.port == 5432 { String::new() } else { format!("&port={}", self.port) };
        format!("postgres://{user}@/{database}?host={}{port}", self.socket().replace('/', "%2F"))
    }
}

/// pgbouncer in transaction mode in front of a server.
pub(crate) struct Pooler {
    _daemon: Daemon,
    folder: tempfile::TempDir,
}

/// The port that names the pooler's socket.
const POOLER_PORT: u16 = 6432;

impl Pooler {
    /// With settings of `pgbouncer.ini` beside the usual ones.
    pub(crate) fn start(server: &Server, settings: &str) -> Pooler {
        let folder = folder(false);
        let (file, log) = (folder.path().join("pgbouncer.ini"), folder.path().join("log"));
        let place = folder.path().display();
        let content = format!(
            "[databases]\n* = host={} user=postgres\n[pgbouncer]\nunix_socket_dir = {place}\nlisten_port = {POOLER_PORT}\n\
             auth_type = any\npool_mode = transaction\nmax_client_conn = 200\ndefault_pool_size = 20\n{settings}\n",
            server.socket()
        );
        fs::write(&file, content).unwrap();
        let program = Path::new("/usr/sbin/pgbouncer");
        assert!(
            program.exists(),
            "pgbouncer is missing: these tests need Debian's package pgbouncer; ./check installs it"
        );
        let daemon = Daemon::start(program, &[file.to_str().unwrap()], &log);
        let socket = folder.path().join(format!(".s.PGSQL.{POOLER_PORT}"));
        let deadline = Instant::now() + STARTING;
        while !socket.exists() {
            assert!(
                Instant::now() < deadline,
                "pgbouncer does not start: {}",
                fs::read_to_string(&log).unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Pooler { _daemon: daemon, folder }
    }

    /// The folder of its socket.
    pub(crate) fn socket(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// The URL of a database through the pooler.
    pub(crate) fn url(&self, database: &str) -> String {
        let folder = self.socket().replace('/', "%2F");
        format!("postgres://postgres@/{database}?host={folder}&port={POOLER_PORT}")
    }
}

/// One server for all tests that leave it running. Its supervisor ends with the test process.
pub(crate) static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&[]));
/// pgbouncer in front of it.
pub(crate) static SHARED_POOLER: LazyLock<Pooler> = LazyLock::new(|| Pooler::start(&SHARED, ""));
