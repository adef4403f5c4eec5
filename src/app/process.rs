//! The process itself: what of it others can get hold of, and that it ends when it is asked to.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::Failure;

/// From the signal on, the process ends within this, whatever hangs: a file, the state, a name lookup. An orderly stop
/// takes at most half of it.
pub const STOP_LIMIT: Duration = Duration::from_secs(8);

/// Keeps the memory of the process, and with it the API key, from others: no core dump is written, and no other process
/// of the same user can attach to it or read its memory.
pub fn protect_memory() {
    // Each works alone; where the system allows neither, the exporter is as safe as any other process.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// What SIGHUP means to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// The configuration is read again; that is not handled here.
    Reloads,
    /// The terminal was closed.
    Stops,
}

/// Completes at SIGTERM or SIGINT, and at SIGHUP where that stops. From then on, the process ends within [`STOP_LIMIT`].
///
/// Signals are received on a thread and a runtime of their own, so that a worker that hangs cannot delay them.
///
/// # Errors
/// When signals cannot be received.
pub fn stop_signal(hangup: Hangup) -> Result<impl Future<Output = ()>, Failure> {
    let cannot = |error: io::Error| Failure(format!("signals cannot be received: {error}"));
    let (ready, started) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(watch(hangup, &ready, stop)),
                Err(error) => drop(ready.send(Err(error))),
            }
        })
        .map_err(cannot)?;
    started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended"))).map_err(cannot)?;
    Ok(async { drop(stopped.await) })
}

async fn watch(hangup: Hangup, ready: &mpsc::Sender<io::Result<()>>, stop: oneshot::Sender<()>) {
    let signals = || {
        let hangups = (hangup == Hangup::Stops).then(|| signal(SignalKind::hangup())).transpose()?;
        Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, hangups))
    };
    let (mut terminate, mut interrupt, mut hangups) = match signals() {
        Ok(signals) => signals,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let _ = ready.send(Ok(()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = async { hangups.as_mut()?.recv().await }, if hangups.is_some() => {}
    }
    let _ = stop.send(());
    tokio::time::sleep(STOP_LIMIT).await;
    let limit = STOP_LIMIT.as_secs();
    tracing::error!(limit, "shutdown timed out; exiting");
    // For the thread that writes the log.
    tokio::time::sleep(Duration::from_millis(200)).await;
    // What was committed is durable, and what was not is read again after the next start.
    std::process::exit(0);
}
