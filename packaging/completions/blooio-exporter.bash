_blooio__exporter() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="blooio__exporter"
                ;;
            blooio__exporter,backfill)
                cmd="blooio__exporter__subcmd__backfill"
                ;;
            blooio__exporter,demo)
                cmd="blooio__exporter__subcmd__demo"
                ;;
            blooio__exporter,healthcheck)
                cmd="blooio__exporter__subcmd__healthcheck"
                ;;
            blooio__exporter,help)
                cmd="blooio__exporter__subcmd__help"
                ;;
            blooio__exporter,inspect)
                cmd="blooio__exporter__subcmd__inspect"
                ;;
            blooio__exporter,plan)
                cmd="blooio__exporter__subcmd__plan"
                ;;
            blooio__exporter,serve)
                cmd="blooio__exporter__subcmd__serve"
                ;;
            blooio__exporter,simulate)
                cmd="blooio__exporter__subcmd__simulate"
                ;;
            blooio__exporter,state)
                cmd="blooio__exporter__subcmd__state"
                ;;
            blooio__exporter__subcmd__help,backfill)
                cmd="blooio__exporter__subcmd__help__subcmd__backfill"
                ;;
            blooio__exporter__subcmd__help,demo)
                cmd="blooio__exporter__subcmd__help__subcmd__demo"
                ;;
            blooio__exporter__subcmd__help,healthcheck)
                cmd="blooio__exporter__subcmd__help__subcmd__healthcheck"
                ;;
            blooio__exporter__subcmd__help,help)
                cmd="blooio__exporter__subcmd__help__subcmd__help"
                ;;
            blooio__exporter__subcmd__help,inspect)
                cmd="blooio__exporter__subcmd__help__subcmd__inspect"
                ;;
            blooio__exporter__subcmd__help,plan)
                cmd="blooio__exporter__subcmd__help__subcmd__plan"
                ;;
            blooio__exporter__subcmd__help,serve)
                cmd="blooio__exporter__subcmd__help__subcmd__serve"
                ;;
            blooio__exporter__subcmd__help,simulate)
                cmd="blooio__exporter__subcmd__help__subcmd__simulate"
                ;;
            blooio__exporter__subcmd__help,state)
                cmd="blooio__exporter__subcmd__help__subcmd__state"
                ;;
            blooio__exporter__subcmd__help__subcmd__state,copy)
                cmd="blooio__exporter__subcmd__help__subcmd__state__subcmd__copy"
                ;;
            blooio__exporter__subcmd__state,copy)
                cmd="blooio__exporter__subcmd__state__subcmd__copy"
                ;;
            blooio__exporter__subcmd__state,help)
                cmd="blooio__exporter__subcmd__state__subcmd__help"
                ;;
            blooio__exporter__subcmd__state__subcmd__help,copy)
                cmd="blooio__exporter__subcmd__state__subcmd__help__subcmd__copy"
                ;;
            blooio__exporter__subcmd__state__subcmd__help,help)
                cmd="blooio__exporter__subcmd__state__subcmd__help__subcmd__help"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        blooio__exporter)
            opts="-h -V --config.file --blooio.base-url --blooio.api-key-file --api.timeout --config.check --collector.interval --collector.full-interval --collector.window --collector.lookback --collector.retention --collector.audit-interval --collector.horizon --conversation.turn --probe.interval --api.budget --state.path --state.url --state.password-file --state.ca-file --state.lease-ttl --web.listen-address --web.telemetry-path --web.config.file --web.enable-lifecycle --web.allowed-host --webhook.listen-address --webhook.path-prefix --webhook.config.file --webhook.token-file --webhook.secret-file --log.level --log.format --help --version serve demo inspect healthcheck plan backfill state simulate help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --blooio.base-url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --blooio.api-key-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --api.timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.full-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.window)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.lookback)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.retention)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.audit-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.horizon)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --conversation.turn)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --probe.interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --api.budget)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.lease-ttl)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.telemetry-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.allowed-host)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --webhook.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --webhook.path-prefix)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --webhook.config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --webhook.token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --webhook.secret-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log.level)
                    COMPREPLY=($(compgen -W "debug info warn error" -- "${cur}"))
                    return 0
                    ;;
                --log.format)
                    COMPREPLY=($(compgen -W "logfmt json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__backfill)
            opts="-h --from --to --to-directory --label --step --from-metrics --account --skip-unreadable --config.file --blooio.base-url --blooio.api-key-file --api.timeout --collector.horizon --conversation.turn --api.budget --state.path --state.url --state.password-file --state.ca-file --state.lease-ttl --log.level --log.format --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --from)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --to)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --to-directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --label)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --step)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --from-metrics)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --account)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --blooio.base-url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --blooio.api-key-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --api.timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.horizon)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --conversation.turn)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --api.budget)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.lease-ttl)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log.level)
                    COMPREPLY=($(compgen -W "debug info warn error" -- "${cur}"))
                    return 0
                    ;;
                --log.format)
                    COMPREPLY=($(compgen -W "logfmt json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__demo)
            opts="-h --web.listen-address --simulator.listen-address --simulator.seed --log.level --log.format --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --web.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --simulator.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --simulator.seed)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log.level)
                    COMPREPLY=($(compgen -W "debug info warn error" -- "${cur}"))
                    return 0
                    ;;
                --log.format)
                    COMPREPLY=($(compgen -W "logfmt json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__healthcheck)
            opts="-h --web.listen-address --healthcheck.timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --web.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --healthcheck.timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help)
            opts="serve demo inspect healthcheck plan backfill state simulate help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help__subcmd__backfill)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help__subcmd__demo)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help__subcmd__healthcheck)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help__subcmd__inspect)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help__subcmd__plan)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help__subcmd__serve)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help__subcmd__simulate)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help__subcmd__state)
            opts="copy"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__help__subcmd__state__subcmd__copy)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__inspect)
            opts="-h --line --json --show --account --config.file --blooio.base-url --blooio.api-key-file --api.timeout --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --line)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --account)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --blooio.base-url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --blooio.api-key-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --api.timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__plan)
            opts="-h --chats --messages-per-second --lines --sms-share --replicas --json --api.budget --collector.interval --collector.full-interval --collector.retention --collector.audit-interval --collector.horizon --probe.interval --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --chats)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --messages-per-second)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --lines)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sms-share)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --replicas)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --api.budget)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.full-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.retention)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.audit-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.horizon)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --probe.interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__serve)
            opts="-h --config.file --blooio.base-url --blooio.api-key-file --api.timeout --config.check --collector.interval --collector.full-interval --collector.window --collector.lookback --collector.retention --collector.audit-interval --collector.horizon --conversation.turn --probe.interval --api.budget --state.path --state.url --state.password-file --state.ca-file --state.lease-ttl --web.listen-address --web.telemetry-path --web.config.file --web.enable-lifecycle --web.allowed-host --webhook.listen-address --webhook.path-prefix --webhook.config.file --webhook.token-file --webhook.secret-file --log.level --log.format --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --blooio.base-url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --blooio.api-key-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --api.timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.full-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.window)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.lookback)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.retention)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.audit-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --collector.horizon)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --conversation.turn)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --probe.interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --api.budget)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.lease-ttl)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.telemetry-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.allowed-host)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --webhook.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --webhook.path-prefix)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --webhook.config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --webhook.token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --webhook.secret-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log.level)
                    COMPREPLY=($(compgen -W "debug info warn error" -- "${cur}"))
                    return 0
                    ;;
                --log.format)
                    COMPREPLY=($(compgen -W "logfmt json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__simulate)
            opts="-h --simulator.listen-address --simulator.seed --simulator.pace --simulator.webhook-url --log.level --log.format --simulator.scenario --simulator.fault --simulator.webhook-fault --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --simulator.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --simulator.seed)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --simulator.pace)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --simulator.webhook-url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log.level)
                    COMPREPLY=($(compgen -W "debug info warn error" -- "${cur}"))
                    return 0
                    ;;
                --log.format)
                    COMPREPLY=($(compgen -W "logfmt json" -- "${cur}"))
                    return 0
                    ;;
                --simulator.scenario)
                    COMPREPLY=($(compgen -W "steady demo healthy decay many-lines quiet year month busy legacy late bursts shifting device-outage failures fallback rate-limited flaky odd-values inclusive merges-and-deletes regressions" -- "${cur}"))
                    return 0
                    ;;
                --simulator.fault)
                    COMPREPLY=($(compgen -W "rate-limit-seconds rate-limit-date rate-limit-bare rate-limit-code http-500 http-502 http-503 unauthorized forbidden html-200 empty-200 error-object-200 truncated-json truncated-close truncated-no-length reset slow-head slow-body hang not-found page-limit deep-offset list-page empty-list hidden-chats old-list empty-messages old-messages renamed-id null-id last-message-text no-last-message no-times no-counts counts-off old-last-message null-lines totals-off totals-wild totals-capped date-skew date-jumps date-absent webhook-fails no-numbers vanished-line device-down no-active-device all-fail all-fallback imessage-share slow no-receipts shadow-limited stuck silent inbound-silent outbound-silent replies" -- "${cur}"))
                    return 0
                    ;;
                --simulator.webhook-fault)
                    COMPREPLY=($(compgen -W "lost late duplicated reordered replayed burst lying wrong-secret wrong-clock slow unreachable" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__state)
            opts="-h --help copy help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__state__subcmd__copy)
            opts="-h --state.password-file --state.ca-file --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --state.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__state__subcmd__help)
            opts="copy help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__state__subcmd__help__subcmd__copy)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        blooio__subcmd__exporter__subcmd__state__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _blooio__exporter -o nosort -o bashdefault -o default blooio-exporter
else
    complete -F _blooio__exporter -o bashdefault -o default blooio-exporter
fi
