//! Encodes views as a metrics page, in both syntaxes, with the families of the catalogue.
//!
//! Here does not belong: when something is encoded, and what of it is kept (`page.rs`).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use super::catalogue as c;
use super::process::Usage;
use super::registry::Display;
use super::writer::{Syntax, Writer, account, label, of_lines, seconds, truth};
use crate::domain::{
    ChatKind, Counter, Device, Direction, Group, Histogram, HistogramKey, LineId, Protocol, Status, View,
    Webhook, families,
};

/// What the page says about the program.
#[derive(Clone, Debug)]
pub struct About {
    /// Version of the package.
    pub version: &'static str,
    /// Revision of the source.
    pub revision: &'static str,
    /// Version of the compiler.
    pub rustc: &'static str,
}

/// How the newest reading of a configuration went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastReload {
    /// Whether the newest reload was applied.
    pub successful: bool,
    /// When one last did, unix seconds.
    pub succeeded_at: f64,
}

/// When a certificate of the web configuration expires.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expiry {
    /// What it is for.
    pub role: &'static str,
    /// Its position in its file, from 1.
    pub position: usize,
    /// When it expires, in unix seconds.
    pub at: f64,
}

/// Webhooks that were received for an account, or for none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// The account's name, or [`Received::NO_ACCOUNT`].
    pub account: String,
    /// Accepted events by their kind.
    pub events: Vec<(&'static str, u64)>,
    /// Rejected deliveries by reason.
    pub rejected: Vec<(&'static str, u64)>,
    /// When the newest event was taken, unix seconds.
    pub last_event: Option<f64>,
}

impl Received {
    /// What stands for the account of deliveries to paths of no account.
    pub const NO_ACCOUNT: &str = "none";
}

/// What the page shows beside views and ages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outside {
    /// How reading the web configuration file went, where there is one.
    pub web_reload: Option<LastReload>,
    /// The certificates of the web configuration.
    pub certificates: Vec<Expiry>,
    /// Webhooks that were received, where they are.
    pub received: Vec<Received>,
    /// The leases of this replica, where replicas share the accounts.
    pub leases: Option<Leases>,
}

/// The leases of this replica.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leases {
    /// Every account that the replica competes for.
    pub accounts: Vec<Lease>,
    /// How often leases were taken and ended, by reason.
    pub transitions: Vec<(&'static str, u64)>,
    /// How often the database was found to have lost commits.
    pub lost_commits: u64,
}

/// The lease of an account, as this replica last read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lease {
    /// The name of the account.
    pub account: String,
    /// How often it was taken, by any replica.
    pub epoch: i64,
    /// Until when this replica may rely on it, unix seconds; `None` while it does not hold it.
    pub held_until: Option<f64>,
    /// Whether that has not passed.
    pub is_held: bool,
    /// Where the replica that holds it can be reached, for people; empty when none does.
    pub holder: String,
}

/// The text of some families. `capacity` is a guess at its length, in bytes.
pub(super) fn encode(collector: impl Collector, capacity: usize) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(collector));
    let mut text = String::with_capacity(capacity);
    encode_registry(&mut text, &registry)?;
    Ok(text)
}

/// The families that change only with the views and with the other content of the registry.
pub(super) struct Cached {
    pub(super) syntax: Syntax,
    pub(super) views: Vec<Arc<View>>,
    pub(super) display: Arc<Display>,
    pub(super) about: About,
}

/// The families that change by themselves: ages, the process, the web configuration.
pub(super) struct Live {
    pub(super) syntax: Syntax,
    pub(super) views: Vec<Arc<View>>,
    pub(super) display: Arc<Display>,
    pub(super) now: i64,
    pub(super) usage: Usage,
    pub(super) outside: Outside,
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cached")
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

impl Collector for Cached {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer { encoder, syntax: self.syntax, display: &self.display };
        self.messages(&mut writer)?;
        self.conversations(&mut writer)?;
        self.chats_and_devices(&mut writer)?;
        self.api(&mut writer)?;
        self.collection(&mut writer)?;
        self.webhooks(&mut writer)?;
        self.info(&mut writer)?;
        self.exporter(&mut writer)
    }
}

impl Cached {
    fn messages<'a>(&'a self, w: &mut Writer<'a, '_>) -> fmt::Result {
        let views = &self.views;
        w.durable(views, Group::Messages)?;
        let mut series = Vec::new();
        for view in views {
            for ((line, status), group) in &view.snapshot.open {
                let labels = account(view, vec![w.line(view, *line), label(status.as_str())]);
                series.push((labels, group.count as f64));
            }
        }
        w.gauges(&c::OPEN, series)?;
        let mut series = Vec::new();
        for view in views {
            for (line, count) in &view.snapshot.open_history {
                series.push((account(view, vec![w.line(view, *line)]), *count as f64));
            }
        }
        w.gauges(&c::OPEN_HISTORY, series)?;
        let overdue =
            |view: &View| view.snapshot.overdue.iter().map(|(line, n)| (*line, *n as f64)).collect();
        let series = of_lines(w, views, overdue);
        w.gauges(&c::OVERDUE, series)?;
        let mut series = Vec::new();
        for view in views {
            for (key, count) in &view.snapshot.recent {
                let (line, direction, protocol, status): &(LineId, Direction, Protocol, Status) = key;
                let words = [direction.as_str(), protocol.as_str(), status.as_str()].map(label);
                let mut labels = vec![w.line(view, *line)];
                labels.extend(words);
                series.push((account(view, labels), *count as f64));
            }
        }
        w.gauges(&c::RECENT, series)?;
        w.gauges(&c::RECENT_WINDOW, vec![(Vec::new(), self.display.window_seconds)])
    }

    fn conversations<'a>(&'a self, w: &mut Writer<'a, '_>) -> fmt::Result {
        let views = &self.views;
        w.durable(views, Group::Conversations)?;
        let mut series = Vec::new();
        for view in views {
            for ((line, streak), chats) in &view.snapshot.unanswered {
                let labels = account(view, vec![w.line(view, *line), label(streak.as_str())]);
                series.push((labels, *chats as f64));
            }
        }
        w.gauges(&c::UNANSWERED_CHATS, series)
    }

    fn chats_and_devices<'a>(&'a self, w: &mut Writer<'a, '_>) -> fmt::Result {
        let views = &self.views;
        w.accounts(views, &c::CHATS_TOTAL, |view| view.health.chats.map(|chats| chats as f64))?;
        let mut series = Vec::new();
        for view in views {
            for (kind, count) in ChatKind::ALL.iter().zip(view.snapshot.active_chats) {
                series.push((account(view, vec![label(kind.as_str())]), count as f64));
            }
        }
        w.gauges(&c::ACTIVE_CHATS, series)?;
        w.durable(views, Group::Devices)?;
        for (family, value) in [
            (&c::PROBE_SUCCESS, (|device| device.answered.map(truth)) as fn(&Device) -> Option<f64>),
            (&c::PROBE_LAST, |device| device.probed_at.map(seconds)),
            (&c::LINE_ACTIVE, |device| device.active.map(truth)),
            (&c::LINE_LAST_ACTIVE, |device| device.last_active.map(seconds)),
        ] {
            let values = |view: &View| {
                let devices = view.snapshot.devices.iter();
                devices.filter_map(|(line, device)| Some((*line, value(device)?))).collect()
            };
            let series = of_lines(w, views, values);
            w.gauges(family, series)?;
        }
        Ok(())
    }

    fn api<'a>(&'a self, w: &mut Writer<'a, '_>) -> fmt::Result {
        let views = &self.views;
        w.durable(views, Group::Api)?;
        w.accounts(views, &c::CLOCK_OFFSET, |view| view.health.clock_offset.map(seconds))?;
        w.accounts(views, &c::BUDGET, |view| Some(view.health.budget))
    }

    fn collection<'a>(&'a self, w: &mut Writer<'a, '_>) -> fmt::Result {
        let views = &self.views;
        w.durable(views, Group::Collection)?;
        w.accounts(views, &c::UP, |view| Some(truth(view.health.up)))?;
        w.accounts(views, &c::LAST_SUCCESS, |view| Some(seconds(view.snapshot.last_success)))?;
        w.accounts(views, &c::WATERMARK, |view| Some(seconds(view.snapshot.watermark)))?;
        w.accounts(views, &c::BASELINE, |view| Some(seconds(view.snapshot.baseline)))?;
        w.accounts(views, &c::FULL_LISTING, |view| Some(seconds(view.snapshot.listed_at)))?;
        w.accounts(views, &c::FLOOR, |view| Some(seconds(view.snapshot.floor)))?;
        let mut series = Vec::new();
        for view in views {
            for (reason, chats) in view.unreadable() {
                series.push((account(view, vec![label(reason.as_str())]), chats as f64));
            }
        }
        w.gauges(&c::UNREADABLE, series)?;
        w.accounts(views, &c::UNREADABLE_OLDEST, |view| Some(view.unreadable_since().map_or(0.0, seconds)))?;
        w.accounts(views, &c::DEFERRED, |view| Some(view.health.deferred as f64))?;
        w.accounts(views, &c::TRACKED, |view| Some(view.snapshot.tracked as f64))?;
        let all = self.display.all_views();
        let retired = self.display.retired.iter().map(|retired| &retired.histograms);
        let commits = all.iter().map(|view| &view.snapshot.histograms).chain(retired).flatten();
        let is_commits = |(key, _): &&(HistogramKey, Histogram)| *key == HistogramKey::CommitDuration;
        let sum =
            commits.filter(is_commits).map(|(_, histogram)| histogram.clone()).reduce(|mut sum, more| {
                sum.add(&more);
                sum
            });
        let before = self.display.before.histograms.iter().find(is_commits);
        let sum = sum.map(|mut sum| {
            before.iter().for_each(|(_, before)| sum.subtract(before));
            sum
        });
        w.family(&c::COMMIT_DURATION, |writer| {
            sum.iter().try_for_each(|sum| writer.histogram(&[], HistogramKey::CommitDuration, sum))
        })?;
        // All accounts share one file. A replica without an account cannot tell.
        let size = views.iter().map(|view| view.health.state_bytes).max();
        w.gauges(&c::STATE_SIZE, size.into_iter().map(|size| (Vec::new(), size as f64)).collect())?;
        let writable = views.iter().map(|view| view.health.state_writable).reduce(|all, one| all && one);
        w.gauges(&c::STATE_WRITABLE, writable.into_iter().map(|is| (Vec::new(), truth(is))).collect())?;
        let dropped = |which: Counter| {
            let of = |counters: &mut dyn Iterator<Item = &(Counter, u64)>| -> u64 {
                counters.filter(|(counter, _)| *counter == which).map(|(_, value)| value).sum()
            };
            let retired = self.display.retired.iter().map(|retired| &retired.counters);
            let all = all.iter().map(|view| &view.snapshot.counters).chain(retired);
            of(&mut all.flatten()).saturating_sub(of(&mut self.display.before.counters.iter()))
        };
        w.family(&c::SERIES_DROPPED, |writer| {
            for (family, which) in [
                (&families::REQUESTS, Counter::OverflowingCode),
                (&families::OUTBOUND, Counter::OverflowingLine),
            ] {
                writer.counter(&[Cow::Owned(family.sample_name())], dropped(which))?;
            }
            Ok(())
        })
    }

    /// The organisation's own receivers, as far as the API shows them.
    fn webhooks<'a>(&'a self, w: &mut Writer<'a, '_>) -> fmt::Result {
        let views = &self.views;
        w.durable(views, Group::Webhooks)?;
        w.accounts(views, &c::FEED_TRUSTED, |view| view.health.feed_trusted.map(truth))?;
        for (family, value) in [
            (&c::WEBHOOK_FAILURES, (|hook| hook.failures.map(|n| n as f64)) as fn(&Webhook) -> Option<f64>),
            (&c::WEBHOOK_LAST_TRIGGERED, |hook| hook.last_triggered.map(seconds)),
            (&c::WEBHOOK_ACTIVE, |hook| hook.active.map(truth)),
        ] {
            let mut series = Vec::new();
            for view in views {
                let known = view.health.webhooks.iter().filter_map(|hook| Some((hook, value(hook)?)));
                series.extend(
                    known.map(|(hook, value)| (account(view, vec![Cow::Borrowed(&*hook.id)]), value)),
                );
            }
            w.gauges(family, series)?;
        }
        Ok(())
    }

    /// Labels that the operator gave accounts and lines.
    fn info(&self, w: &mut Writer<'_, '_>) -> fmt::Result {
        let (views, display) = (&self.views, &self.display);
        w.family(&c::ACCOUNT_INFO, |writer| {
            views.iter().try_for_each(|view| {
                let labels = display.labels.get(&view.account).map(|labels| &labels.of_account);
                writer.info(&[Cow::Borrowed(view.account.as_str())], labels)
            })
        })?;
        w.family(&c::LINE_INFO, |writer| {
            for view in views {
                let labels = display.labels.get(&view.account);
                for (line, number) in &view.snapshot.lines {
                    let labels = labels.and_then(|labels| labels.of_lines.get(number));
                    let name = display.line_name(view, *line);
                    writer.info(&[Cow::Borrowed(view.account.as_str()), name], labels)?;
                }
            }
            Ok(())
        })
    }

    fn exporter(&self, w: &mut Writer<'_, '_>) -> fmt::Result {
        let About { version, revision, rustc } = self.about;
        w.gauges(&c::BUILD_INFO, vec![(vec![label(version), label(revision), label(rustc)], 1.0)])?;
        w.gauges(&c::RELOAD_SUCCESSFUL, vec![(Vec::new(), truth(self.display.configured))])?;
        w.gauges(&c::RELOAD_TIMESTAMP, vec![(Vec::new(), self.display.configured_at)])
    }
}

impl Collector for Live {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut w = Writer { encoder, syntax: self.syntax, display: &self.display };
        let mut series = Vec::new();
        for view in &self.views {
            for ((line, status), group) in &view.snapshot.open {
                let now = self.now + view.health.clock_offset.unwrap_or(0);
                let age = if group.count == 0 { 0 } else { (now - group.oldest).max(0) };
                let labels = account(view, vec![w.line(view, *line), label(status.as_str())]);
                series.push((labels, seconds(age)));
            }
        }
        w.gauges(&c::OPEN_OLDEST_AGE, series)?;
        self.received(&mut w)?;
        self.leases(&mut w)?;
        let gauge = |value: Option<f64>| value.into_iter().map(|value| (Vec::new(), value)).collect();
        w.gauges(
            &c::WEB_RELOAD_SUCCESSFUL,
            gauge(self.outside.web_reload.map(|reload| truth(reload.successful))),
        )?;
        w.gauges(&c::WEB_RELOAD_TIMESTAMP, gauge(self.outside.web_reload.map(|reload| reload.succeeded_at)))?;
        let expiry =
            |expiry: &Expiry| (vec![label(expiry.role), Cow::Owned(expiry.position.to_string())], expiry.at);
        w.gauges(&c::CERTIFICATE_EXPIRY, self.outside.certificates.iter().map(expiry).collect())?;
        let served =
            self.outside.certificates.iter().find(|expiry| expiry.role == "server" && expiry.position == 1);
        w.gauges(&c::CERTIFICATE_NOT_AFTER, gauge(served.map(|served| served.at)))?;
        let usage = self.usage;
        w.family(&c::PROCESS_CPU, |writer| {
            usage.cpu_seconds.iter().try_for_each(|value| writer.seconds(&[], *value))
        })?;
        for (family, value) in [
            (&c::PROCESS_OPEN_FDS, usage.open_fds),
            (&c::PROCESS_MAX_FDS, usage.max_fds),
            (&c::PROCESS_VIRTUAL_MEMORY, usage.virtual_bytes),
            (&c::PROCESS_RESIDENT_MEMORY, usage.resident_bytes),
            (&c::PROCESS_START_TIME, usage.started),
        ] {
            w.gauges(family, value.into_iter().map(|value| (Vec::new(), value)).collect())?;
        }
        Ok(())
    }
}

impl Live {
    /// The leases, where replicas share the accounts: without them there is nothing to say.
    fn leases(&self, w: &mut Writer<'_, '_>) -> fmt::Result {
        let Some(leases) = &self.outside.leases else { return Ok(()) };
        let series = |value: fn(&Lease) -> Option<f64>| {
            let known = leases.accounts.iter().filter_map(|lease| Some((lease, value(lease)?)));
            known.map(|(lease, value)| (vec![Cow::Owned(lease.account.clone())], value)).collect()
        };
        w.gauges(&c::LEASE_HELD, series(|lease| Some(truth(lease.is_held))))?;
        w.gauges(&c::LEASE_EPOCH, series(|lease| Some(lease.epoch as f64)))?;
        w.gauges(&c::LEASE_EXPIRES, series(|lease| lease.held_until))?;
        w.family(&c::LEASE_TRANSITIONS, |writer| {
            leases.transitions.iter().try_for_each(|(reason, count)| writer.counter(&[label(reason)], *count))
        })?;
        w.family(&c::LOST_COMMITS, |writer| writer.counter(&[], leases.lost_commits))
    }

    /// Webhooks: what was received, what was not taken, and when there was one last.
    fn received(&self, w: &mut Writer<'_, '_>) -> fmt::Result {
        let received = &self.outside.received;
        let name = |received: &Received| Cow::Owned(received.account.clone());
        w.family(&c::WEBHOOK_EVENTS, |writer| {
            received.iter().try_for_each(|of| {
                of.events
                    .iter()
                    .try_for_each(|(event, count)| writer.counter(&[name(of), label(event)], *count))
            })
        })?;
        w.family(&c::WEBHOOK_REJECTED, |writer| {
            received.iter().try_for_each(|of| {
                of.rejected.iter().try_for_each(|(reason, n)| writer.counter(&[name(of), label(reason)], *n))
            })
        })?;
        let last = received.iter().filter_map(|of| Some((vec![name(of)], of.last_event?)));
        w.gauges(&c::WEBHOOK_LAST_EVENT, last.collect())
    }
}
