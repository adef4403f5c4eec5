//! The same through real sockets, read byte by byte.

use serde_json::Value;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::tests::KEY;
use super::*;

struct Served {
    address: std::net::SocketAddr,
    world: Arc<Mutex<World>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    fn new(world: World) -> Served {
        let time = Arc::new(AtomicI64::new(world.now_ms()));
        let world = Arc::new(Mutex::new(world));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let shared = world.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let clock: Clock = Arc::new(move || time.fetch_add(10, Ordering::Relaxed));
                let stopped = async move {
                    let _ = stopped.await;
                };
                serve(listener, shared, clock, stopped).await.unwrap();
            });
        });
        Served { address: told.recv().unwrap(), world, stop: Some(stop), thread: Some(thread) }
    }

    /// Sends one request and reads until the connection ends or stays silent for half a second.
    fn talk(&self, request: &str) -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        self.talk(&format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
        ))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The length that was announced, and the one that came.
fn lengths(answer: &str) -> (Option<usize>, usize) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let announced = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map(|n| n.parse().unwrap());
    (announced, body.len())
}

#[test]
fn sockets_carry_what_respond_says() {
    let served = Served::new(World::new(Setup::default()));
    let answer = served.get("/v2/api/chats?limit=3").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\ndate: "), "{answer}");
    assert_eq!(lengths(&answer).0, Some(lengths(&answer).1));
    let both = served
        .talk(&format!(
            "GET /v2/api/me/numbers HTTP/1.1\r\nauthorization: Bearer {KEY}\r\n\r\n\
             GET /v2/api/nowhere HTTP/1.1\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
        ))
        .unwrap();
    assert!(both.contains("200 OK") && both.contains("404 Not Found"), "two requests on one connection");
    assert!(served.talk("nonsense\r\n\r\n").unwrap().starts_with("HTTP/1.1 400"));
    let totals = served.world.lock().unwrap().request_totals().clone();
    assert_eq!(totals.get(&(Endpoint::ListChats, 200)), Some(&1));
}

#[test]
fn sockets_break_as_faults_ask() {
    let served = Served::new(World::new(Setup::default()));
    let on = |name: &str, tuning: Tuning| served.world.lock().unwrap().switch_on(name, tuning).unwrap();
    let off = |name: &str| assert!(served.world.lock().unwrap().switch_off(name));
    on("truncated-close", Tuning::default());
    let (announced, came) = lengths(&served.get("/v2/api/chats").unwrap());
    assert_eq!(announced.unwrap() / 2, came);
    off("truncated-close");
    on("truncated-no-length", Tuning::default());
    let (announced, came) = lengths(&served.get("/v2/api/chats").unwrap());
    assert!(announced.is_none() && came > 0);
    off("truncated-no-length");
    on("reset", Tuning::default());
    let error = served.get("/v2/api/chats").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    off("reset");
    on("hang", Tuning::default());
    let error = served.get("/v2/api/chats").unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{error}");
    off("hang");
    for name in ["slow-head", "slow-body"] {
        on(name, Tuning::value(0.3));
        let start = Instant::now();
        let (announced, came) = lengths(&served.get("/v2/api/chats?limit=2").unwrap());
        assert_eq!(announced, Some(came));
        assert!(start.elapsed() >= Duration::from_millis(290), "{name}");
        off(name);
    }
}

#[test]
fn control_paths_lie_outside_the_api() {
    let served = Served::new(World::new(Setup::default()));
    let landing = served.get("/").unwrap();
    assert!(landing.contains("/v2/api") && landing.contains("device-down") && landing.contains("shifting"));
    let post = |path: &str| {
        served
            .talk(&format!("POST {path} HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
            .unwrap()
    };
    assert!(post("/faults/http-500?share=1&endpoint=list_chats").contains("200 OK"));
    assert!(served.get("/").unwrap().contains("ON http-500"));
    assert!(served.get("/v2/api/chats").unwrap().starts_with("HTTP/1.1 500"));
    let delete = served.talk("DELETE /faults/http-500 HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
    assert!(delete.contains("200 OK"));
    assert!(post("/faults/device-down?line=+13105550101").contains("200 OK"));
    assert!(post("/faults/device-down?line=+15550000000").contains("400 Bad"));
    assert!(post("/faults/nothing").contains("404 Not Found"));
    assert!(post("/faults/http-500?share=lots").contains("400 Bad"));
    assert!(post("/quiet").contains("200 OK"));
    let truth = served.get("/truth").unwrap();
    let truth: Value = serde_json::from_str(truth.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert!(truth["summary"]["outbound"].is_object() && truth["requests"]["list_chats/500"] == 1);
    assert!(served.get("/v2/api/faults").unwrap().starts_with("HTTP/1.1 404"));
}
