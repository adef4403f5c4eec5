//! The shipped rules, and when an alert fires.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

use crate::evaluate::Line;
use crate::promql::{self, Expr};

/// The groups whose alerts are about a line and need nothing but its messages.
const GROUPS: [&str; 2] = ["blooio-delivery", "blooio-early-warning"];

/// The shipped rules that concern the messages of a line.
pub(crate) struct Rules {
    pub(crate) records: HashMap<String, Expr>,
    pub(crate) alerts: Vec<Alert>,
}

pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) severity: String,
    pub(crate) window: String,
    condition: Expr,
    wait: u32,
    keep: u32,
}

#[derive(Deserialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    wait: Option<String>,
    keep_firing_for: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Rules {
    /// Those in the repository.
    pub(crate) fn shipped() -> Rules {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/blooio.rules.yml");
        let file: File = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut rules = Rules { records: HashMap::new(), alerts: Vec::new() };
        for group in file.groups {
            for rule in group.rules {
                match (rule.record, rule.alert) {
                    // Budgets and what is recorded of accounts: no alert of a line needs them.
                    (Some(name), _) if name.contains("_budget:") || !name.starts_with("account_line:") => {}
                    (Some(name), _) if group.name != "blooio-grades" => {
                        rules.records.insert(name, promql::parse(&rule.expr));
                    }
                    (None, Some(name)) if GROUPS.contains(&group.name.as_str()) => {
                        let seconds = |text: Option<String>| text.map_or(0, |text| promql::seconds(&text));
                        let label = |name: &str| rule.labels.get(name).cloned().unwrap_or_default();
                        rules.alerts.push(Alert {
                            name,
                            severity: label("severity"),
                            window: label("window"),
                            condition: promql::parse(&rule.expr),
                            wait: seconds(rule.wait),
                            keep: seconds(rule.keep_firing_for),
                        });
                    }
                    _ => {}
                }
            }
        }
        assert!(rules.alerts.len() > 20, "the groups {GROUPS:?} have {} alerts", rules.alerts.len());
        rules
    }
}

impl Alert {
    /// At which steps it fires.
    pub(crate) fn firing(&self, line: &Line<'_>) -> Vec<bool> {
        let holds = line.vector(&self.condition);
        let (wait, keep) = (self.wait.div_ceil(line.step) as usize, self.keep.div_ceil(line.step) as usize);
        let (mut since, mut ended): (Option<usize>, Option<usize>) = (None, None);
        let mut fires = false;
        let at = |step: usize| {
            if holds.iter().any(|(_, values)| !values[step].is_nan()) {
                let began = *since.get_or_insert(step);
                (fires, ended) = (fires || step - began >= wait, None);
            } else if fires && keep > 0 && step - *ended.get_or_insert(step) < keep {
                // It stays for a while after its condition ended.
            } else {
                (since, ended, fires) = (None, None, false);
            }
            fires
        };
        (0..line.steps).map(at).collect()
    }
}
