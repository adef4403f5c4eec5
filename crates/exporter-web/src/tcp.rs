//! The TCP connection below a stream, with or without TLS.

use tokio::net::TcpStream;

/// A stream that goes over a TCP connection.
pub(super) trait OverTcp {
    /// The TCP connection that carries the stream.
    fn tcp(&self) -> &TcpStream;
}

impl OverTcp for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}
