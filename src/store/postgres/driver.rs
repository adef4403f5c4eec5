//! Connections to PostgreSQL. The only file that names the driver.
//!
//! Statements are sent unnamed with their parameter types: a named prepared statement belongs to one server connection,
//! which a pooler in transaction mode hands to someone else after each transaction.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryStreamExt;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::DbError;
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config};

use super::schema::Column;
use super::tls::{Tls, TlsStream};
use crate::secret::Secret;

/// Time limit for a connection, with TLS and authentication.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A connection whose other end is silent for so long is lost.
const SILENCE: Duration = Duration::from_secs(10);
const DEFAULT_PORT: u16 = 5432;

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Text(Option<String>),
    Float(Option<f64>),
    Bool(Option<bool>),
}

/// A parameter of a statement.
pub(super) enum Param {
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    Ints(Vec<Option<i64>>),
    Blobs(Vec<Option<Vec<u8>>>),
    Texts(Vec<Option<String>>),
    Floats(Vec<Option<f64>>),
    Bools(Vec<Option<bool>>),
}

impl Param {
    /// The values of one column as an array. A value of another type, of which there is none, becomes NULL.
    pub(super) fn array(column: Column, values: impl Iterator<Item = Value>) -> Param {
        match column {
            Column::Int => {
                Param::Ints(values.map(|value| if let Value::Int(v) = value { v } else { None }).collect())
            }
            Column::Bytes => {
                Param::Blobs(values.map(|value| if let Value::Bytes(v) = value { v } else { None }).collect())
            }
            Column::Text => {
                Param::Texts(values.map(|value| if let Value::Text(v) = value { v } else { None }).collect())
            }
            Column::Float => Param::Floats(
                values.map(|value| if let Value::Float(v) = value { v } else { None }).collect(),
            ),
            Column::Bool => {
                Param::Bools(values.map(|value| if let Value::Bool(v) = value { v } else { None }).collect())
            }
        }
    }

    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Param::Int(value) => (value, Type::INT8),
            Param::Text(value) => (value, Type::TEXT),
            Param::Bytes(value) => (value, Type::BYTEA),
            Param::Ints(values) => (values, Type::INT8_ARRAY),
            Param::Blobs(values) => (values, Type::BYTEA_ARRAY),
            Param::Texts(values) => (values, Type::TEXT_ARRAY),
            Param::Floats(values) => (values, Type::FLOAT8_ARRAY),
            Param::Bools(values) => (values, Type::BOOL_ARRAY),
        }
    }
}

/// Why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What the server says: its SQLSTATE. `None` when the connection failed.
    pub(super) code: Option<String>,
    /// What happened, without any stored value.
    pub(super) detail: String,
    /// Whether it happened while TLS was set up.
    pub(super) in_tls: bool,
}

/// What the driver says when the server asks for a password and there is none.
const NO_PASSWORD: &str = "password missing";
/// How the driver names every error of a TLS handshake; the cause follows.
const TLS_FAILED: &str = "error performing TLS handshake";

impl Fault {
    pub(super) fn lost(detail: impl Into<String>) -> Fault {
        Fault { code: None, detail: detail.into(), in_tls: false }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Fault {
        let source = error.source();
        if let Some(database) = source.and_then(|source| source.downcast_ref::<DbError>()) {
            let code = database.code().code().to_owned();
            // Data exceptions and violated constraints quote values.
            let detail = match code.get(..2) {
                Some("22" | "23") => format!("SQLSTATE {code}"),
                _ => format!("{} (SQLSTATE {code})", database.message()),
            };
            return Fault { code: Some(code), detail, in_tls: false };
        }
        let what = error.to_string();
        match source {
            Some(cause) if what == TLS_FAILED => {
                Fault { code: None, detail: cause.to_string(), in_tls: true }
            }
            Some(cause) if cause.to_string() == NO_PASSWORD => {
                let code = Some("28P01".to_owned());
                Fault {
                    code,
                    detail: "it asks for a password, and none is configured".to_owned(),
                    in_tls: false,
                }
            }
            Some(cause) => Fault::lost(format!("{what}: {cause}")),
            None => Fault::lost(what),
        }
    }
}

/// Where the database is, taken from a URL without a password.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    tls: Tls,
    /// TLS was asked for where it is not required as well.
    always_tls: bool,
}

impl Target {
    /// # Errors
    /// What is wrong with the URL, without any part of it.
    pub(super) fn new(url: &str, tls: Tls, always_tls: bool) -> Result<Target, &'static str> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("is not a URL of PostgreSQL; write postgres://USER@HOST:PORT/DATABASE");
        }
        let query = url.split_once('?').map_or("", |(_, query)| query);
        if query.split('&').any(|option| option.starts_with("ssl")) {
            return Err(
                "sets an option of TLS; TLS is always required, except on sockets and loopback addresses: remove it",
            );
        }
        let config: Config = url
            .parse()
            .map_err(|_| "is not a URL of PostgreSQL; write postgres://USER@HOST:PORT/DATABASE")?;
        if config.get_password().is_some() {
            return Err(
                "holds a password, which every process of the machine could read; put it into a file and name that with \
                        --state.password-file, or into PGPASSWORD",
            );
        }
        if config.get_hosts().is_empty() {
            return Err(
                "names no host; write postgres://USER@HOST:PORT/DATABASE, or ?host=/run/postgresql for a socket",
            );
        }
        Ok(Target { config, tls, always_tls })
    }

    /// The hosts and the database, as errors name them.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<String> = self
            .hosts()
            .map(|(host, port)| match host {
                Host::Tcp(host) => format!("{host}:{port}"),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("postgres");
        format!("{}/{database}", hosts.join(","))
    }

    fn hosts(&self) -> impl Iterator<Item = (&Host, u16)> {
        let ports = self.config.get_ports();
        let port = move |n: usize| ports.get(n).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
        self.config.get_hosts().iter().enumerate().map(move |(n, host)| (host, port(n)))
    }

    /// How many hosts there are to try.
    pub(super) fn host_count(&self) -> usize {
        self.hosts().count()
    }

    /// Connects to one of the hosts.
    pub(super) async fn connect(&self, nth: usize, password: Option<&Secret>) -> Result<Session, Fault> {
        let Some((host, port)) = self.hosts().nth(nth) else {
            return Err(Fault::lost("there is no such host"));
        };
        let connecting = timeout(CONNECT_LIMIT, self.connect_to(host, port, password));
        connecting.await.unwrap_or_else(|_| Err(Fault::lost("no connection within 5s")))
    }

    async fn connect_to(&self, host: &Host, port: u16, password: Option<&Secret>) -> Result<Session, Fault> {
        let (socket, is_local): (Socket, bool) = match host {
            Host::Unix(folder) => {
                (Socket(Box::new(unix(folder.join(format!(".s.PGSQL.{port}"))).await?)), true)
            }
            Host::Tcp(name) => {
                let (stream, address) = tcp(name, port).await?;
                (Socket(Box::new(stream)), address.to_canonical().is_loopback() && !self.always_tls)
            }
        };
        let mut config = self.config.clone();
        config.ssl_mode(if is_local { SslMode::Disable } else { SslMode::Require });
        if let Some(password) = password {
            config.password(password.expose());
        }
        if config.get_application_name().is_none() {
            config.application_name("blooio-exporter");
        }
        let name = match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(_) => String::new(),
        };
        let connector = Connector { tls: self.tls.clone(), name };
        let (client, connection) = config.connect_raw(socket, connector).await?;
        // Ends when the client is dropped, or the connection is lost, which the client then reports.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Session { client })
    }
}

async fn unix(path: PathBuf) -> Result<UnixStream, Fault> {
    UnixStream::connect(&path).await.map_err(|error| Fault::lost(format!("{}: {error}", path.display())))
}

async fn tcp(name: &str, port: u16) -> Result<(TcpStream, IpAddr), Fault> {
    let failed = |error: io::Error| Fault::lost(format!("{name}:{port}: {error}"));
    let addresses: Vec<SocketAddr> = lookup_host((name, port)).await.map_err(failed)?.collect();
    let mut last = Fault::lost(format!("{name}: has no address"));
    for address in addresses {
        match timeout(CONNECT_LIMIT / 2, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let socket = SockRef::from(&stream);
                let keepalive = TcpKeepalive::new().with_time(SILENCE / 2).with_interval(SILENCE / 4);
                socket.set_tcp_keepalive(&keepalive).map_err(failed)?;
                socket.set_tcp_user_timeout(Some(SILENCE)).map_err(failed)?;
                stream.set_nodelay(true).map_err(failed)?;
                return Ok((stream, address.ip()));
            }
            Ok(Err(error)) => last = failed(error),
            Err(_) => last = Fault::lost(format!("{name}:{port}: no connection in time")),
        }
    }
    Err(last)
}

/// One open connection to the database.
pub(super) struct Session {
    client: Client,
}

impl Session {
    /// Whether the connection is lost.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs statements without parameters.
    pub(super) async fn batch(&self, statements: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(statements).await?)
    }

    /// Runs a statement, and returns how many rows it changed.
    pub(super) async fn execute(&self, statement: &str, params: &[Param]) -> Result<u64, Fault> {
        let params: Vec<_> = params.iter().map(Param::typed).collect();
        Ok(self.client.execute_typed(statement, &params).await?)
    }

    /// Runs a query whose columns have these types.
    pub(super) async fn query(
        &self,
        query: &str,
        params: &[Param],
        types: &[Column],
    ) -> Result<Vec<Vec<Value>>, Fault> {
        let params = params.iter().map(Param::typed);
        let rows = self.client.query_typed_raw(query, params).await?;
        let rows = rows.map_err(Fault::from).and_then(|row| {
            let value = |(at, column): (usize, &Column)| -> Result<Value, tokio_postgres::Error> {
                Ok(match column {
                    Column::Int => Value::Int(row.try_get(at)?),
                    Column::Bytes => Value::Bytes(row.try_get(at)?),
                    Column::Text => Value::Text(row.try_get(at)?),
                    Column::Float => Value::Float(row.try_get(at)?),
                    Column::Bool => Value::Bool(row.try_get(at)?),
                })
            };
            let values: Result<Vec<Value>, _> = types.iter().enumerate().map(value).collect();
            std::future::ready(values.map_err(Fault::from))
        });
        rows.try_collect().await
    }
}

/// A stream of bytes.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a session runs over, before TLS.
struct Socket(Box<dyn Duplex>);

struct Connector {
    tls: Tls,
    name: String,
}

impl TlsConnect<Socket> for Connector {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move { self.tls.handshake(&self.name, socket).await.map(Encrypted) })
    }
}

/// A stream over TLS, as the driver wants it.
struct Encrypted(TlsStream<Socket>);

impl tokio_postgres::tls::TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// Reads and writes go to the stream inside.
macro_rules! delegate {
    ($name:ty) => {
        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_read(cx, buf)
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write(cx, buf)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_flush(cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_shutdown(cx)
            }
        }
    };
}

delegate!(Socket);
delegate!(Encrypted);
