//! A rejected key beside an account whose key is accepted, in one process.

use super::api::Api;
use super::{OUTBOUND, write_private};
use crate::support::{Exporter, Page, eventually};

const REJECTED: &[&str] = &["account=\"rejected\"", "code=\"401\""];

/// An exporter of two accounts, one of which has this interval.
fn exporter(rejected: &Api, well: &Api, interval: &str) -> Exporter {
    Exporter::configured(|folder| {
        write_private(&folder.join("rejected.key"), "bl_live_WRONG\n");
        write_private(&folder.join("well.key"), "bl_live_SIMULATED\n");
        format!(
            "collector: {{interval: 300ms, full_interval: 1s}}\nprobe: {{interval: 0s}}\napi: {{budget: 100}}\n\
             accounts:\n  \
             - {{name: rejected, base_url: \"http://{}\", api_key_file: rejected.key, collector: {{interval: {interval}}}}}\n  \
             - {{name: well, base_url: \"http://{}\", api_key_file: well.key}}\n",
            rejected.address, well.address
        )
    })
}

/// The sum of a family's series of one account.
fn of(page: &Page, account: &str, family: &str) -> f64 {
    page.of(account, family).values().sum()
}

fn up(page: &Page, account: &str) -> bool {
    of(page, account, "blooio_up") == 1.0
}

/// Counts messages of the other account while the key is rejected.
fn reject_beside_another(interval: &str) -> (std::sync::Arc<Api>, Exporter) {
    let (rejected, well) = (Api::start(2), Api::start(2));
    rejected.with(|state| state.list_status = Some(401));
    let exporter = exporter(&rejected, &well, interval);
    eventually("a rejected key", || {
        let page = exporter.page();
        (page.sum_where("blooio_api_requests_total", REJECTED) > 0.0 && up(&page, "well")).then_some(())
    });
    rejected.push(0, |_| {});
    for count in 1..=5 {
        well.push(0, |_| {});
        eventually("a message of the other account", || {
            let page = exporter.page();
            assert!(!up(&page, "rejected"));
            (of(&page, "well", OUTBOUND) == f64::from(count) && up(&page, "well")).then_some(())
        });
    }
    assert_eq!(of(&exporter.page(), "rejected", OUTBOUND), 0.0);
    (rejected, exporter)
}

fn assert_goes_on(rejected: &Api, exporter: &Exporter) {
    rejected.push(1, |_| {});
    eventually("collection that goes on", || {
        let page = exporter.page();
        let is_counted = of(&page, "rejected", OUTBOUND) == 2.0 && of(&page, "well", OUTBOUND) == 5.0;
        (is_counted && up(&page, "rejected") && up(&page, "well")).then_some(())
    });
    assert!(!exporter.log().contains("panicked"), "{}", exporter.log());
}

#[test]
fn row_01_collection_goes_on_once_the_key_is_accepted() {
    let (rejected, exporter) = reject_beside_another("300ms");
    rejected.with(|state| state.list_status = None);
    assert_goes_on(&rejected, &exporter);
}

#[test]
fn row_01_another_key_and_a_reload_end_the_wait_at_a_long_interval() {
    let (rejected, exporter) = reject_beside_another("6m");
    rejected.with(|state| state.list_status = None);
    write_private(&exporter.folder.path().join("rejected.key"), "bl_live_SIMULATED\n");
    exporter.signal("-HUP");
    // The next sweep is six minutes away: what is there by the time of this one counts.
    eventually("collection that goes on", || {
        let page = exporter.page();
        let is_counted = of(&page, "rejected", OUTBOUND) == 1.0 && of(&page, "well", OUTBOUND) == 5.0;
        (is_counted && up(&page, "rejected") && up(&page, "well")).then_some(())
    });
    assert!(!exporter.log().contains("panicked"), "{}", exporter.log());
}
