#!/usr/bin/env python3
"""ADD and DEL latency of the plugin beside the reference ptp + host-local, interleaved in one run.

Needs root, dist/ built, and /usr/lib/cni (Debian: containernetworking-plugins). Prints milliseconds, spawn to exit.
The "host" is a namespace of its own; every pod namespace is made beforehand.
"""
import ctypes, json, os, shutil, statistics, subprocess, sys, tempfile, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
SINGLE, ROUNDS, PARALLEL = int(os.environ.get("SINGLE", 60)), int(os.environ.get("ROUNDS", 6)), 50
HOST = f"ul-cni-bench-{os.getpid()}"


def sh(command):
    subprocess.run(["sh", "-ec", command], check=True)


def spawn(plugin, command, pod, config):
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": f"c{pod}", "CNI_NETNS": f"/var/run/netns/{HOST}-{pod}",
           "CNI_IFNAME": "eth0", "CNI_PATH": "/usr/lib/cni", "CNI_ARGS": "", "PATH": "/usr/sbin:/usr/bin"}
    read, write = os.pipe()
    os.write(write, config)
    os.close(write)
    started = time.perf_counter()
    pid = os.posix_spawn(plugin, [plugin], env, file_actions=[
        (os.POSIX_SPAWN_DUP2, read, 0), (os.POSIX_SPAWN_OPEN, 1, f"{WORK}/out-{pod}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)])
    os.close(read)
    return pid, started


def batch(entry, command, pods):
    """Latency of each call and of the whole."""
    plugin, config = entry
    begin = time.perf_counter()
    running = {}
    for pod in pods:
        pid, started = spawn(plugin, command, pod, config)
        running[pid] = (pod, started)
    latencies = []
    while running:
        pid, status = os.wait()
        pod, started = running.pop(pid)
        latencies.append((time.perf_counter() - started) * 1000)
        if status != 0:
            sys.exit(f"{command} failed: " + open(f"{WORK}/out-{pod}").read())
    return latencies, (time.perf_counter() - begin) * 1000


def line(name, values):
    values = sorted(values)
    p99 = values[min(len(values) - 1, int(len(values) * 0.99))]
    print(f"{name:34} p50 {statistics.median(values):7.2f}   p99 {p99:7.2f}   n {len(values)}")


WORK = tempfile.mkdtemp(prefix="ul-cni-bench-")
daemon = None
try:
    os.makedirs(f"{WORK}/bundle")
    os.symlink(f"{ROOT}/dist", f"{WORK}/dist")
    sh(f"cd {ROOT} && node_modules/.bin/esbuild test/system/support/cni-daemon.ts --bundle --platform=node --target=node20 "
       f"--format=cjs --outfile={WORK}/bundle/daemon.cjs --log-level=error")
    sh(f"ip netns add {HOST}; ip -n {HOST} link set lo up; ip -n {HOST} rule add pref 1000 table 7000; ip -n {HOST} -6 rule add pref 1000 table 7000;"
       f"ip netns exec {HOST} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    for pod in range(PARALLEL):
        sh(f"ip netns add {HOST}-{pod}")
    options = {"pools": [{"name": "default", "blocks": ["10.244.0.0/22", "2001:db8::/112"], "exclude": [], "table": 7100}],
               "stateDir": os.environ.get("STATE", f"{WORK}/state"), "mtu": 1500, "socket": f"{WORK}/s.sock", "spoolDir": f"{WORK}/spool"}
    daemon = subprocess.Popen(["nsenter", f"--net=/var/run/netns/{HOST}", "node", f"{WORK}/bundle/daemon.cjs", json.dumps(options)],
                              stdout=subprocess.PIPE, text=True)
    if daemon.stdout.readline().strip() != "ready":
        sys.exit("the daemon did not start")
    fd = os.open(f"/var/run/netns/{HOST}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0:
        sys.exit("setns failed: root is needed")

    ours = json.dumps({"cniVersion": "1.0.0", "name": "u", "type": "underlay", "socket": options["socket"]}).encode()
    theirs = json.dumps({"cniVersion": "1.0.0", "name": "p", "type": "ptp", "ipam": {
        "type": "host-local", "dataDir": f"{WORK}/host-local", "ranges": [[{"subnet": "10.99.0.0/16"}]]}}).encode()
    entries = {"underlay (dual stack)": (f"{ROOT}/dist/underlay", ours)}
    if os.path.exists("/usr/lib/cni/ptp"):
        entries["ptp + host-local (IPv4 only)"] = ("/usr/lib/cni/ptp", theirs)
    results = {}
    for step in range(SINGLE + 3):
        for name, entry in entries.items():
            for command in ("ADD", "DEL"):
                latencies, _ = batch(entry, command, [0])
                if step >= 3:
                    results.setdefault((name, command, "single"), []).extend(latencies)
                time.sleep(0.03)
    for step in range(ROUNDS + 1):
        for name, entry in entries.items():
            for command in ("ADD", "DEL"):
                latencies, whole = batch(entry, command, range(PARALLEL))
                if step >= 1:
                    results.setdefault((name, command, f"{PARALLEL} parallel"), []).extend(latencies)
                    results.setdefault((name, command, f"{PARALLEL} parallel, all"), []).append(whole)
                time.sleep(0.2)
    for (name, command, kind), values in results.items():
        if name.startswith(("underlay", "ptp")):
            line(f"{name.split(' ')[0]:9} {command} {kind}", values)
finally:
    if daemon:
        daemon.kill()
        daemon.wait()
    for pod in range(PARALLEL):
        subprocess.run(["ip", "netns", "del", f"{HOST}-{pod}"], stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "netns", "del", HOST], stderr=subprocess.DEVNULL)
    shutil.rmtree(WORK, ignore_errors=True)
