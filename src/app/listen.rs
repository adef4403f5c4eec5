//! Addresses to listen on: bound before anything is created, listened on once everything is ready.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::Failure;

/// Connections that the kernel holds until they are accepted; it takes fewer where the system allows fewer.
const BACKLOG: u32 = 4096;

/// Addresses that belong to this process and refuse connections until [`Bound::listen`].
pub(super) struct Bound {
    flag: &'static str,
    sockets: Vec<(SocketAddr, TcpSocket)>,
}

impl Bound {
    /// Binds the addresses that `flag` names.
    ///
    /// # Errors
    /// For the first address that cannot be bound, with the flag, the address and what to do.
    pub(super) fn new(addresses: &[SocketAddr], flag: &'static str) -> Result<Self, Failure> {
        let bound = addresses.iter().map(|address| match socket(*address) {
            Ok(socket) => Ok((*address, socket)),
            Err(error) => Err(refusal(flag, *address, &error)),
        });
        Ok(Self { flag, sockets: bound.collect::<Result<_, Failure>>()? })
    }

    /// Connections are accepted from here on.
    ///
    /// # Errors
    /// When another process has begun to listen on one of the addresses meanwhile.
    pub(super) fn listen(self) -> Result<Vec<TcpListener>, Failure> {
        let listening = self.sockets.into_iter().map(|(address, socket)| {
            socket.listen(BACKLOG).map_err(|error| refusal(self.flag, address, &error))
        });
        listening.collect()
    }
}

/// Binds and listens at once.
///
/// # Errors
/// As [`Bound::new`].
pub(super) fn bind(addresses: &[SocketAddr], flag: &'static str) -> Result<Vec<TcpListener>, Failure> {
    Bound::new(addresses, flag)?.listen()
}

/// Binds the addresses and releases them again. Returns those that another process uses.
///
/// # Errors
/// For an address that cannot be bound for another reason, as [`Bound::new`].
pub(super) fn in_use(addresses: &[SocketAddr], flag: &'static str) -> Result<Vec<SocketAddr>, Failure> {
    let mut in_use = Vec::new();
    // Held until the end: two of the addresses may exclude each other.
    let mut sockets = Vec::new();
    for address in addresses {
        match socket(*address) {
            Ok(socket) => sockets.push(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => in_use.push(*address),
            Err(error) => return Err(refusal(flag, *address, &error)),
        }
    }
    Ok(in_use)
}

/// Why an address cannot be listened on, and what to do.
pub(super) fn refusal(flag: &str, address: SocketAddr, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "stop what uses it, or choose another",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; choose one of its own",
        io::ErrorKind::PermissionDenied => "choose a port above 1023",
        _ => "choose another",
    };
    Failure(format!("{flag}: cannot listen on {address}: {error}; {advice}"))
}

/// A bound socket. A port whose connections of an earlier run have not expired yet can be bound again.
fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAG: &str = "--web.listen-address";

    #[tokio::test]
    async fn a_bound_address_refuses_connections_until_it_is_listened_on() {
        let bound = Bound::new(&["127.0.0.1:0".parse().unwrap()], FLAG).unwrap();
        let address = bound.sockets[0].1.local_addr().unwrap();
        let refused = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let listeners = bound.listen().unwrap();
        assert!(std::net::TcpStream::connect(address).is_ok());
        assert_eq!(in_use(&[address], FLAG).unwrap(), [address]);
        drop(listeners);
    }

    #[tokio::test]
    async fn looking_at_an_address_leaves_it_free() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for _ in 0..2 {
            assert_eq!(in_use(&[free], FLAG).unwrap(), []);
        }
        let nobodys = in_use(&["192.0.2.1:1".parse().unwrap()], FLAG).unwrap_err().to_string();
        assert!(
            nobodys.contains("cannot listen on 192.0.2.1:1") && nobodys.contains("this machine"),
            "{nobodys}"
        );
    }
}
