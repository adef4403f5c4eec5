# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_blooio_exporter_global_optspecs
    string join \n config.file= blooio.base-url= blooio.api-key-file= api.timeout= config.check collector.interval= collector.full-interval= collector.window= collector.lookback= collector.retention= collector.audit-interval= collector.horizon= conversation.turn= probe.interval= api.budget= state.path= state.url= state.password-file= state.ca-file= state.lease-ttl= web.listen-address= web.telemetry-path= web.config.file= web.enable-lifecycle web.allowed-host= webhook.listen-address= webhook.path-prefix= webhook.config.file= webhook.token-file= webhook.secret-file= log.level= log.format= h/help V/version
end

function __fish_blooio_exporter_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_blooio_exporter_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_blooio_exporter_using_subcommand
    set -l cmd (__fish_blooio_exporter_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l config.file -d 'YAML configuration file [env: BLOOIO_EXPORTER_CONFIG]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l blooio.base-url -d 'Blooio API; https, or plain http on a loopback address [env: BLOOIO_BASE_URL] [default: https://api.blooio.com/v2/api]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l blooio.api-key-file -d 'File that holds the API key; the key itself is read from BLOOIO_API_KEY, never from a flag [env: BLOOIO_API_KEY_FILE]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l api.timeout -d 'Time for one request, until its body is read [default: 30s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l collector.interval -d 'Time between the starts of two sweeps [default: 30s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l collector.full-interval -d 'Time between two full listings [default: 10m]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l collector.window -d 'Trailing window of the `recent` gauges [default: 1h]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l collector.lookback -d 'How far a normal read of a chat reaches behind its cursor [default: 10m]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l collector.retention -d 'How late a message may appear and still be counted [default: 7d]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l collector.audit-interval -d 'Time between two deep reads of an active chat [default: 24h]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l collector.horizon -d 'Age at which an open message is given up as unconfirmed [default: 72h]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l conversation.turn -d 'Messages of ours that follow each other within this share a turn of their conversation; 0s: each is a turn of its own [default: 60s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l probe.interval -d 'Time between two device probes of a line; 0s switches probes off [default: 5m]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l api.budget -d 'Requests per second, over all endpoints of one account [default: 2]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l state.path -d 'The embedded store, created with mode 0600 [env: BLOOIO_EXPORTER_STATE] [default: blooio-exporter.db]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l state.url -d 'PostgreSQL that replicas share the accounts through, as postgres://USER@HOST:PORT/DATABASE, in place of --state.path [env: BLOOIO_EXPORTER_STATE_URL]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l state.password-file -d 'File that holds the password of the database; the password itself is read from PGPASSWORD, never from a flag [env: BLOOIO_EXPORTER_STATE_PASSWORD_FILE]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l state.ca-file -d 'Authorities that the certificate of the database is verified against, in PEM [default: Mozilla\'s]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l state.lease-ttl -d 'How long a replica holds an account after its newest heartbeat [default: 15s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l web.listen-address -d 'Address to listen on, repeatable; `:12566` means all IPv4 addresses [default: 127.0.0.1:12566]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l web.telemetry-path -d 'Path of the metrics page [default: /metrics]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l web.config.file -d 'TLS and basic auth, in the exporter-toolkit\'s file format' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l web.allowed-host -d 'Host name that listeners on loopback addresses answer to, beside addresses and localhost; repeatable' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l webhook.listen-address -d 'Address on which Blooio\'s webhooks are received, repeatable; none: the receiver is off' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l webhook.path-prefix -d 'Path below which webhooks are received; the account\'s token follows it [default: /webhooks]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l webhook.config.file -d 'TLS of the receiver, in the exporter-toolkit\'s file format' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l webhook.token-file -d 'File that holds the random token that ends the path of the receiver' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l webhook.secret-file -d 'File that holds the signing secret of the webhook; given twice while a secret is rotated' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l log.level -d 'Least severe level that is logged [default: info]' -r -f -a "debug\t'Every step, for finding out why something happens'
info\t'Events that an operator acts on or looks for later'
warn\t'What needs a look'
error\t'Failures alone, of this process or of the API'"
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l log.format -d 'Form of a log line [default: logfmt]' -r -f -a "logfmt\t'logfmt: `key=value` pairs on one line'
json\t'One JSON object per line'"
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l config.check -d 'Check everything that can be checked without the network, then exit'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -l web.enable-lifecycle -d 'Answer POST /-/reload; SIGHUP reloads without it'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -s V -l version -d 'Print version'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -f -a "serve" -d 'Watches Blooio and serves the metrics (the default)'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -f -a "demo" -d 'Runs the simulator and an exporter that watches it, without key, network or set-up'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -f -a "inspect" -d 'Shows a chat, its newest messages and what its device answers'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -f -a "healthcheck" -d 'Exits with 0 when the running exporter is ready, else with 1'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -f -a "plan" -d 'Predicts what an account costs: requests by class of work, freshness, memory, state and series'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -f -a "backfill" -d 'Writes the message history from before the first start as OpenMetrics text, to import into Prometheus'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -f -a "state" -d 'Copies the state between a file and PostgreSQL'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -f -a "simulate" -d 'Runs a simulated Blooio API'
complete -c blooio-exporter -n "__fish_blooio_exporter_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l config.file -d 'YAML configuration file [env: BLOOIO_EXPORTER_CONFIG]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l blooio.base-url -d 'Blooio API; https, or plain http on a loopback address [env: BLOOIO_BASE_URL] [default: https://api.blooio.com/v2/api]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l blooio.api-key-file -d 'File that holds the API key; the key itself is read from BLOOIO_API_KEY, never from a flag [env: BLOOIO_API_KEY_FILE]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l api.timeout -d 'Time for one request, until its body is read [default: 30s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l collector.interval -d 'Time between the starts of two sweeps [default: 30s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l collector.full-interval -d 'Time between two full listings [default: 10m]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l collector.window -d 'Trailing window of the `recent` gauges [default: 1h]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l collector.lookback -d 'How far a normal read of a chat reaches behind its cursor [default: 10m]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l collector.retention -d 'How late a message may appear and still be counted [default: 7d]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l collector.audit-interval -d 'Time between two deep reads of an active chat [default: 24h]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l collector.horizon -d 'Age at which an open message is given up as unconfirmed [default: 72h]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l conversation.turn -d 'Messages of ours that follow each other within this share a turn of their conversation; 0s: each is a turn of its own [default: 60s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l probe.interval -d 'Time between two device probes of a line; 0s switches probes off [default: 5m]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l api.budget -d 'Requests per second, over all endpoints of one account [default: 2]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l state.path -d 'The embedded store, created with mode 0600 [env: BLOOIO_EXPORTER_STATE] [default: blooio-exporter.db]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l state.url -d 'PostgreSQL that replicas share the accounts through, as postgres://USER@HOST:PORT/DATABASE, in place of --state.path [env: BLOOIO_EXPORTER_STATE_URL]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l state.password-file -d 'File that holds the password of the database; the password itself is read from PGPASSWORD, never from a flag [env: BLOOIO_EXPORTER_STATE_PASSWORD_FILE]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l state.ca-file -d 'Authorities that the certificate of the database is verified against, in PEM [default: Mozilla\'s]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l state.lease-ttl -d 'How long a replica holds an account after its newest heartbeat [default: 15s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l web.listen-address -d 'Address to listen on, repeatable; `:12566` means all IPv4 addresses [default: 127.0.0.1:12566]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l web.telemetry-path -d 'Path of the metrics page [default: /metrics]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l web.config.file -d 'TLS and basic auth, in the exporter-toolkit\'s file format' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l web.allowed-host -d 'Host name that listeners on loopback addresses answer to, beside addresses and localhost; repeatable' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l webhook.listen-address -d 'Address on which Blooio\'s webhooks are received, repeatable; none: the receiver is off' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l webhook.path-prefix -d 'Path below which webhooks are received; the account\'s token follows it [default: /webhooks]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l webhook.config.file -d 'TLS of the receiver, in the exporter-toolkit\'s file format' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l webhook.token-file -d 'File that holds the random token that ends the path of the receiver' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l webhook.secret-file -d 'File that holds the signing secret of the webhook; given twice while a secret is rotated' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l log.level -d 'Least severe level that is logged [default: info]' -r -f -a "debug\t'Every step, for finding out why something happens'
info\t'Events that an operator acts on or looks for later'
warn\t'What needs a look'
error\t'Failures alone, of this process or of the API'"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l log.format -d 'Form of a log line [default: logfmt]' -r -f -a "logfmt\t'logfmt: `key=value` pairs on one line'
json\t'One JSON object per line'"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l config.check -d 'Check everything that can be checked without the network, then exit'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -l web.enable-lifecycle -d 'Answer POST /-/reload; SIGHUP reloads without it'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand demo" -l web.listen-address -d 'Address of the exporter\'s pages, repeatable' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand demo" -l simulator.listen-address -d 'Address of the simulated API; port 0 takes a free one' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand demo" -l simulator.seed -d 'Seed of the simulated world; the same seed plays the same messages' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand demo" -l log.level -d 'Least severe level that is logged [default: info]' -r -f -a "debug\t'Every step, for finding out why something happens'
info\t'Events that an operator acts on or looks for later'
warn\t'What needs a look'
error\t'Failures alone, of this process or of the API'"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand demo" -l log.format -d 'Form of a log line [default: logfmt]' -r -f -a "logfmt\t'logfmt: `key=value` pairs on one line'
json\t'One JSON object per line'"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand inspect" -l line -d 'In place of a chat: the newest chats of this line, by its number or alias' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand inspect" -l account -d 'Name of the account, where the configuration has several' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand inspect" -l config.file -d 'YAML configuration file [env: BLOOIO_EXPORTER_CONFIG]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand inspect" -l blooio.base-url -d 'Blooio API; https, or plain http on a loopback address [env: BLOOIO_BASE_URL] [default: https://api.blooio.com/v2/api]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand inspect" -l blooio.api-key-file -d 'File that holds the API key; the key itself is read from BLOOIO_API_KEY, never from a flag [env: BLOOIO_API_KEY_FILE]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand inspect" -l api.timeout -d 'Time for one request, until its body is read [default: 30s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand inspect" -l json -d 'For programs: JSON instead of a table'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand inspect" -l show -d 'Show contacts, ids and texts, which are masked otherwise'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand healthcheck" -l web.listen-address -d 'Where the exporter listens; the first address is asked' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand healthcheck" -l healthcheck.timeout -d 'Time for connection and answer together' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand healthcheck" -s h -l help -d 'Print help'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l chats -d 'Chats of the account' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l messages-per-second -d 'Messages per second in both directions, on average' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l lines -d 'Lines of the account' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l sms-share -d 'Messages that travel as SMS, as a share of all; most of these never show a receipt' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l replicas -d 'Processes that share the account; one of them collects it' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l api.budget -d 'Requests per second, over all endpoints of one account [default: 2]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l collector.interval -d 'Time between the starts of two sweeps [default: 30s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l collector.full-interval -d 'Time between two full listings [default: 10m]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l collector.retention -d 'How late a message may appear and still be counted [default: 7d]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l collector.audit-interval -d 'Time between two deep reads of an active chat [default: 24h]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l collector.horizon -d 'Age at which an open message is given up as unconfirmed [default: 72h]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l probe.interval -d 'Time between two device probes of a line; 0s switches probes off [default: 5m]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -l json -d 'For programs: JSON instead of a table'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand plan" -s h -l help -d 'Print help'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l from -d 'Start of the history: a duration before now, or a time such as 2026-10-01T00:00:00Z' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l to -d 'End of the history, not later than the first start of the exporter [default: the first start]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l to-directory -d 'Directory for the files: one that is empty, does not exist, or holds a run that was interrupted' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l label -d 'Label of every series, repeatable; job and instance as Prometheus attaches them to scrapes' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l step -d 'Time between two samples, 15s to 5m' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l from-metrics -d 'File with the metrics page of the exporter, to take the first start from; - for standard input' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l account -d 'Name of an account to fill, repeatable [default: every account]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l config.file -d 'YAML configuration file [env: BLOOIO_EXPORTER_CONFIG]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l blooio.base-url -d 'Blooio API; https, or plain http on a loopback address [env: BLOOIO_BASE_URL] [default: https://api.blooio.com/v2/api]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l blooio.api-key-file -d 'File that holds the API key; the key itself is read from BLOOIO_API_KEY, never from a flag [env: BLOOIO_API_KEY_FILE]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l api.timeout -d 'Time for one request, until its body is read [default: 30s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l collector.horizon -d 'Age at which an open message is given up as unconfirmed [default: 72h]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l conversation.turn -d 'Messages of ours that follow each other within this share a turn of their conversation; 0s: each is a turn of its own [default: 60s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l api.budget -d 'Requests per second, over all endpoints of one account [default: half of the exporter\'s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l state.path -d 'State of the exporter, to take the first start from; it is only read [env: BLOOIO_EXPORTER_STATE] [default: blooio-exporter.db]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l state.url -d 'PostgreSQL that replicas share the accounts through, as postgres://USER@HOST:PORT/DATABASE, in place of --state.path [env: BLOOIO_EXPORTER_STATE_URL]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l state.password-file -d 'File that holds the password of the database; the password itself is read from PGPASSWORD, never from a flag [env: BLOOIO_EXPORTER_STATE_PASSWORD_FILE]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l state.ca-file -d 'Authorities that the certificate of the database is verified against, in PEM [default: Mozilla\'s]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l state.lease-ttl -d 'How long a replica holds an account after its newest heartbeat [default: 15s]' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l log.level -d 'Least severe level that is logged [default: info]' -r -f -a "debug\t'Every step, for finding out why something happens'
info\t'Events that an operator acts on or looks for later'
warn\t'What needs a look'
error\t'Failures alone, of this process or of the API'"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l log.format -d 'Form of a log line [default: logfmt]' -r -f -a "logfmt\t'logfmt: `key=value` pairs on one line'
json\t'One JSON object per line'"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -l skip-unreadable -d 'Leave chats out that cannot be read'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand backfill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand state; and not __fish_seen_subcommand_from copy help" -s h -l help -d 'Print help'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand state; and not __fish_seen_subcommand_from copy help" -f -a "copy" -d 'Copies a state, from a file to PostgreSQL or back; neither may be in use'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand state; and not __fish_seen_subcommand_from copy help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand state; and __fish_seen_subcommand_from copy" -l state.password-file -d 'File that holds the password of the database; without it, PGPASSWORD is used' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand state; and __fish_seen_subcommand_from copy" -l state.ca-file -d 'Authorities that the certificate of the database is verified against, in PEM [default: Mozilla\'s]' -r -F
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand state; and __fish_seen_subcommand_from copy" -s h -l help -d 'Print help'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand state; and __fish_seen_subcommand_from help" -f -a "copy" -d 'Copies a state, from a file to PostgreSQL or back; neither may be in use'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand state; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand simulate" -l simulator.listen-address -d 'Address of the simulated API' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand simulate" -l simulator.seed -d 'Seed of the simulated world; the same seed plays the same messages' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand simulate" -l simulator.pace -d 'How many times faster than usual statuses move' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand simulate" -l simulator.webhook-url -d 'Where signed webhook events are sent, such as http://127.0.0.1:12568/webhooks/TOKEN' -r
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand simulate" -l log.level -d 'Least severe level that is logged [default: info]' -r -f -a "debug\t'Every step, for finding out why something happens'
info\t'Events that an operator acts on or looks for later'
warn\t'What needs a look'
error\t'Failures alone, of this process or of the API'"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand simulate" -l log.format -d 'Form of a log line [default: logfmt]' -r -f -a "logfmt\t'logfmt: `key=value` pairs on one line'
json\t'One JSON object per line'"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand simulate" -l simulator.scenario -d 'Name of the scenario to play' -r -f -a "steady\t''
demo\t''
healthy\t''
decay\t''
many-lines\t''
quiet\t''
year\t''
month\t''
busy\t''
legacy\t''
late\t''
bursts\t''
shifting\t''
device-outage\t''
failures\t''
fallback\t''
rate-limited\t''
flaky\t''
odd-values\t''
inclusive\t''
merges-and-deletes\t''
regressions\t''"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand simulate" -l simulator.fault -d 'Name of a fault to start with, repeatable' -r -f -a "rate-limit-seconds\t''
rate-limit-date\t''
rate-limit-bare\t''
rate-limit-code\t''
http-500\t''
http-502\t''
http-503\t''
unauthorized\t''
forbidden\t''
html-200\t''
empty-200\t''
error-object-200\t''
truncated-json\t''
truncated-close\t''
truncated-no-length\t''
reset\t''
slow-head\t''
slow-body\t''
hang\t''
not-found\t''
page-limit\t''
deep-offset\t''
list-page\t''
empty-list\t''
hidden-chats\t''
old-list\t''
empty-messages\t''
old-messages\t''
renamed-id\t''
null-id\t''
last-message-text\t''
no-last-message\t''
no-times\t''
no-counts\t''
counts-off\t''
old-last-message\t''
null-lines\t''
totals-off\t''
totals-wild\t''
totals-capped\t''
date-skew\t''
date-jumps\t''
date-absent\t''
webhook-fails\t''
no-numbers\t''
vanished-line\t''
device-down\t''
no-active-device\t''
all-fail\t''
all-fallback\t''
imessage-share\t''
slow\t''
no-receipts\t''
shadow-limited\t''
stuck\t''
silent\t''
inbound-silent\t''
outbound-silent\t''
replies\t''"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand simulate" -l simulator.webhook-fault -d 'Name of what goes wrong with webhook events, repeatable' -r -f -a "lost\t''
late\t''
duplicated\t''
reordered\t''
replayed\t''
burst\t''
lying\t''
wrong-secret\t''
wrong-clock\t''
slow\t''
unreachable\t''"
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand help; and not __fish_seen_subcommand_from serve demo inspect healthcheck plan backfill state simulate help" -f -a "serve" -d 'Watches Blooio and serves the metrics (the default)'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand help; and not __fish_seen_subcommand_from serve demo inspect healthcheck plan backfill state simulate help" -f -a "demo" -d 'Runs the simulator and an exporter that watches it, without key, network or set-up'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand help; and not __fish_seen_subcommand_from serve demo inspect healthcheck plan backfill state simulate help" -f -a "inspect" -d 'Shows a chat, its newest messages and what its device answers'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand help; and not __fish_seen_subcommand_from serve demo inspect healthcheck plan backfill state simulate help" -f -a "healthcheck" -d 'Exits with 0 when the running exporter is ready, else with 1'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand help; and not __fish_seen_subcommand_from serve demo inspect healthcheck plan backfill state simulate help" -f -a "plan" -d 'Predicts what an account costs: requests by class of work, freshness, memory, state and series'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand help; and not __fish_seen_subcommand_from serve demo inspect healthcheck plan backfill state simulate help" -f -a "backfill" -d 'Writes the message history from before the first start as OpenMetrics text, to import into Prometheus'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand help; and not __fish_seen_subcommand_from serve demo inspect healthcheck plan backfill state simulate help" -f -a "state" -d 'Copies the state between a file and PostgreSQL'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand help; and not __fish_seen_subcommand_from serve demo inspect healthcheck plan backfill state simulate help" -f -a "simulate" -d 'Runs a simulated Blooio API'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand help; and not __fish_seen_subcommand_from serve demo inspect healthcheck plan backfill state simulate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c blooio-exporter -n "__fish_blooio_exporter_using_subcommand help; and __fish_seen_subcommand_from state" -f -a "copy" -d 'Copies a state, from a file to PostgreSQL or back; neither may be in use'
