//! A simulated API on a loopback port.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blooio_exporter::simulator::{self, World};

use super::{Page, eventually};

/// The machine's time, unix ms.
pub(crate) fn wall_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A world that is served on a loopback port by a thread of its own. Its clock is the machine's, and can be
/// set forward.
pub(crate) struct Simulated {
    world: Arc<Mutex<World>>,
    address: SocketAddr,
    ahead: Arc<AtomicI64>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Simulated {
    pub(crate) fn start(world: World) -> Simulated {
        let (world, ahead) = (Arc::new(Mutex::new(world)), Arc::new(AtomicI64::new(0)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (served, offset) = (Arc::clone(&world), Arc::clone(&ahead));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let clock: simulator::Clock = Arc::new(move || wall_clock() + offset.load(Ordering::Relaxed));
                let stopped = async { drop(stopped.await) };
                simulator::serve(listener, served, clock, stopped).await.unwrap();
            });
        });
        Simulated { world, address, ahead, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}{}", self.address, simulator::BASE_PATH)
    }

    /// Sends the world's events to a URL, in a manner that may change, until the test ends.
    pub(crate) fn feed(&self, url: &str, manner: &Arc<Mutex<simulator::Manner>>) -> simulator::Answers {
        let answers = simulator::Answers::default();
        let (world, manner) = (Arc::clone(&self.world), Arc::clone(manner));
        let (target, told) = (simulator::Target::parse(url).unwrap(), Arc::clone(&answers));
        let offset = Arc::clone(&self.ahead);
        let clock: simulator::Clock = Arc::new(move || wall_clock() + offset.load(Ordering::Relaxed));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let how = (simulator::EventFaults::NONE, manner);
            runtime.block_on(simulator::deliver(world, target, how, clock, told, std::future::pending()));
        });
        answers
    }

    /// Sets the world's clock forward.
    pub(crate) fn skip(&self, by: Duration) {
        self.ahead.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
    }

    /// Ends the traffic and lets the world's clock run ahead until nothing in it will change any more. Before that, the `page` of
    /// the exporter must show that it knows the time of this account's server: nobody learns it from a clock that never stops
    /// jumping.
    pub(crate) fn come_to_rest(&self, account: &str, mut page: impl FnMut() -> Option<Page>) {
        self.world().quiet();
        eventually(&format!("the time of account {account} is known"), || {
            let offset = page()?.of(account, "blooio_api_clock_offset_seconds");
            (!offset.is_empty()).then_some(())
        });
        eventually(&format!("account {account} comes to rest"), || {
            page();
            let settled = self.world().settled();
            if !settled {
                self.skip(Duration::from_secs(1800));
            }
            settled.then_some(())
        });
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
