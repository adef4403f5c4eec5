//! `--config.check`: everything that a start checks, without the network and without a side effect.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::{Failure, WEB_ADDRESS, listen, read_files, receiver, say, state};
use crate::config::Settings;
use crate::terminal;

/// Checks everything that can be checked without the network, and says what the settings are.
///
/// # Errors
/// What [`serve`](super::serve) would fail with before it listens. An address in use is no error while another process uses the
/// state: that one is the running exporter, whose next configuration is being checked.
pub fn check(settings: &Settings) -> Result<(), Failure> {
    read_files(settings)?;
    let may_run = state::check(settings)?;
    let mut said = String::new();
    let receiver = settings.receiver.iter().map(|receiver| (&receiver.listen, receiver::ADDRESS));
    for (addresses, flag) in [(&settings.web.listen, WEB_ADDRESS)].into_iter().chain(receiver) {
        for address in listen::in_use(addresses, flag)? {
            match may_run {
                true => said += &format!("warning: {}\n", used_by_the_exporter(address, flag)),
                false => {
                    return Err(listen::refusal(flag, address, &rustix::io::Errno::ADDRINUSE.into()));
                }
            }
        }
    }
    for warning in settings.warnings() {
        let _ = writeln!(said, "warning: {warning}");
    }
    let names: Vec<&str> = settings.accounts.iter().map(|account| account.name.as_str()).collect();
    let effective = terminal::printable_lines(&settings.effective());
    say(&format!("{effective}{said}the configuration can be used; accounts: {}", names.join(", ")))
}

fn used_by_the_exporter(address: SocketAddr, flag: &str) -> String {
    format!("{flag}: {address} is in use; that is as it should be if the exporter is running")
}
