#!/usr/bin/env bash
# Builds a kind node image, and every image that the cluster itself runs, from Debian's packages and the programs of
# programs.sh. It uses no image registry. Run as root. A step is skipped if its result exists and is current.
#   node-image.sh debian   the minimal Debian image only
#   node-image.sh all
#
# kind takes any image that behaves as a node: its entrypoint ends in systemd, which reports on the console that it
# reached the multi-user target; containerd runs with its CRI plugin and holds the images; kubeadm, kubelet and kubectl
# are there; /kind/version names the version; /kind/manifests/default-{cni,storage}.yaml are applied.
# shellcheck source=SCRIPTDIR/environment.sh
. "$(dirname "$0")/environment.sh"

SUITE=bookworm
NODE_PACKAGES=systemd,containerd,runc,containernetworking-plugins,iptables,nftables,iproute2,conntrack,ethtool,socat,kmod,procps,mount,util-linux,ca-certificates

slim=$build/slim # root file system of $DEBIAN_IMAGE
base=$build/base # root file system of the node: Debian's packages only
node=$build/node # ... and with Kubernetes, the files of node/ and the images

# --- Debian root file systems -------------------------------------------------------------------------------------

debian() { # target, packages
  [ -f "$1.done" ] && return 0
  say "debootstrap $SUITE into $1"
  rm -rf "$1"
  mkdir -p "$1" "$build/debs"
  nice -n 5 debootstrap --variant=minbase "--include=$2" --cache-dir="$build/debs" "$SUITE" "$1" >"$1.log" 2>&1 ||
    { tail "$1.log" >&2; die "debootstrap failed; see $1.log"; }
  # Files that a container does not need.
  rm -rf "$1"/usr/share/{doc,man,info,locale,lintian}/* "$1"/var/cache/apt/*.bin \
    "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* "$1"/var/log/*.log "$1"/etc/resolv.conf
  touch "$1.done"
}

debian_image() {
  debian "$slim" ca-certificates
  docker image inspect "$DEBIAN_IMAGE" >/dev/null 2>&1 ||
    tar -C "$slim" --numeric-owner -c . | docker import --change 'CMD ["bash"]' - "$DEBIAN_IMAGE" >/dev/null
}

# --- Images of the cluster's own components -----------------------------------------------------------------------

# image NAME ENTRYPOINT DIR makes a single-layer image of the files in DIR.
image() {
  tar -C "$3" --numeric-owner -c . | docker import --change "ENTRYPOINT [\"$2\"]" - "$1" >/dev/null
}

# gather DIR FILE... copies programs out of the node's root file system, with the shared libraries they load, so that
# they run in an image without a distribution.
gather() {
  local to=$1 file
  shift
  for file; do # and all that a symbolic link leads to
    while (cd "$base" && cp -a --parents ".$file" "$to"); [ -L "$base$file" ]; do
      file=$(readlink "$base$file" | sed "s#^[^/]#$(dirname "$file")/&#")
    done
  done
  chroot "$base" ldd "$@" 2>/dev/null | grep -o '/[^ ]* (0x' | cut -d' ' -f1 | sort -u | while read -r file; do
    install -D "$base$file" "$to$file"
  done
}

images() {
  local files=$build/image name image wanted=() stamp xtables
  stamp=$(cat "$here/node-image.sh" "$bin"/.{kube*,etcd,coredns,pause,podnet,local-path-provisioner}.stamp | sha256sum)
  [ "$(cat "$build/images.stamp" 2>/dev/null)" = "$stamp" ] && return 0
  wanted+=("$DEBIAN_IMAGE")

  # kubeadm decides the names. The contents are the programs built here.
  for image in $("$bin/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION"); do
    name=${image##*/} && name=${name%%:*}
    say "image $name"
    rm -rf "$files" && install -D "$bin/$name" "$files/usr/local/bin/$name"
    mkdir -p "$files"/{tmp,run,etc}
    if [ "$name" = kube-proxy ]; then
      mapfile -t xtables < <(cd "$base" && printf '/%s\n' usr/lib/*/xtables/*.so)
      gather "$files" /usr/sbin/nft /usr/sbin/{ip,ip6}tables{,-save,-restore} "${xtables[@]}"
    fi
    image "$image" "/usr/local/bin/$name" "$files"
    wanted+=("$image")
    [ "$name" = pause ] && echo "$image" >"$build/pause-image"
  done

  for name in podnet:v1 local-path-provisioner:v0.0.30; do
    image=eddyline-e2e/$name name=${name%%:*}
    say "image $name"
    rm -rf "$files" && install -D "$bin/$name" "$files/usr/local/bin/$name"
    mkdir -p "$files"/{tmp,etc}
    [ "$name" = podnet ] && gather "$files" /usr/sbin/nft
    image "$image" "/usr/local/bin/$name" "$files"
    wanted+=("$image")
  done
  docker save -o "$build/images.tar" "${wanted[@]}"
  rm -rf "$files"
  echo "$stamp" >"$build/images.stamp"
}

# --- The node image -----------------------------------------------------------------------------------------------

# preload unpacks all images into the node's containerd store, with a private containerd of this machine that works on
# the node's root file system: no node has to unpack them again.
preload() {
  local run=$build/containerd address pid
  address=$run/containerd.sock
  rm -rf "$run" && mkdir -p "$run"
  printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >"$run/config.toml"
  containerd --config "$run/config.toml" --root "$node/var/lib/containerd" --state "$run/state" \
    --address "$address" >"$run/log" 2>&1 &
  pid=$!
  for _ in $(seq 40); do
    ctr --address "$address" version >/dev/null 2>&1 && break
    sleep 0.25
  done
  ctr --address "$address" -n k8s.io images import --snapshotter overlayfs "$build/images.tar" >/dev/null ||
    { tail "$run/log" >&2; kill "$pid"; die "the images could not be unpacked into the node image"; }
  # The compressed layers are not needed once they are unpacked.
  ctr --address "$address" -n k8s.io content prune references >/dev/null 2>&1 || true
  kill "$pid"
  wait "$pid" || true
}

# Only the units that a node needs. The others talk to hardware or to a console.
units() {
  local unit file
  rm -f "$node"/etc/systemd/system/*.wants/*
  mkdir -p "$node/etc/systemd/system/multi-user.target.wants"
  for unit in containerd kubelet; do
    file=/etc/systemd/system/$unit.service # ours, or else Debian's
    [ -f "$node$file" ] || file=/lib/systemd/system/$unit.service
    ln -sfn "$file" "$node/etc/systemd/system/multi-user.target.wants/$unit.service"
  done
  for unit in getty.target console-getty.service systemd-logind.service systemd-binfmt.service \
    proc-sys-fs-binfmt_misc.automount systemd-modules-load.service systemd-networkd.service systemd-networkd.socket \
    dev-hugepages.mount sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount \
    sys-kernel-tracing.mount; do
    ln -sfn /dev/null "$node/etc/systemd/system/$unit"
  done
  mkdir -p "$node/etc/systemd/journald.conf.d" "$node/etc/systemd/system.conf.d"
  printf '[Journal]\nReadKMsg=no\nStorage=volatile\n' >"$node/etc/systemd/journald.conf.d/kind.conf"
  printf '[Manager]\nDefaultTasksMax=infinity\nDefaultLimitNOFILE=1048576\n' >"$node/etc/systemd/system.conf.d/kind.conf"
}

node_image() {
  local stamp old
  stamp=$(cat "$here"/node/* "$build/images.stamp" | sha256sum)
  docker image inspect "$NODE_IMAGE" >/dev/null 2>&1 && [ "$(cat "$build/node.stamp" 2>/dev/null)" = "$stamp" ] && return 0
  old=$(docker image inspect --format '{{.Id}}' "$NODE_IMAGE" 2>/dev/null || true)
  # The archive of images is made again if someone removed it.
  [ -f "$build/images.tar" ] || { rm -f "$build/images.stamp"; images; }
  say "node image: root file system"
  rm -rf "$node" && cp -a "$base" "$node"
  install -m 755 "$bin"/kube{let,adm,ctl} "$node/usr/bin/"
  install -D -m 755 -t "$node/kind/bin" "$here/node/kubelet-cgroup"
  install -D -m 755 -t "$node/usr/local/bin" "$here/node/entrypoint"
  install -D -m 644 -t "$node/etc/systemd/system" "$here"/node/kubelet.{service,slice}
  install -D -m 644 -t "$node/kind/manifests" "$here"/node/default-*.yaml
  mkdir -p "$node"/etc/{containerd,kubernetes/manifests,cni/net.d} "$node/opt/cni"
  ln -sfn /usr/lib/cni "$node/opt/cni/bin"
  ln -sfn /lib/systemd/systemd "$node/sbin/init"
  echo "$KUBERNETES_VERSION" >"$node/kind/version"
  sed "s#@PAUSE_IMAGE@#$(cat "$build/pause-image")#" "$here/node/containerd.toml" >"$node/etc/containerd/config.toml"
  units
  say "node image: unpacking the cluster's images"
  preload
  say "node image: docker import"
  tar -C "$node" --numeric-owner --xattrs --xattrs-include='*' -c . | docker import - "$NODE_IMAGE-rootfs" >/dev/null
  # "docker import" cannot set a stop signal.
  docker build -q --build-arg "ROOTFS=$NODE_IMAGE-rootfs" -t "$NODE_IMAGE" - <"$here/node/Dockerfile" >/dev/null 2>&1
  docker rmi "$NODE_IMAGE-rootfs" >/dev/null
  # Kept while a cluster runs on it.
  [ -z "$old" ] || docker rmi "$old" >/dev/null 2>&1 || true
  rm -rf "$node"
  echo "$stamp" >"$build/node.stamp"
}

case ${1:-} in debian | all) ;; *) sed -n '2,10p' "$0" >&2; exit 2 ;; esac
[ "$(id -u)" = 0 ] || die "making images from Debian's packages needs root (debootstrap)"
mkdir -p "$build"
start_docker
debian_image
if [ "$1" = all ]; then
  debian "$base" "$NODE_PACKAGES"
  images
  node_image
  say "node image $NODE_IMAGE: $(docker image inspect --format '{{.Size}}' "$NODE_IMAGE" | numfmt --to=iec)"
fi
