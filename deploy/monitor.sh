#!/usr/bin/env bash
# Prometheus, and Grafana where it is installed, beside a running `rsm up`, with the files of monitoring/. In the
# foreground until Ctrl-C; what they keep is below data/monitor.
#   RSM_API=http://127.0.0.1:8080     whom to look at
#   PROMETHEUS_PORT=9090              of loopback; another one when it is taken
#   GRAFANA_PORT=3000                 of loopback; without Grafana when it is taken
set -euo pipefail
cd "$(dirname "$0")/.."

readonly API=${RSM_API:-http://127.0.0.1:8080} DATA=$PWD/data/monitor
prometheus_port=${PROMETHEUS_PORT:-9090}
readonly GRAFANA_PORT=${GRAFANA_PORT:-3000}
readonly START_S=30 # that one of them may take to begin

missing() { echo "$1" >&2; exit 69; }
command -v prometheus >/dev/null || missing "Prometheus is missing: apt-get install prometheus, or put the binary of \
https://prometheus.io/download/ on the PATH; then once more."

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
children=()
finish() {
  trap - EXIT INT TERM
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  wait
}
trap finish EXIT
trap 'exit 0' INT TERM

# Waits until the newest child's log has what is looked for; prints it.
until_says() { # log, pattern of sed that prints the finding
  local end=$((SECONDS + START_S)) said
  while said=$(sed -nE "$2" "$1" | head -n 1); [ -z "$said" ]; do
    if [ "$SECONDS" -ge "$end" ] || ! kill -0 "${children[-1]}" 2>/dev/null; then
      tail -n 5 "$1" >&2
      missing "It does not start; $1 has the rest."
    fi
    sleep 0.1
  done
  printf '%s' "$said"
}

mkdir -p "$DATA"
if taken "$prometheus_port"; then
  echo "Port $prometheus_port is taken; Prometheus gets another one." >&2
  prometheus_port=0
fi
sed -e "s#http://127.0.0.1:8080/#${API%/}/#" -e "s#^  - rules/#  - $PWD/monitoring/rules/#" \
  monitoring/prometheus.yml >"$DATA/prometheus.yml"
prometheus --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/prometheus" \
  --web.listen-address="127.0.0.1:$prometheus_port" >"$DATA/prometheus.log" 2>&1 &
children+=($!)
address=$(until_says "$DATA/prometheus.log" '/"Listening on"/s/.*address=([^ ]+).*/\1/p')
# Debian ships the older pages, below /classic.
alerts=alerts
[ -d /usr/share/prometheus/web/templates ] && alerts=classic/alerts
echo "Prometheus: http://$address/  alerts: http://$address/$alerts"

grafana=()
if command -v grafana-server >/dev/null; then grafana=(grafana-server)
elif command -v grafana >/dev/null; then grafana=(grafana server); fi
if [ ${#grafana[@]} -eq 0 ]; then
  echo "Grafana is not installed; its dashboards are in monitoring/grafana/dashboards."
elif taken "$GRAFANA_PORT"; then
  echo "Port $GRAFANA_PORT is taken; no Grafana. GRAFANA_PORT=3001 make monitor" >&2
else
  mkdir -p "$DATA/provisioning"
  cp -rT monitoring/grafana/provisioning "$DATA/provisioning"
  sed -i -e "s#http://127.0.0.1:9090#http://$address#" -e "s#path: .*#path: $PWD/monitoring/grafana/dashboards#" \
    "$DATA"/provisioning/*/*.yml
  export GF_PATHS_DATA=$DATA/grafana GF_PATHS_LOGS=$DATA/grafana GF_PATHS_PROVISIONING=$DATA/provisioning \
    GF_SERVER_HTTP_ADDR=127.0.0.1 GF_SERVER_HTTP_PORT=$GRAFANA_PORT GF_AUTH_ANONYMOUS_ENABLED=true \
    GF_ANALYTICS_REPORTING_ENABLED=false GF_ANALYTICS_CHECK_FOR_UPDATES=false
  "${grafana[@]}" --homepath "${GRAFANA_HOME:-/usr/share/grafana}" >"$DATA/grafana.log" 2>&1 &
  children+=($!)
  echo "Grafana:    http://127.0.0.1:$GRAFANA_PORT/dashboards"
fi

curl -fsS -o /dev/null --max-time 5 "${API%/}/health/live" 2>/dev/null ||
  echo "Nobody answers at $API yet: \`make run\` in another terminal, or RSM_API=http://HOST:PORT make monitor." >&2
echo "Ctrl-C ends it."
# Whichever ends first ends both.
wait -n || true
echo "One of them ended; see $DATA/*.log." >&2
exit 1
