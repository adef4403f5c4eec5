//! The one place that knows how a collector is put together.

use blooio_exporter::api::MessageRef;
use blooio_exporter::clock::Clock;
use blooio_exporter::collect::{Collector, IdHasher, Options, Watch};
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
    pub(super) hasher: IdHasher,
    pub(super) options: Options,
    /// The host's clock.
    pub(super) clock: Clock,
}

/// Builds the collector of one process over what was committed, and shows its first page.
pub(super) fn collector(parts: Parts) -> Collector<Network, Disk> {
    let Parts { network, disk, store, slot, hasher, options, clock } = parts;
    let ledger = Ledger::new(options.policy(), store.restore());
    Collector::new(Watch { account: "sim", clock, slot, hasher, options }, network, ledger, disk)
}

/// Runs it until it is dropped.
pub(super) async fn run(mut collector: Collector<Network, Disk>) {
    collector.run(std::future::pending()).await;
}

/// The id under which a message is committed.
pub(super) fn message_id(hasher: &IdHasher, direction: Direction, id: &str) -> MessageId {
    hasher.message(direction, &MessageRef::parse(id).unwrap())
}
