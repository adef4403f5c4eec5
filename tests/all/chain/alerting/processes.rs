//! Processes and the receiver at the end of the chain. All of them listen on loopback and end with their owner.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::support::{LONGEST_WAIT, eventually, get};

/// An address that was free a moment ago.
pub(super) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server that is ready, and that is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(program: &str, arguments: &[String], log: &Path) -> Server {
        let address = free_address();
        let log = std::fs::File::create(log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; ./check installs it"));
        let server = Server { child, address };
        eventually(&format!("{program} is ready"), || {
            TcpStream::connect(address).ok()?;
            (get(address, "/-/ready", &[]).status == 200).then_some(())
        });
        server
    }
}

impl Server {
    /// Asks it to read its configuration again.
    pub(super) fn reload(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One alert of a notification, and when it came.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) at: Instant,
    pub(super) alert: serde_json::Value,
}

/// Where Alertmanager sends to: answers 200 to everything and keeps the alerts.
pub(super) struct Webhook {
    pub(super) address: SocketAddr,
    kept: Arc<Mutex<Vec<Received>>>,
    stop: Arc<AtomicBool>,
}

impl Webhook {
    pub(super) fn start() -> Webhook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (kept, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (keeper, stopped) = (Arc::clone(&kept), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                // A connection that breaks off is tried again by Alertmanager.
                let Some(body) = take(stream) else { continue };
                let at = Instant::now();
                let alerts = body["alerts"].as_array().into_iter().flatten();
                keeper.lock().unwrap().extend(alerts.map(|alert| Received { at, alert: alert.clone() }));
            }
        });
        Webhook { address, kept, stop }
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.kept.lock().unwrap().clone()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, which then sees that it may end.
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads one request with its body and answers it.
fn take(mut stream: TcpStream) -> Option<serde_json::Value> {
    stream.set_read_timeout(Some(LONGEST_WAIT)).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    serde_json::from_slice(&body).ok()
}
