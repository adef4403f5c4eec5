//! Requests as a client of a few lines sends them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{LONGEST_WAIT, eventually};

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

/// One request. Nothing when the server cannot be reached, does not answer, or ends before the answer is whole, as
/// one that is killed while it writes does.
pub(crate) fn ask(method: &str, address: SocketAddr, path: &str, headers: &[&str]) -> Option<Answer> {
    ask_within(LONGEST_WAIT, method, address, path, headers)
}

/// As [`ask`]. Nothing as well when the connection, or a further part of the answer, takes longer than `limit`.
pub(crate) fn ask_within(
    limit: Duration,
    method: &str,
    address: SocketAddr,
    path: &str,
    headers: &[&str],
) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
        .ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    answer_of(method, bytes)
}

/// The answer in all bytes that a server sent. Nothing when it is not whole.
fn answer_of(method: &str, mut bytes: Vec<u8>) -> Option<Answer> {
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let rest = bytes.split_off(split);
    let head = String::from_utf8(bytes).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let announced = head.lines().filter_map(|line| line.split_once(": ")).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
    });
    let is_whole = method == "HEAD" || announced.is_none_or(|length| rest.len() >= length);
    let body = String::from_utf8_lossy(&rest).into_owned();
    is_whole.then_some(Answer { status, head, body, bytes: rest })
}

#[test]
fn an_answer_cut_short_is_none() {
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nup 1\nx 2";
    for length in 0..whole.len() {
        assert!(answer_of("GET", whole[..length].to_vec()).is_none(), "{length} bytes");
    }
    assert_eq!(answer_of("GET", whole.to_vec()).unwrap().body, "up 1\nx 2");
}
