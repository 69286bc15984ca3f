#!/usr/bin/env bash
# Installs what is missing, and only that: `deps.sh run` for building and running, `deps.sh test` for the tests too.
# Says what is missing and why before it asks for root. A machine that has everything is not asked.
set -euo pipefail

readonly RUST_MIN_MINOR=95 # as `rust-version` in Cargo.toml
readonly NODE_MIN=20       # as `engines` in tests/page/package.json

missing=()
want() { # package, why
  if [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" != installed ]; then
    missing+=("$1")
    printf '  %-36s %s\n' "$1" "$2" >&2
  fi
}

want build-essential                 'C compiler and linker, for SQLite and ring'
want pkg-config                      'finds GStreamer'
want libgstreamer1.0-dev             'GStreamer, to build against'
want libgstreamer-plugins-base1.0-dev 'GStreamer appsrc, appsink and video, to build against'
want libgstrtspserver-1.0-dev        'RTSP server of the test cameras, to build against'
want gstreamer1.0-plugins-base       'appsrc, appsink, scaling of pictures, conversion of sound'
want gstreamer1.0-plugins-good       'jpegenc, jpegdec, rtspsrc, RTP, G.711'
want gstreamer1.0-plugins-bad        'parsers; x265enc, for the test cameras'
want gstreamer1.0-plugins-ugly       'x264enc, for renditions and the test cameras'
want gstreamer1.0-libav              'software decoders of H.264 and H.265, AAC encoder'
want nats-server                     'the message bus'
if [ "${1:-run}" = test ]; then
  want chromium                      'the browser of the browser test'
  want ffmpeg                        'ffprobe, an independent judge of the HLS output'
  want glib-networking               'TLS of the test cameras'
  want faketime                      'libfaketime, for hosts whose clocks are wrong'
  want iproute2                      'ip, for a host whose network dies; that test needs root too'
  want prometheus                    'promtool, and a real Prometheus that the alerts are tried with'
  command -v node >/dev/null || want nodejs 'drives the browser'
  command -v npm >/dev/null || want npm    'installs the packages of the tests of the page'
fi
command -v cargo >/dev/null || command -v curl >/dev/null || want curl 'fetches the Rust installer'
command -v cargo >/dev/null || want ca-certificates 'for curl'

if [ ${#missing[@]} -gt 0 ]; then
  echo "The Debian packages above are missing; installing them." >&2
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Run as root: apt-get install ${missing[*]}" >&2; exit 69; }
    as_root=(sudo)
  fi
  # Debian starts what it installs, and here a Prometheus on port 9090 or an nginx on port 80 would stay for ever.
  services=()
  for package in "${missing[@]}"; do
    case $package in prometheus | nginx) services+=("$package.service") ;; esac
  done
  quiet() { "${as_root[@]}" systemctl --quiet "$1" "${services[@]}"; }
  hush=false
  if [ ${#services[@]} -gt 0 ] && [ -d /run/systemd/system ]; then
    hush=true
    quiet mask
    trap 'quiet unmask' EXIT
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  if $hush; then
    trap - EXIT
    quiet unmask
    quiet disable
  fi
fi

if [ "${1:-run}" = test ]; then
  version=$(node --version | tr -d v)
  [ "${version%%.*}" -ge "$NODE_MIN" ] || { echo "node is $version, the tests of the page need $NODE_MIN or newer" >&2; exit 69; }
fi

export PATH="$HOME/.cargo/bin:$PATH"
minor=$(cargo --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\).*/\1/p' || true)
if [ "${minor:-0}" -lt "$RUST_MIN_MINOR" ]; then
  echo "cargo 1.$RUST_MIN_MINOR or newer is missing; installing Rust by rustup's own installer into $HOME/.cargo." >&2
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
    sh -s -- -y --profile minimal --component clippy,rustfmt --default-toolchain stable --no-modify-path
fi
