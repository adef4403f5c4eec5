//! The one place that knows how a collector is put together.

use std::sync::Arc;
use std::time::Duration;

use blooio_exporter::api::MessageRef;
use blooio_exporter::clock::Clock;
use blooio_exporter::collect::{Collector, IdHasher, Options, Watch};
use blooio_exporter::domain::{Direction, Ledger, MessageId};
use blooio_exporter::feed::Hints;
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
    pub(super) clock: Clock,
    /// What events announce, and the time after which they are trusted.
    pub(super) feed: Option<(Arc<Hints>, Duration)>,
}

/// Builds the collector of one process over what was committed, and shows its first page.
pub(super) fn collector(parts: Parts) -> Collector<Network, Disk> {
    let Parts { network, disk, store, slot, hasher, options, clock, feed } = parts;
    let ledger = Ledger::new(options.policy(), store.restore());
    let watch = Watch { account: "sim", clock, slot, hasher, options };
    let collector = Collector::new(watch, network, ledger, disk);
    match feed {
        Some((hints, window)) => collector.following(Some(hints), window),
        None => collector,
    }
}

/// Runs it until it is dropped.
pub(super) async fn run(mut collector: Collector<Network, Disk>) {
    collector.run(std::future::pending()).await;
}

/// The id under which a message is committed.
pub(super) fn message_id(hasher: &IdHasher, direction: Direction, id: &str) -> MessageId {
    hasher.message(direction, &MessageRef::parse(id).unwrap())
}
