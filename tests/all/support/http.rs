//! Requests as a client of a few lines sends them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

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

pub(crate) fn ask(method: &str, address: SocketAddr, path: &str, headers: &[&str]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LONGEST_WAIT)).ok()?;
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
