//! What an attack on the exposed surface found, one file per kind of attack, each seen from outside. SECURITY.md names the
//! attackers; these are what they try.

mod api;
mod files;
mod floods;
mod hangs;
mod memory;
mod requests;
mod terminal;
mod weaken;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use blooio_exporter::{limits, simulator};

use crate::support::{Simulated, in_repository, wall_clock};

/// An API that answers each GET with whatever bytes the test wants.
pub(crate) struct FakeApi {
    pub(crate) address: SocketAddr,
}

impl FakeApi {
    /// `answer` gets the target of a request and gives the whole answer, head included.
    pub(crate) fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> FakeApi {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || serve(stream, &*answer));
            }
        });
        FakeApi { address }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&str) -> Vec<u8>) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    stream.write_all(&answer(head.split(' ').nth(1)?)).ok()
}

/// A 200 with this body, which ends the connection.
pub(crate) fn ok(body: &[u8], more: &str) -> Vec<u8> {
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let head = format!(
        "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn simulated() -> Simulated {
    Simulated::start(simulator::scenario("steady").unwrap().world(7, wall_clock()))
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn limits_md_lists_every_limit() {
    let path = in_repository("docs/limits.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- limits: generated, see src/limits.rs -->\n", "<!-- end of limits -->");
    let (before, rest) = text.split_once(start).expect("the start of the table");
    let (table, after) = rest.split_once(end).expect("the end of the table");
    let expected = limits::markdown();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{before}{start}{expected}{end}{after}")).unwrap();
    } else {
        assert_eq!(table, expected, "run with BLESS=1");
    }
}
