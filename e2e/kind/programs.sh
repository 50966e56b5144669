#!/usr/bin/env bash
# Builds programs from the Go module proxy into the cache; each folder of tools/ pins one and all that it needs.
#   programs.sh clients    kind, kubectl and helm, those that this machine does not have
#   programs.sh cluster    kind, kubectl and all that a node image holds
#   programs.sh helm       helm
#   programs.sh NAME...    those programs, by name (metrics-server, kubectl, ...)
# A program is built again only when what it is built from has changed.
# Environment: JOBS (parallel compilations, 2), EDDYLINE_KIND_CACHE, and EDDYLINE_KIND_PREBUILT: an archive (.tar.zst) of
#   a folder bin with programs built earlier, possibly elsewhere. What it holds is used where the modules built into a
#   program are those that go.sum names. Make one with: tar -C CACHE -cf - bin | zstd -16 --long=27 -T0 -o FILE
# shellcheck source=SCRIPTDIR/environment.sh
. "$(dirname "$0")/environment.sh"

JOBS=${JOBS:-2}
prebuilt=${EDDYLINE_KIND_PREBUILT:-$root/../shared/cache/kind-bin.tar.zst}

go_toolchain() {
  command -v go >/dev/null || die "a Go toolchain (1.21 or newer) is needed to build kind's programs"
  local minor
  minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [ "${minor:-0}" -ge 21 ] || die "Go $(go env GOVERSION) is too old: 1.21 and newer fetch the version that the modules name"
}

stamp_of() { # folder of the module
  cat "$1"/go.* "$1"/*.go | sha256sum | cut -c1-16
}

current() { # name, stamp
  [ -x "$bin/$1" ] && [ "$(cat "$bin/.$1.stamp" 2>/dev/null)" = "$2" ]
}

# The archive is unpacked once; `adopt` takes programs out of it.
unpack_prebuilt() {
  [ -f "$prebuilt" ] && [ ! -f "$build/prebuilt/.complete" ] || return 0
  command -v zstd >/dev/null || return 0
  say "unpacking $prebuilt"
  rm -rf "$build/prebuilt"
  mkdir -p "$build/prebuilt"
  zstd -dcq --long=27 "$prebuilt" | tar -x -C "$build/prebuilt"
  touch "$build/prebuilt/.complete"
}

# adopt NAME DIR: takes NAME from the archive if it was built from the modules that DIR pins, by their hashes.
adopt() {
  local program=$build/prebuilt/bin/$1 sums=$2/go.sum
  [ -x "$program" ] || return 1
  # "dep" and "mod" lines carry module, version and hash, unless the module is a local folder.
  go version -m "$program" | awk -F'\t' -v sums="$sums" '
    BEGIN { while ((getline line < sums) > 0) known[line] = 1 }
    ($2 == "dep" || $2 == "mod" || $2 == "=>") && $5 != "" { seen++; if (!(($3 " " $4 " " $5) in known)) exit bad = 1 }
    END { exit bad || !seen }' || return 1
  install -m 755 "$program" "$bin/$1"
}

# program DIR LDFLAGS NAME=PACKAGE... builds from the module in tools/DIR.
program() {
  local dir=$here/tools/$1 ldflags=$2 pair stamp name
  shift 2
  stamp=$(stamp_of "$dir")
  for pair; do
    name=${pair%%=*}
    wanted "$name" || continue
    current "$name" "$stamp" && continue
    go_toolchain
    unpack_prebuilt
    if adopt "$name" "$dir"; then
      say "$name: taken from the archive"
    else
      say "building $name"
      (cd "$dir" && CGO_ENABLED=0 GOFLAGS=-mod=readonly nice -n 5 go build -p "$JOBS" -trimpath -buildvcs=false \
        -ldflags "-s -w $ldflags" -o "$bin/$name" "${pair#*=}" 2> >(grep -v '^go: downloading' >&2))
    fi
    echo "$stamp" >"$bin/.$name.stamp"
  done
}

wanted() { # is the program among those asked for?
  local name
  for name in "${asked[@]}"; do [ "$name" = "$1" ] && return 0; done
  return 1
}

NODE_PROGRAMS=(kubelet kubeadm kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy etcd coredns
  local-path-provisioner pause podnet)

asked=()
case ${1:-} in
  '' | -*) sed -n '2,11p' "$0" >&2; exit 2 ;;
  clients)
    for name in kind kubectl helm; do
      [ -n "$(command -v "$name" || true)" ] || asked+=("$name")
    done
    ;;
  cluster) asked=(kind "${NODE_PROGRAMS[@]}") ;;
  *) asked=("$@") ;;
esac
mkdir -p "$bin" "$build"

version=""
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  version+=" -X $package.gitVersion=$KUBERNETES_VERSION -X $package.gitTreeState=clean"
  version+=" -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES_VERSION")"
done
commands=()
for name in kubelet kubeadm kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
  commands+=("$name=k8s.io/kubernetes/cmd/$name")
done
program kubernetes "$version" "${commands[@]}"
program etcd "" etcd=go.etcd.io/etcd/server/v3
program coredns "" coredns=.
program local-path-provisioner "-X main.VERSION=v0.0.30" local-path-provisioner=github.com/rancher/local-path-provisioner
program pause "" pause=.
program podnet "" podnet=.
program kind "" kind=sigs.k8s.io/kind
program metrics-server "-X k8s.io/client-go/pkg/version.gitVersion=v0.9.0" metrics-server=sigs.k8s.io/metrics-server/cmd/metrics-server
# The version that a chart sees where helm has no cluster to ask (an adopted helm says 1.20: give it --kube-version).
version="-X helm.sh/helm/v3/internal/version.version=v3.19.5"
for package in chartutil lint/rules; do
  version+=" -X helm.sh/helm/v3/pkg/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/$package.k8sVersionMinor=34"
done
program helm "$version" helm=helm.sh/helm/v3/cmd/helm
