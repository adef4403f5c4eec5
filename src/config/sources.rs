//! Where each setting comes from: a flag, a variable of the environment, or a line of the configuration file.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// The sources of the settings of all accounts, and of the exporter, whose account is empty. What is not recorded is a
/// default.
#[derive(Debug, Clone, Default)]
pub struct Sources(BTreeMap<(String, String), String>);

impl Sources {
    /// The source of a setting, as a person reads it.
    pub(super) fn of(&self, account: &str, name: &str) -> &str {
        self.0.get(&(account.to_owned(), name.to_owned())).map_or("default", String::as_str)
    }
}

/// Records sources while settings are resolved.
#[derive(Default)]
pub(super) struct Recorder {
    account: RefCell<String>,
    sources: RefCell<Sources>,
}

impl Recorder {
    /// What follows belongs to this account.
    pub(super) fn begin(&self, account: &str) {
        account.clone_into(&mut self.account.borrow_mut());
    }

    /// The sources that were recorded.
    pub(super) fn sources(&self) -> Sources {
        self.sources.borrow().clone()
    }

    /// The setting comes from there.
    pub(super) fn record(&self, name: &str, source: String) {
        let account = self.account.borrow().clone();
        self.sources.borrow_mut().0.insert((account, name.to_owned()), source);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Flags, Settings};

    #[test]
    fn each_setting_is_listed_with_its_source() {
        let flags = Flags {
            interval: Some("45s".to_owned()),
            web_config_file: Some("web.yml".into()),
            allowed_hosts: vec!["a.example".to_owned()],
            ..Flags::default()
        };
        let env = |name: &str| match name {
            "BLOOIO_API_KEY" => Some("bl_live_0123456789".to_owned()),
            "BLOOIO_EXPORTER_STATE" => Some("s.db".to_owned()),
            _ => None,
        };
        let yaml = "api:\n  budget: 3\ncollector:\n  interval: 20s\nweb:\n  listen_address: [\"127.0.0.1:1\"]\n  enable_lifecycle: true\n";
        let settings = Settings::resolve(&flags, &env, Some((Path::new("c.yml"), yaml))).unwrap();
        let listed = settings.effective();
        let listed: Vec<String> =
            listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for expected in [
            "blooio.base-url https://api.blooio.com/v2/api default",
            "API key from the environment BLOOIO_API_KEY",
            "collector.interval 45s --collector.interval",
            "collector.full-interval 10m default",
            "api.budget 3 requests/s c.yml:2",
            "state.path s.db BLOOIO_EXPORTER_STATE",
            "web.listen-address 127.0.0.1:1 c.yml:6",
            "web.config.file web.yml --web.config.file",
            "web.enable-lifecycle true c.yml:7",
            "web.allowed-host a.example --web.allowed-host",
            "log.level info default",
        ] {
            assert!(listed.iter().any(|line| line == expected), "{expected}: {listed:#?}");
        }
    }

    #[test]
    fn settings_of_accounts_have_sources_of_their_own() {
        let yaml = "accounts:\n- name: one\n  api_key_file: one.key\n- name: two\n  api_key_file: two.key\n  api:\n    budget: 5\n";
        let settings =
            Settings::resolve(&Flags::default(), &|_| None, Some((Path::new("c.yml"), yaml))).unwrap();
        let of = |account| settings.sources.of(account, "api.budget").to_owned();
        assert_eq!((of("one").as_str(), of("two").as_str()), ("default", "c.yml:7"));
        assert_eq!(settings.sources.of("one", "blooio.api-key-file"), "c.yml:3");
    }
}
