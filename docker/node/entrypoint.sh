#!/bin/sh
# A container becomes a node: sysctls of pods' interfaces can be set, its addresses are there, and packets go by BGP
# and not by the default route that Docker gave it.
set -eu
mount -o remount,rw /proc/sys
for address in ${LOOPBACKS:-}; do ip address replace "$address" dev lo; done
ip route del default 2>/dev/null || :
ip -6 route del default 2>/dev/null || :
mkdir -p /run/netns
exec underlayd --config /etc/underlay/underlay.yaml
