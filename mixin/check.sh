#!/usr/bin/env bash
# Proves the alerts and the dashboards. Fails, and does not skip, when a tool is missing.
#   python3 -m mixin check            everything
#   python3 -m mixin check --quick    of the mutants only the dropped alerts and the halved thresholds, of the Monte Carlo a part, no waiting times
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$root
cd "$root/alerts"

case "${1:-}" in
"" | --quick) ;;
*) echo "usage: python3 -m mixin check [--quick]" >&2; exit 2 ;;
esac
for tool in promtool amtool python3; do
    command -v "$tool" > /dev/null || {
        echo "the check of alerts and dashboards needs $tool (Debian: apt-get install prometheus prometheus-alertmanager python3)" >&2
        exit 1
    }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A step's output is shown when it fails; when it passes, its last line.
step() {
    local name=$1 began=$SECONDS
    shift
    local status
    # Not as a condition: within one, bash does not stop a function at its first command that fails.
    set +e
    (set -e; "$@") > "$work/out" 2>&1
    status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        cat "$work/out"
        echo "FAILED  $name" >&2
        exit 1
    fi
    printf 'passed  %-44s %3d s  %s\n' "$name" $((SECONDS - began)) "$(grep -v '^ *$' "$work/out" | tail -n 1 | cut -c 1-110)"
}

rules_load() {
    promtool check rules --lint=all --lint-fatal ./*.yml
}

# One process per file, two at a time. A file takes seconds; waits-*.yml evaluate every rule for days, minute by minute, and take longer.
rules_behave() {
    local files=(tests/*.yml)
    [ "${1:-}" != --quick ] || files=($(printf '%s\n' "${files[@]}" | grep -v /waits-))
    printf '%s\n' "${files[@]}" | xargs -P 2 -n 1 promtool test rules
    echo "${#files[@]} files, $(cat "${files[@]}" | grep -c '^  - name: ') tests"
}

scaled_rules_load() {
    python3 -m mixin generate --scale 1/60 --output "$work/scaled"
    promtool check rules --lint=all --lint-fatal "$work"/scaled/*.yml
    python3 -m mixin generate --set 'EXTRA_LABELS=("cluster",)' --output "$work/labelled"
    promtool check rules --lint=all --lint-fatal "$work"/labelled/*.yml
    # Nothing is aggregated by account, or by line, without the extra label.
    ! grep -E 'by \(job, (account|instance)' "$work"/labelled/blooio.rules.yml
}

routes_lead() {
    local config=alertmanager/alertmanager.yml receiver labels
    while read -r receiver labels; do
        # shellcheck disable=SC2086
        amtool config routes test --config.file "$config" --verify.receivers="$receiver" $labels
    done << 'ROUTES'
on-call alertname=BlooioExporterDown severity=critical job=blooio
on-call alertname=BlooioMessagesStuck severity=critical job=blooio account=default line=+13105550101
working-hours alertname=BlooioMessagesStuck severity=warning job=blooio account=default line=+13105550101
working-hours alertname=BlooioExporterRestarting severity=warning job=blooio
dead-mans-switch alertname=BlooioWatchdog severity=none
working-hours alertname=SomethingElse severity=critical
ROUTES
}

step "generated files are up to date" python3 -m mixin generate --check
step "promtool check rules, every lint fatal" rules_load
step "promtool test rules" rules_behave "${1:-}"
step "a scaled variant loads, and an extra label" scaled_rules_load
step "amtool check-config" amtool check-config alertmanager/alertmanager.yml
step "amtool config routes test" routes_lead
step "structure of the dashboards" python3 -m mixin structure
step "references between the files" python3 -m mixin references
if [ "${1:-}" = --quick ]; then
    step "Monte Carlo of the delivery alerts, quick" python3 -m mixin montecarlo --quick
    step "mutants: dropped alerts, halved thresholds" python3 -m mixin mutate --quick
else
    step "Monte Carlo of the delivery alerts" python3 -m mixin montecarlo
    step "mutants" python3 -m mixin mutate
fi
