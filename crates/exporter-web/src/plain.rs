//! Plain HTTP on a port that serves TLS: recognised by its first byte, and answered with a sentence instead of a TLS alert,
//! which HTTP clients report as nonsense.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most bytes of a request head that are read before the answer.
const MAX_HEAD: usize = 16 * 1024;
const SENTENCE: &str = "this port speaks HTTPS; write https:// instead of http://\n";

/// Whether the first byte that a client sends begins an HTTP request. A TLS record begins with a control character, a method
/// with a letter. Waits for that byte, and leaves it to be read.
pub(super) async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}

/// Answers with 400 once the head has arrived. What arrives is read first: a connection that is closed with unread bytes is
/// reset, and the client may then never see the answer.
pub(super) async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
    while head.len() < MAX_HEAD && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut chunk).await? {
            0 => break,
            read => head.extend_from_slice(&chunk[..read]),
        }
    }
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{SENTENCE}",
        SENTENCE.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
