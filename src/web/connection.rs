//! From listening sockets to answered requests, with a bound on everything a client can make us hold.
//!
//! Routes are axum's; the accept loop is ours, because `axum::serve` waits for ever for a request that never ends, for
//! a client that never reads, and for both of them at shutdown. Four clocks run here:
//!
//! * the request head: from the start of the connection or, further on, from its first byte, kept by [`Guarded`];
//! * the wait for the next request on an open connection, kept by hyper;
//! * a client that has stopped taking the answer, kept by [`Guarded`];
//! * the age of the connection, which also bounds whatever the others miss.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use super::WebOptions;

/// Pause after an accept that failed. Out of file descriptors, the next one fails at once too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The smallest buffer hyper agrees to.
const LEAST_HEAD_BYTES: usize = 8 * 1024;

/// Serves `router` on all `listeners` until `shutdown`, then drains for at most `options.drain` and returns.
pub(super) async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    options: WebOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    if listeners.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on"));
    }
    let limit = Arc::new(Semaphore::new(options.max_connections));
    let (stop, stopped) = watch::channel(false);
    let drain = options.drain;
    let options = Arc::new(options);
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(accept(
            listener,
            router.clone(),
            Arc::clone(&limit),
            Arc::clone(&options),
            stopped.clone(),
        ));
    }
    shutdown.await;
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
/// A permit is taken before a connection is accepted: clients beyond the limit wait in the kernel's queue, which is
/// bounded, and not in our memory.
async fn accept(
    listener: TcpListener,
    router: Router,
    limit: Arc<Semaphore>,
    options: Arc<WebOptions>,
    stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut failing = false;
    let mut stopping = stopped.clone();
    let mut stop = pin!(stopping.wait_for(|stopped| *stopped));
    loop {
        let permit = tokio::select! {
            biased;
            _ = &mut stop => break,
            permit = Arc::clone(&limit).acquire_owned() => permit,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            biased;
            _ = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                failing = false;
                // Only a matter of speed; the connection works without it.
                let _ = stream.set_nodelay(true);
                let served = connection(stream, router.clone(), Arc::clone(&options), stopped.clone());
                connections.spawn(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "connections cannot be accepted; retrying");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection to its end. `stream` may be TCP or anything on top of it.
async fn connection<I>(
    stream: I,
    router: Router,
    options: Arc<WebOptions>,
    mut stopped: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let guarded = Guarded {
        stream,
        asked: Arc::clone(&asked),
        head_limit: options.head_timeout,
        // Runs at once: a client that connects and says nothing is not waited for any longer.
        head_deadline: Some(Box::pin(sleep(options.head_timeout))),
        write_limit: options.write_timeout,
        write_deadline: None,
    };
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        routes.call(request)
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
struct Guarded<I> {
    stream: I,
    /// Set by the service when a request head is complete.
    asked: Arc<AtomicBool>,
    head_limit: Duration,
    /// Runs from the start of the connection, and then from the first byte of each further request head, until the head
    /// is complete.
    head_deadline: Option<Pin<Box<Sleep>>>,
    write_limit: Duration,
    /// Runs from the moment the client stops taking the answer until all that was offered is taken.
    write_deadline: Option<Pin<Box<Sleep>>>,
}

impl<I> Guarded<I> {
    /// Keeps the write clock: `polled` is what the stream said to `offered` bytes.
    fn clock_write(
        &mut self,
        context: &mut Context<'_>,
        offered: usize,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Ready(Ok(taken)) if *taken >= offered => self.write_deadline = None,
            Poll::Ready(_) => {}
            Poll::Pending => {
                let limit = self.write_limit;
                let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
                if deadline.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(late("the client does not take its answer")));
                }
            }
        }
        polled
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.asked.swap(false, Ordering::Relaxed) {
            this.head_deadline = None;
        }
        if let Some(deadline) = &mut this.head_deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(late("the request head did not end")));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && this.head_deadline.is_none() {
            this.head_deadline = Some(Box::pin(sleep(this.head_limit)));
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.clock_write(context, bytes.len(), polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.clock_write(context, offered, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
