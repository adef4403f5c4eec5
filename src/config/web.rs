//! The web interface: where it listens, under which path and names, and what protects it.

use super::file::Text;
use super::resolve::{Found, Resolution};
use super::{ConfigError, Web};
use crate::paths;
use crate::privacy::quoted;

impl Resolution<'_> {
    pub(super) fn web(&self) -> Result<Web, ConfigError> {
        let section = self.file.web.as_ref();
        let mut web = Web::default();

        let listed = section.and_then(|w| w.listen_address.as_ref());
        let listen = self.addresses("web.listen-address", &self.flags.listen, listed)?;
        if !listen.is_empty() {
            web.listen = listen;
        }

        let paths = [section.and_then(|w| w.telemetry_path.as_ref())];
        if let Some(found) = self.text("web.telemetry-path", self.flags.telemetry_path.as_ref(), &paths) {
            web.telemetry_path = telemetry_path(&found)?;
        }

        let file = section.and_then(|w| w.config_file.as_ref());
        web.config_file = self.path("web.config.file", self.flags.web_config_file.as_ref(), file);
        web.enable_lifecycle = self.enable_lifecycle()?;
        web.allowed_hosts = self.allowed_hosts()?;
        Ok(web)
    }

    fn enable_lifecycle(&self) -> Result<bool, ConfigError> {
        const NAME: &str = "web.enable-lifecycle";
        let in_file = self.file.web.as_ref().and_then(|w| w.enable_lifecycle.as_ref());
        if self.flags.enable_lifecycle {
            self.is_from_flag(NAME);
            return Ok(true);
        }
        in_file.map_or(Ok(false), |text| {
            self.is_from_file(NAME, text);
            self.truth(text, NAME)
        })
    }

    fn truth(&self, text: &Text, name: &str) -> Result<bool, ConfigError> {
        match text.value.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            value => Err(ConfigError::new(format!(
                "{}: {}is not one of true, false",
                self.place(text, name),
                quoted(value)
            ))),
        }
    }

    fn allowed_hosts(&self) -> Result<Vec<String>, ConfigError> {
        const NAME: &str = "web.allowed-host";
        let listed = self.file.web.as_ref().and_then(|w| w.allowed_host.as_ref());
        let given = self.list(NAME, &self.flags.allowed_hosts, listed);
        for (place, name) in &given {
            if !is_host_name(name) {
                return Err(ConfigError::new(format!(
                    "{place}: {}is not a host name; write it without port, such as metrics.example.com",
                    quoted(name)
                )));
            }
        }
        Ok(given.into_iter().map(|(_, name)| name.clone()).collect())
    }
}

/// Whether this can be the name of a host, as a browser would send it.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn telemetry_path(found: &Found<()>) -> Result<String, ConfigError> {
    let path = found.text.trim();
    match paths::check_telemetry_path(path) {
        Ok(()) => Ok(path.to_owned()),
        Err(why) => Err(found.refuse(why)),
    }
}
