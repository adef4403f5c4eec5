//! The other end of `/-/ready`: a health check for containers without a shell.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::security::tls;

/// Most bytes of an answer that are looked at.
const MAX_ANSWER: u64 = 8 * 1024;
/// What to do about a listener that a health check cannot get past.
const EXCLUDE: &str = "add /-/ready to auth_excluded_paths of its web configuration file";

/// Asks `{address}{path}` once, in plain HTTP or over TLS, whichever the address serves, and is content with status 200.
///
/// The certificate of the other end is not verified: neither request nor answer is secret, a process that answers in the
/// exporter's place gains nothing, and a health check that fails because of a certificate would have a healthy exporter restarted. `timeout` covers connecting, asking and reading together.
///
/// # Errors
/// One printable line on what went wrong: not reachable, no answer in time, or the status with the reason that came
/// with it.
pub async fn healthcheck(address: SocketAddr, path: &str, timeout: Duration) -> Result<(), String> {
    match tokio::time::timeout(timeout, find_out(address, path)).await {
        Err(_) => Err(format!("{address} did not answer within {}", humantime::format_duration(timeout))),
        Ok(verdict) => verdict,
    }
}

async fn find_out(address: SocketAddr, path: &str) -> Result<(), String> {
    let cannot = |error: io::Error| format!("{address} cannot be asked: {error}");
    let stream = TcpStream::connect(address).await.map_err(cannot)?;
    let plain = ask(stream, address, path).await;
    // A TLS server answers plain HTTP with 400, with an alert or not at all.
    let may_be_tls =
        |answer: &[u8]| answer.starts_with(b"HTTP/1.1 400") || answer.starts_with(b"HTTP/1.0 400");
    if let Ok(answer) = &plain
        && answer.starts_with(b"HTTP/")
        && !may_be_tls(answer)
    {
        return judge(address, &String::from_utf8_lossy(answer));
    }
    match ask_over_tls(address, path).await {
        Some(Ok(answer)) if answer.starts_with(b"HTTP/") => judge(address, &String::from_utf8_lossy(&answer)),
        Some(_) => {
            Err(format!("{address} ended the TLS connection; if clients need a certificate there, {EXCLUDE}"))
        }
        None => judge(address, &String::from_utf8_lossy(&plain.map_err(cannot)?)),
    }
}

/// `None` when the address does not serve TLS.
async fn ask_over_tls(address: SocketAddr, path: &str) -> Option<io::Result<Vec<u8>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    let stream = tls::unverified(stream, address.ip()).await.ok()?;
    Some(ask(stream, address, path).await)
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    path: &str,
) -> io::Result<Vec<u8>> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn judge(address: SocketAddr, answer: &str) -> Result<(), String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "));
    match status.and_then(|rest| rest.get(..3)) {
        Some("200") => Ok(()),
        Some("401") => Err(format!("{address} requires authentication; {EXCLUDE}")),
        Some(code) if code.bytes().all(|b| b.is_ascii_digit()) => {
            let reason: String = body
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect();
            let separator = if reason.is_empty() { "" } else { ": " };
            Err(format!("{address} answered {code}{separator}{reason}"))
        }
        _ => Err(format!("{address} did not answer in HTTP; is another program listening there?")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with `answer` and keeps the connection open when that is empty.
    async fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /-/ready HTTP/1.1\r\nHost: 127.0.0.1:"));
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    async fn verdict(answer: &'static str) -> Result<(), String> {
        let address = answering(answer).await;
        let verdict = healthcheck(address, "/-/ready", Duration::from_millis(300)).await;
        verdict.map_err(|text| text.replace(&address.to_string(), "HERE"))
    }

    #[tokio::test]
    async fn only_200_is_content() {
        assert_eq!(verdict("HTTP/1.1 200 OK\r\n\r\nready\n").await, Ok(()));
        for (answer, text) in [
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\nfirst sweep\u{1b} is running\nmore",
                "HERE answered 503: first sweep is running",
            ),
            ("HTTP/1.1 404 Not Found\r\n\r\n", "HERE answered 404"),
            ("HTTP/1.1 400 Bad Request\r\n\r\nno\n", "HERE answered 400: no"),
            ("SSH-2.0-OpenSSH\r\n", "HERE did not answer in HTTP; is another program listening there?"),
            ("", "HERE did not answer within 300ms"),
        ] {
            assert_eq!(verdict(answer).await, Err(text.to_owned()));
        }
    }

    #[tokio::test]
    async fn nobody_listening_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = healthcheck(address, "/-/ready", Duration::from_secs(1)).await.unwrap_err();
        assert!(error.starts_with(&format!("{address} cannot be asked: Connection refused")), "{error}");
    }
}
