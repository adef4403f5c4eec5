//! From listening sockets to answered requests, with a bound on everything a client can make us hold.
//!
//! Routes are axum's; the accept loop is ours, because `axum::serve` waits for ever for a request that never ends, for
//! a client that never reads, and for both of them at shutdown. Four clocks run here:
//!
//! * the request head: from the start of the connection or, further on, from its first byte, kept by [`Guarded`];
//! * the wait for the next request on an open connection, kept by hyper;
//! * a client that has stopped taking the answer, kept by [`Guarded`];
//! * the age of the connection, which also bounds whatever the others miss.
//!
//! The number of connections is bounded by [`ConnectionSlots`].

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout, timeout_at};

use super::WebOptions;
use super::plain;
use super::security::{Peer, Security};
use super::slots::{ConnectionSlots, ConnectionState, Slot};
use super::tcp::OverTcp;

/// An error of accepting that is younger than this may continue after a connection was accepted.
const ACCEPT_CALM: Duration = Duration::from_secs(60);
/// Pause after an accept that failed. Out of file descriptors, the next one fails at once too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What the kernel holds for a client that does not take its answer, in bytes; it takes twice that, for its books. Left
/// to itself it holds megabytes.
const SEND_BUFFER: usize = 128 * 1024;
/// The smallest buffer hyper agrees to.
const LEAST_HEAD_BYTES: usize = 8 * 1024;

/// What every connection needs.
#[derive(Clone)]
struct ServeContext {
    router: Router,
    options: Arc<WebOptions>,
    security: Arc<Security>,
    /// Whether the listener's address is one of loopback.
    loopback: bool,
    stopped: watch::Receiver<bool>,
}

/// Serves `router` on all `listeners` until `shutdown`, then drains for at most `options.drain` and returns.
pub(super) async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    options: WebOptions,
    security: Arc<Security>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    if listeners.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on"));
    }
    let slots = ConnectionSlots::new(options.max_connections);
    let (stop, stopped) = watch::channel(false);
    let drain = options.drain;
    let looks = Arc::clone(&security);
    let options = Arc::new(options);
    let context = ServeContext { router, options, security, loopback: false, stopped };
    let mut loops = JoinSet::new();
    for listener in listeners {
        let loopback = listener.local_addr()?.ip().to_canonical().is_loopback();
        let context = ServeContext { loopback, ..context.clone() };
        loops.spawn(accept(listener, context, Arc::clone(&slots)));
    }
    tokio::select! {
        () = shutdown => {}
        () = looks.watch() => {}
    }
    stop.send_replace(true);
    let drained = async { while loops.join_next().await.is_some() {} };
    if timeout(drain, drained).await.is_err() {
        tracing::debug!("clients were still connected when the time to drain was over");
    }
    // Dropping the loops drops their connections.
    loops.shutdown().await;
    Ok(())
}

/// Accepts until told to stop, then waits for its connections; ends them when dropped.
///
/// At most one connection per address is accepted and without a slot; more wait in the kernel's queue, which is bounded,
/// and not in our memory.
async fn accept(listener: TcpListener, context: ServeContext, slots: Arc<ConnectionSlots>) {
    let mut connections = JoinSet::new();
    // Since when connections cannot be accepted, and how often that failed.
    let mut failing: Option<(Instant, u64)> = None;
    let mut stopping = context.stopped.clone();
    let mut stop = pin!(stopping.wait_for(|stopped| *stopped));
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, address)) => {
                if let Some((since, times)) = failing.take_if(|(since, _)| since.elapsed() > ACCEPT_CALM) {
                    let lasted = humantime::format_duration(Duration::from_secs(since.elapsed().as_secs()));
                    tracing::info!(%lasted, times, "connections are accepted again");
                }
                // Matters of speed and memory; the connection works without them.
                let _ = stream.set_nodelay(true);
                let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
                let taken = tokio::select! {
                    biased;
                    _ = &mut stop => break,
                    taken = slots.take(address.ip()) => taken,
                };
                let context = context.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = client(stream, context, &taken.slot) => {}
                        () = taken.slot.evicted() => {}
                    }
                });
            }
            Err(error) => {
                let (_, times) = failing.get_or_insert_with(|| {
                    tracing::warn!(%error, "connections cannot be accepted; retrying");
                    (Instant::now(), 0)
                });
                *times += 1;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one client to its end, with or without TLS. The handshake is part of the time for the request head.
async fn client(stream: TcpStream, context: ServeContext, slot: &Arc<Slot>) {
    let deadline = Instant::now() + context.options.head_timeout;
    let current = context.security.current();
    let mut peer = Peer {
        trust: current.trust(),
        generation: current.generation(),
        verified: false,
        loopback: context.loopback,
    };
    let Some(tls) = current.tls() else {
        return connection(stream, context, slot, peer, deadline).await;
    };
    let mut stopped = context.stopped.clone();
    let handshake = async {
        if plain::is_plain_http(&stream).await? {
            plain::refuse(stream).await?;
            return Err(io::Error::other("the client speaks plain HTTP"));
        }
        tls.accept(stream).await
    };
    let shaken = tokio::select! {
        shaken = timeout_at(deadline, handshake) => shaken,
        _ = stopped.wait_for(|stopped| *stopped) => return,
    };
    match shaken {
        Ok(Ok((stream, verified))) => {
            // The connection may outlive the configuration.
            drop(current);
            peer.verified = verified;
            connection(stream, context, slot, peer, deadline).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake did not end in time"),
    }
}

/// Serves one connection to its end. `stream` may be TCP or anything on top of it.
async fn connection<I>(stream: I, context: ServeContext, slot: &Arc<Slot>, peer: Peer, deadline: Instant)
where
    I: AsyncRead + AsyncWrite + OverTcp + Unpin + Send + 'static,
{
    let ServeContext { router, options, mut stopped, .. } = context;
    let guarded = Guarded {
        stream,
        slot: Arc::clone(slot),
        head_limit: options.head_timeout,
        // Runs at once: a client that connects and says nothing is not waited for any longer.
        head_deadline: Some(Box::pin(sleep_until(deadline))),
        write_limit: options.write_timeout,
        write_deadline: None,
    };
    let routes = TowerToHyperService::new(router);
    let slot = Arc::clone(slot);
    let service = service_fn(move |mut request: Request<Incoming>| {
        slot.ask();
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(Arc::clone(&slot));
        let (answer, slot) = (routes.call(request), Arc::clone(&slot));
        async move {
            let answer = answer.await;
            slot.set(ConnectionState::Sending);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper starts this clock when it begins to wait for a request, not at its first byte.
        .header_read_timeout(options.idle_timeout)
        .max_buf_size(options.max_head_bytes.max(LEAST_HEAD_BYTES))
        .serve_connection(TokioIo::new(guarded), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return report(ended),
        () = sleep(options.max_age) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    match timeout(options.close_grace, connection).await {
        Ok(ended) => report(ended),
        Err(_) => tracing::debug!("a connection was cut: its client did not let it end"),
    }
}

fn report(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A stream that gives up on a client which sends its request head, or takes its answer, too slowly.
///
/// Both clocks run from their beginning and are not wound back by a byte now and then.
struct Guarded<I: OverTcp> {
    stream: I,
    slot: Arc<Slot>,
    head_limit: Duration,
    /// Runs from the start of the connection, and then from the first byte of each further request head, until the head
    /// is complete.
    head_deadline: Option<Pin<Box<Sleep>>>,
    write_limit: Duration,
    /// Runs from the moment the client stops taking the answer until all of it is taken.
    write_deadline: Option<Pin<Box<Sleep>>>,
}

impl<I: OverTcp> Guarded<I> {
    /// Keeps the write clock: `polled` is what the stream said to bytes, to a flush, or to its end.
    ///
    /// Only a flush stops the clock. hyper asks for one when it has written all it has, and a stream that keeps bytes
    /// back, as TLS does, answers when they are gone too.
    fn clock<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            let (limit, slot) = (self.write_limit, &self.slot);
            let deadline = self.write_deadline.get_or_insert_with(|| {
                slot.set(ConnectionState::Stalled);
                Box::pin(sleep(limit))
            });
            if deadline.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(late("the client does not take its answer")));
            }
        }
        polled
    }
}

impl<I: OverTcp> Drop for Guarded<I> {
    /// A client that is cut in the middle of an answer is reset. Otherwise the kernel would go on offering it the rest.
    fn drop(&mut self) {
        if self.write_deadline.is_some() {
            let _ = SockRef::from(self.stream.tcp()).set_linger(Some(Duration::ZERO));
        }
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<I: AsyncRead + OverTcp + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.slot.has_asked() {
            this.head_deadline = None;
        }
        if let Some(deadline) = &mut this.head_deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(late("the request head did not end")));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        // A body has a time limit of its own.
        let is_body = this.slot.state() == ConnectionState::Receiving;
        if buffer.filled().len() > before && this.head_deadline.is_none() && !is_body {
            this.head_deadline = Some(Box::pin(sleep(this.head_limit)));
            if this.slot.state() == ConnectionState::Idle {
                this.slot.set(ConnectionState::Arriving);
            }
        }
        polled
    }
}

impl<I: AsyncWrite + OverTcp + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.clock(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.clock(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if polled.is_ready() {
            self.write_deadline = None;
            if matches!(self.slot.state(), ConnectionState::Sending | ConnectionState::Stalled) {
                self.slot.set(ConnectionState::Idle);
            }
        }
        self.clock(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.clock(context, polled)
    }
}
