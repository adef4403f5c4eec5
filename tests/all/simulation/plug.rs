//! The one place that knows how a collector is put together.

use blooio_exporter::api::{self, Client, MessageRef};
use blooio_exporter::clock::Clock;
use blooio_exporter::collect::{Collector, Keyring, Options, Recorder};
use blooio_exporter::domain::{Direction, Ledger, MessageId};
use blooio_exporter::metrics::Slot;
use blooio_exporter::store::MemoryStore;

use super::disk::Disk;
use super::network::Network;

/// What one process is made of.
pub(super) struct Parts {
    pub(super) network: Network,
    pub(super) disk: Disk,
    pub(super) store: MemoryStore,
    pub(super) slot: Slot,
    pub(super) keyring: Keyring,
    pub(super) options: Options,
    /// The host's clock.
    pub(super) clock: Clock,
    /// What the host's clock said when the first process of the life started.
    pub(super) first_start: i64,
}

/// Builds the collector of one process over what was committed, and shows its first page.
pub(super) fn collector(parts: Parts) -> Collector<Network, Disk> {
    let Parts { network, disk, store, slot, keyring, options, clock, first_start } = parts;
    let ledger = Ledger::new(options.policy(), store.restore());
    let recorder = Recorder::new("sim", ledger, disk, slot, clock.now());
    let client = Client::new(network, clock, api::Options { budget: options.budget });
    Collector::new("sim", client, recorder, keyring, options, first_start)
}

/// Runs it until it is dropped.
pub(super) async fn run(collector: Collector<Network, Disk>) {
    collector.run(std::future::pending()).await;
}

/// The id under which a message is committed.
pub(super) fn message_id(keyring: &Keyring, _direction: Direction, id: &str) -> MessageId {
    keyring.message(&MessageRef::parse(id).unwrap())
}
