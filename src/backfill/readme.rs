//! The file that explains the others: what they hold, and how they are imported. Pure.

use std::fmt::Write as _;

use super::journal::Request;
use super::range::moment;
use super::reader::Tally;

/// How the files are imported.
const IMPORT: &str = include_str!("import.md");

/// The text of the file.
pub fn text(request: &Request, tallies: &[(String, Tally)]) -> String {
    let mut text = String::from(
        "# Message history of blooio-exporter\n\n\
         OpenMetrics text, a file for each day in UTC. Import each file once.\n\n\
         | account | messages sent after | up to | chats | messages | left out |\n|---|---|---|---|---|---|\n",
    );
    for (account, (name, tally)) in request.accounts.iter().zip(tallies) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            name.replace('|', "\\|"),
            moment(request.from),
            moment(account.to),
            tally.chats,
            tally.messages,
            left_out(tally)
        );
    }
    let labels: Vec<String> =
        request.labels.iter().map(|(name, value)| format!("`{name}=\"{value}\"`")).collect();
    let _ = write!(
        text,
        "\nEvery series has the labels {}. They must be those that your Prometheus gives the exporter's own series.\n\n{IMPORT}",
        labels.join(", ")
    );
    text
}

fn left_out(tally: &Tally) -> String {
    let parts = [
        (tally.unreadable, "unreadable chats"),
        (tally.rejected, "unusable messages"),
        (tally.hidden, "unusable chats"),
        (tally.doubtful, "chats that may lack messages"),
    ];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if said.is_empty() { String::from("nothing") } else { said.join(", ") }
}
