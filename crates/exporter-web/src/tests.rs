//! The pages over real sockets: answers, headers, limits and time-outs.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

struct Stage {
    page: Result<Bytes, PageError>,
    state: Result<(), String>,
    asked: AtomicUsize,
}

impl Stage {
    fn with_page(page: impl Into<Bytes>) -> Arc<Self> {
        Arc::new(Self { page: Ok(page.into()), state: Ok(()), asked: AtomicUsize::new(0) })
    }
}

impl Site for Stage {
    fn page(&self, _: Format) -> Result<Bytes, PageError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.page.clone()
    }
    fn ready(&self) -> Result<(), String> {
        self.state.clone()
    }
    fn healthy(&self) -> Result<(), String> {
        self.state.clone()
    }
    fn status(&self) -> String {
        "<h1>1.2.3</h1>".to_owned()
    }
    fn reference(&self) -> String {
        "<h1>Metrics</h1>".to_owned()
    }
    fn reload(&self) -> BoxFuture<'_, ReloadOutcome> {
        Box::pin(async { ReloadOutcome::Applied("nothing changed".to_owned()) })
    }
}

fn open() -> Arc<Security> {
    Arc::new(Security::none(AllowedHosts::default()).unwrap())
}

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(site: Arc<Stage>, options: WebOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(run(vec![listener], site, options, open(), async {
            let _ = stopped.await;
        }));
        Self { address, stop, ended }
    }

    async fn ok() -> Self {
        Self::start(Stage::with_page("up 1\n"), quick()).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) -> Duration {
        let start = Instant::now();
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
        start.elapsed()
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = self.connect().await;
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        Answer {
            head: String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase(),
            body: bytes[end + 4..].to_vec(),
        }
    }
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> &str {
        &self.head["http/1.1 ".len()..][..3]
    }
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Limits short enough for a test, each clearly apart from the next.
fn quick() -> WebOptions {
    WebOptions {
        head_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(800),
        write_timeout: Duration::from_millis(300),
        max_age: Duration::from_secs(20),
        close_grace: Duration::from_millis(300),
        drain: Duration::from_millis(300),
        ..WebOptions::default()
    }
}

/// Waits until the other end closes, and returns what came before with how long it took.
async fn until_closed(stream: &mut TcpStream) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    let mut bytes = Vec::new();
    // A reset is a way to close too.
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes))
        .await
        .expect("the server should have closed the connection");
    (bytes, start.elapsed())
}

fn large_page() -> Bytes {
    // More than both socket buffers can hold, so that the server has to wait for the client.
    Bytes::from(vec![b'x'; 32 << 20])
}

/// What takes longer never ends. Times are measured from below only: the machine may be busy.
const BUSY: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_pages_answer_with_type_length_and_safe_headers() {
    let server = Server::ok().await;
    for (path, content_type, part) in [
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "up 1\n"),
        ("/-/healthy", "text/plain; charset=utf-8", "healthy\n"),
        ("/-/ready", "text/plain; charset=utf-8", "ready\n"),
        ("/", "text/html; charset=utf-8", "<h1>1.2.3</h1>"),
        ("/reference", "text/html; charset=utf-8", "<h1>Metrics</h1>"),
        ("/metrics?name=x", "text/plain; version=0.0.4; charset=utf-8", "up 1\n"),
    ] {
        let answer = server.ask("GET", path, "").await;
        assert_eq!(answer.status(), "200", "{path}");
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(
            answer.header("content-security-policy"),
            Some(
                "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
                 frame-ancestors 'none'"
            )
        );
        assert_eq!(answer.header("x-frame-options"), Some("deny"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.text().contains(part), "{}", answer.text());

        let head = server.ask("HEAD", path, "").await;
        assert_eq!((head.status(), head.body.len()), ("200", 0));
        assert_eq!(head.header("content-length"), answer.header("content-length"));
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_plain_text() {
    let server = Server::ok().await;
    for path in ["/nothing", "/metrics/", "/-/reload/", "/-/", "//metrics"] {
        let answer = server.ask("GET", path, "").await;
        assert_eq!(answer.status(), "404", "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        for path in ["/", "/metrics", "/-/ready"] {
            let answer = server.ask(method, path, "Content-Length: 0\r\n").await;
            assert_eq!(answer.status(), "405", "{method} {path}");
            assert_eq!(answer.header("allow"), Some("get,head"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
}

#[tokio::test]
async fn a_body_is_not_waited_for() {
    let server = Server::ok().await;
    for method in ["GET", "POST"] {
        let mut stream = server.connect().await;
        let request =
            format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nsome");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (bytes, took) = until_closed(&mut stream).await;
        let status = if method == "GET" { "HTTP/1.1 200" } else { "HTTP/1.1 405" };
        assert!(bytes.starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test]
async fn the_form_is_negotiated_and_gzip_unpacks_to_the_same_page() {
    let page: String = (0..20_000).map(|i| format!("blooio_messages_total{{line=\"{i}\"}} {i}\n")).collect();
    for page in [&page[..100], &page] {
        let site = Stage::with_page(page.to_owned());
        let server = Server::start(Arc::clone(&site), quick()).await;
        let plain = server.ask("GET", "/metrics", "Accept: application/openmetrics-text\r\n").await;
        assert_eq!(
            plain.header("content-type"),
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
        );
        assert_eq!((plain.header("content-encoding"), plain.text()), (None, page));
        assert_eq!(plain.header("vary"), Some("accept, accept-encoding"));

        // The second answer comes from the copy that was kept.
        for _ in 0..2 {
            let packed = server.ask("GET", "/metrics", "Accept-Encoding: br, gzip\r\n").await;
            assert_eq!(packed.header("content-encoding"), Some("gzip"));
            assert_eq!(packed.header("content-length"), Some(packed.body.len().to_string().as_str()));
            assert_eq!(packed.header("vary"), Some("accept, accept-encoding"));
            let mut unpacked = String::new();
            GzDecoder::new(&packed.body[..]).read_to_string(&mut unpacked).unwrap();
            assert_eq!(unpacked, page);
        }
        let refused = server.ask("GET", "/metrics", "Accept-Encoding: gzip;q=0\r\n").await;
        assert_eq!((refused.header("content-encoding"), refused.text()), (None, page));
        assert_eq!(site.asked.load(Ordering::Relaxed), 4);
    }
}

#[tokio::test]
async fn failures_say_why_and_show_nothing_else() {
    let site = Arc::new(Stage {
        page: Err(PageError("a label has no name".to_owned())),
        state: Err("the first sweep is not committed yet".to_owned()),
        asked: AtomicUsize::new(0),
    });
    let server = Server::start(site, quick()).await;
    let answer = server.ask("GET", "/metrics", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(answer.status(), "500");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.text(), "the metrics page cannot be encoded: a label has no name\n");
    for path in ["/-/ready", "/-/healthy"] {
        let answer = server.ask("GET", path, "").await;
        assert_eq!((answer.status(), answer.text()), ("503", "the first sweep is not committed yet\n"));
    }
    let error = healthcheck(server.address, "/-/ready", Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error, format!("{} answered 503: the first sweep is not committed yet", server.address));
    let ready = Server::ok().await;
    assert_eq!(healthcheck(ready.address, "/-/ready", Duration::from_secs(1)).await, Ok(()));
}

#[tokio::test]
async fn a_head_that_dribbles_is_closed_in_time() {
    let server = Server::ok().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    let start = Instant::now();
    while start.elapsed() < BUSY {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if stream.write_all(b"x").await.is_err() {
            break;
        }
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(150) && took < BUSY, "{took:?}");
}

#[tokio::test]
async fn a_second_head_that_dribbles_is_closed_too() {
    let server = Server::ok().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 1024];
    assert!(stream.read(&mut first).await.unwrap() > 0);
    // Longer than a head may take: waiting for a request is not sending one.
    tokio::time::sleep(Duration::from_millis(400)).await;
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\n").await.unwrap();
    let (_, took) = until_closed(&mut stream).await;
    assert!(took >= Duration::from_millis(150) && took < BUSY, "{took:?}");
}

#[tokio::test]
async fn an_open_connection_is_used_again_and_closed_when_idle() {
    let server = Server::ok().await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{read}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let (bytes, took) = until_closed(&mut stream).await;
    assert!(bytes.is_empty(), "{}", String::from_utf8_lossy(&bytes));
    assert!(took >= Duration::from_millis(300) && took < BUSY, "{took:?}");
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server = Server::ok().await;
    let mut stream = server.connect().await;
    let (bytes, took) = until_closed(&mut stream).await;
    assert!(bytes.is_empty());
    assert!(took >= Duration::from_millis(150) && took < BUSY, "{took:?}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::ok().await;
    let large = format!("X-Large: {}\r\n", "x".repeat(20_000));
    let answer = server.ask("GET", "/metrics", &large).await;
    assert_eq!(answer.status(), "431");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let server = Server::start(Stage::with_page(large_page()), quick()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    let (bytes, _) = until_closed(&mut stream).await;
    assert!(bytes.len() < large_page().len(), "the whole page arrived");
}

#[tokio::test]
async fn a_client_that_reads_a_little_is_dropped_too() {
    let server = Server::start(Stage::with_page(large_page()), quick()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut sip = vec![0; 64 * 1024];
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let _ = stream.read(&mut sip).await;
    }
    let (bytes, _) = until_closed(&mut stream).await;
    assert!(bytes.len() < large_page().len() / 2, "{} bytes arrived", bytes.len());
}

#[tokio::test]
async fn a_client_that_reads_gets_a_large_page_whole() {
    let options = WebOptions { write_timeout: Duration::from_secs(5), ..quick() };
    let server = Server::start(Stage::with_page(large_page()), options).await;
    let answer = server.ask("GET", "/metrics", "").await;
    assert_eq!(answer.body.len(), large_page().len());
}

#[tokio::test]
async fn an_old_connection_is_closed_even_when_it_is_busy() {
    let options = WebOptions { max_age: Duration::from_millis(500), ..quick() };
    let server = Server::start(Stage::with_page("up 1\n"), options).await;
    let mut stream = server.connect().await;
    let start = Instant::now();
    let mut answer = [0; 1024];
    loop {
        assert!(start.elapsed() < Duration::from_secs(3), "still open");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let asked = stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        if asked.is_err() || stream.read(&mut answer).await.unwrap_or(0) == 0 {
            break;
        }
    }
    assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
}

#[tokio::test]
async fn one_beyond_the_limit_takes_the_place_of_one_that_takes_its_time() {
    let options = WebOptions {
        max_connections: 3,
        head_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(30),
        ..quick()
    };
    let server = Server::start(Stage::with_page("up 1\n"), options).await;
    let mut idle = server.connect().await;
    let mut answer = [0; 1024];
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut answer).await.unwrap() > 0);
    let mut half = server.connect().await;
    half.write_all(b"GET /metrics HT").await.unwrap();
    // So that it is the one that has taken its time for longest.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut silent = server.connect().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Once: a connection that the server has not yet seen end would need a connection slot too, and evict another.
    assert_eq!(server.ask("GET", "/metrics", "").await.status(), "200");
    until_closed(&mut half).await;
    // The others were not needed any more.
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut answer).await.unwrap() > 0);
    silent.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(silent.read(&mut answer).await.unwrap() > 0);
}

#[tokio::test]
async fn a_flood_beyond_the_limit_keeps_nobody_out() {
    let options = WebOptions { max_connections: 16, head_timeout: Duration::from_secs(30), ..quick() };
    let server = Server::start(Stage::with_page("up 1\n"), options).await;
    let mut bad = Vec::new();
    for n in 0..300 {
        let mut stream = server.connect().await;
        if n % 2 == 0 {
            let _ = stream.write_all(b"GET /metrics HT").await;
        }
        bad.push(stream);
        if n % 10 == 0 {
            assert_eq!(server.ask("GET", "/metrics", "").await.status(), "200");
        }
    }
}

#[tokio::test]
async fn many_bad_clients_do_not_keep_a_good_one_waiting() {
    let server = Server::ok().await;
    let mut bad = Vec::new();
    for i in 0..100 {
        let mut stream = server.connect().await;
        if i % 2 == 0 {
            stream.write_all(b"GET /metrics HT").await.unwrap();
        }
        bad.push(stream);
    }
    let start = Instant::now();
    assert_eq!(server.ask("GET", "/metrics", "").await.status(), "200");
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn shutdown_is_quick_when_nothing_is_under_way() {
    let server = Server::ok().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    assert!(idle.read(&mut answer).await.unwrap() > 0);
    let address = server.address;
    let took = server.stop().await;
    assert!(took < Duration::from_millis(200), "{took:?}");
    assert!(TcpStream::connect(address).await.is_err(), "still listening");
}

#[tokio::test]
async fn shutdown_ends_in_time_with_clients_that_neither_read_nor_ask() {
    let options = WebOptions {
        write_timeout: Duration::from_secs(60),
        head_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
        close_grace: Duration::from_secs(60),
        ..quick()
    };
    let server = Server::start(Stage::with_page(large_page()), options).await;
    let mut deaf = server.connect().await;
    deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut half = server.connect().await;
    half.write_all(b"GET /metrics HT").await.unwrap();
    let silent = server.connect().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let took = server.stop().await;
    assert!(took < Duration::from_millis(800), "{took:?}");
    for mut stream in [deaf, half, silent] {
        until_closed(&mut stream).await;
    }
}

#[tokio::test]
async fn an_answer_under_way_is_finished_at_shutdown() {
    let patient = Duration::from_secs(5);
    let options = WebOptions { drain: patient, close_grace: patient, write_timeout: patient, ..quick() };
    let server = Server::start(Stage::with_page(large_page()), options).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reader = tokio::spawn(async move { until_closed(&mut stream).await.0.len() });
    let took = server.stop().await;
    assert!(reader.await.unwrap() > large_page().len());
    assert!(took < patient, "{took:?}");
}

#[tokio::test]
async fn several_addresses_are_served_and_none_is_an_error() {
    let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let two = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [one.local_addr().unwrap(), two.local_addr().unwrap()];
    let server =
        tokio::spawn(run(vec![one, two], Stage::with_page(""), quick(), open(), std::future::pending()));
    for address in addresses {
        assert_eq!(healthcheck(address, "/-/ready", Duration::from_secs(1)).await, Ok(()));
    }
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(addresses[0]).await.is_err(), "still listening");

    let error = run(Vec::new(), Stage::with_page(""), quick(), open(), async {}).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    for path in ["", "/", "metrics", "/{x}", "/-/ready"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = WebOptions { telemetry_path: path.to_owned(), ..quick() };
        let error = run(vec![listener], Stage::with_page(""), options, open(), async {}).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
    }
}
