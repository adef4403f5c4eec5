//! Scrapes every replica all the time, and checks what must hold at every moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{Page, ask_within};

/// Longest that a scrape may take: a replica that is stopped does not answer.
const SCRAPE: Duration = Duration::from_secs(1);

/// Addresses of the replicas, by a number that is never used again.
pub(super) type Addresses = Arc<Mutex<BTreeMap<usize, SocketAddr>>>;

/// Between which moments an account was certainly on the pages of a replica.
#[derive(Clone, Copy, Debug)]
struct Shown {
    from: Instant,
    until: Instant,
}

#[derive(Default)]
pub(super) struct Watched {
    /// Pages that were looked at.
    pub(super) pages: u64,
    /// By account, replica and epoch.
    shown: BTreeMap<(String, usize, u64), Shown>,
    /// The highest value of each series that only grows.
    highest: BTreeMap<String, f64>,
}

/// The thread that watches.
pub(super) struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Watched>,
}

/// A page, or nothing when the replica does not answer in time or is killed while it answers.
pub(super) fn scrape(address: SocketAddr) -> Option<Page> {
    let answer = ask_within(SCRAPE, "GET", address, "/metrics", &[])?;
    (answer.status == 200).then(|| Page::parse(&answer.body))
}

/// The accounts on a page.
pub(super) fn accounts_of(page: &Page) -> Vec<String> {
    page.family("blooio_up").into_keys().map(|labels| labels[0].clone()).collect()
}

impl Watcher {
    pub(super) fn start(addresses: Addresses) -> Watcher {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut watched = Watched::default();
            while !stopping.load(Ordering::Relaxed) {
                let replicas = addresses.lock().unwrap().clone();
                for (replica, address) in replicas {
                    let began = Instant::now();
                    if let Some(page) = scrape(address).filter(|_| began.elapsed() < SCRAPE) {
                        watched.take(replica, &page, began, Instant::now());
                    }
                }
                std::thread::sleep(Duration::from_millis(30));
            }
            watched
        });
        Watcher { stop, thread }
    }

    /// Ends it. Fails when something did not hold.
    pub(super) fn stop(self) -> Watched {
        self.stop.store(true, Ordering::Relaxed);
        let watched = self.thread.join().unwrap();
        watched.check_pages();
        watched
    }
}

impl Watched {
    fn take(&mut self, replica: usize, page: &Page, began: Instant, ended: Instant) {
        self.pages += 1;
        let epochs = page.family("blooio_exporter_lease_epoch");
        for account in accounts_of(page) {
            let epoch = epochs[&vec![account.clone()]] as u64;
            let shown = Shown { from: ended, until: began };
            let known = self.shown.entry((account.clone(), replica, epoch)).or_insert(shown);
            known.until = began;
            self.check_counters(page, &account);
        }
    }

    /// What only grows has not become less, whichever replica shows it. Counts of the process are another matter.
    fn check_counters(&mut self, page: &Page, account: &str) {
        let label = format!("{{account=\"{account}\"");
        for (series, value) in page.counters() {
            if series.contains(&label) && !series.starts_with("blooio_exporter_") {
                let before = self.highest.entry(series.clone()).or_insert(0.0);
                assert!(value + 1e-9 >= *before, "{series} was {before} and is {value}");
                *before = value;
            }
        }
    }

    /// No two replicas showed an account at the same moment.
    fn check_pages(&self) {
        for ((account, replica, epoch), shown) in &self.shown {
            for ((other_account, other, other_epoch), theirs) in &self.shown {
                let is_other = account == other_account && (replica, epoch) != (other, other_epoch);
                assert!(
                    !is_other || shown.until < theirs.from || theirs.until < shown.from,
                    "account {account} was on the pages of replica {replica} (epoch {epoch}) and {other} (epoch {other_epoch})"
                );
            }
        }
    }
}
