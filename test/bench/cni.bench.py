#!/usr/bin/env python3
"""What each CNI verb takes, beside the reference ptp + host-local, interleaved in one run. Milliseconds, spawn to exit.

Needs root, dist/ built, and /usr/lib/cni (Debian: containernetworking-plugins). The "host" is a namespace of its own, every
pod's namespace is made beforehand, and the daemon is the real one: routes installed, allocations fsynced, recorder on.

  SINGLE=40 ROUNDS=4   calls of a kind one by one, and batches of a kind in parallel
  BASE=DIRECTORY       another build's dist/, measured in turn with ours
  BARE=1               the CNI server without the rest of the daemon as well
  ONLY=dual            one family only (v4, dual); PARALLEL=1,10,50; PTP=0 leaves the reference out
  STATE=DIRECTORY      where allocations are kept: the file system makes a difference
"""
import ctypes, json, os, shutil, statistics, subprocess, sys, tempfile, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
ENV = os.environ.get
SINGLE, ROUNDS = int(ENV("SINGLE", 40)), int(ENV("ROUNDS", 4))
PARALLEL = [int(n) for n in ENV("PARALLEL", "1,10,50").split(",")]
FAMILIES = ENV("ONLY", "v4,dual").split(",")
HOST = f"ul-cni-bench-{os.getpid()}"
WORK = tempfile.mkdtemp(prefix="ul-cni-bench-")
PODS = max(PARALLEL + [20])
LEAD = 5  # calls of each kind that are not counted
PTP_DUAL = 4  # it waits 1.7 s for duplicate address detection


def sh(command):
    subprocess.run(["sh", "-ec", command], check=True)


class Side:
    """One plugin with its daemon, and what was measured of it."""

    def __init__(self, name, plugin, config, process=None):
        self.name, self.plugin, self.config, self.process = name, plugin, config, process
        self.latencies, self.whole, self.cpu = {}, {}, {}
        self.threads = {}

    def config_for(self, verb, family, pod):
        config = self.config(family)
        if verb == "CHECK":
            with open(f"{WORK}/{self.name}-{pod}.json") as file:
                config["prevResult"] = json.load(file)
        if verb == "STATUS":
            config["cniVersion"] = "1.1.0"
        return json.dumps(config).encode()

    def thread_times(self):
        """Nanoseconds on a processor by thread."""
        times = {}
        if self.process is None:
            return times
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                with open(f"/proc/{self.process.pid}/task/{thread}/schedstat") as file:
                    times[thread] = int(file.read().split()[0])
                if thread not in self.threads:
                    with open(f"/proc/{self.process.pid}/task/{thread}/comm") as file:
                        name = file.read().strip()
                    self.threads[thread] = "main" if int(thread) == self.process.pid else name
            except FileNotFoundError:
                pass
        return times

    def batch(self, verb, family, pods, counted=True, rest=0.025, name=None):
        """Runs the verb for all pods at once."""
        configs = {pod: self.config_for(verb, family, pod) for pod in pods}
        before = self.thread_times()
        begin = time.perf_counter()
        running, taken, cpu = {}, [], 0.0
        for pod in pods:
            pid, started = self.spawn(verb, pod, configs[pod])
            running[pid] = (pod, started)
        while running:
            pid, status, usage = os.wait4(-1, 0)
            if pid not in running:
                sys.exit("a daemon ended")
            pod, started = running.pop(pid)
            taken.append((time.perf_counter() - started) * 1000)
            cpu += (usage.ru_utime + usage.ru_stime) * 1000
            if status != 0 and verb != "STATUS":  # no neighbour here: 51 is the true answer
                sys.exit(f"{self.name} {verb} failed: " + open(self.output(verb, pod)).read())
        whole = (time.perf_counter() - begin) * 1000
        time.sleep(rest)
        if not counted:
            return
        key = (name or verb, family, len(pods))
        self.latencies.setdefault(key, []).extend(taken)
        self.whole.setdefault(key, []).append(whole)
        spent = self.cpu.setdefault(key, {"calls": 0, "client": 0.0})
        spent["calls"] += len(pods)
        spent["client"] += cpu
        for thread, nanoseconds in self.thread_times().items():
            name = self.threads[thread]
            spent[name] = spent.get(name, 0.0) + (nanoseconds - before.get(thread, 0)) / 1e6

    def output(self, verb, pod):
        return f"{WORK}/{self.name}-{pod}" + (".json" if verb == "ADD" else ".out")

    def spawn(self, verb, pod, config):
        env = {"CNI_COMMAND": verb, "CNI_CONTAINERID": f"c{pod}", "CNI_NETNS": f"/var/run/netns/{HOST}-{pod}",
               "CNI_IFNAME": "eth0", "CNI_PATH": "/usr/lib/cni", "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;"
               f"K8S_POD_NAME=pod-{pod}", "PATH": "/usr/sbin:/usr/bin"}
        read, write = os.pipe()
        os.write(write, config)
        os.close(write)
        started = time.perf_counter()
        pid = os.posix_spawn(self.plugin, [self.plugin], env, file_actions=[
            (os.POSIX_SPAWN_DUP2, read, 0),
            (os.POSIX_SPAWN_OPEN, 1, self.output(verb, pod), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)])
        os.close(read)
        return pid, started


def report(sides):
    def values(numbers):
        ordered = sorted(numbers)
        return f"{statistics.median(ordered):8.2f} {ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]:8.2f}"

    print(f"{'':39}{'p50':>8} {'p99':>8} {'batch':>8} {'n':>5}   CPU ms per call")
    for key in sorted({key for side in sides for key in side.latencies}, key=lambda key: (key[2], key[1], VERBS.index(key[0]))):
        for side in sides:
            if key not in side.latencies:
                continue
            verb, family, count = key
            spent = side.cpu[key]
            shares = {name: value / spent["calls"] for name, value in spent.items() if name != "calls"}
            cpu = f"{sum(shares.values()):6.2f}: " + ", ".join(
                f"{name} {value:.2f}" for name, value in sorted(shares.items(), key=lambda item: -item[1]) if value >= 0.02)
            print(f"{side.name:10} {verb:13} {family:5} {'x ' + str(count):8}{values(side.latencies[key])} "
                  f"{statistics.median(side.whole[key]):8.2f} {len(side.latencies[key]):5}  {cpu}")


VERBS = ["ADD", "ADD in a row", "CHECK", "DEL", "DEL in a row", "STATUS", "VERSION"]


def start(name, dist):
    """The real daemon."""
    state = f"{ENV('STATE', WORK)}/{name}"
    os.makedirs(state, exist_ok=True)
    number = len(sides)
    with open(f"{WORK}/{name}.yaml", "w") as file:
        file.write(f"""
node: {{ name: bench, asn: 65101, routerId: 192.0.2.1 }}
pools:
  v4: {{ blocks: [10.{240 + number}.0.0/22], table: fabric }}
  dual: {{ blocks: [10.{240 + number}.4.0/22, "2001:db8:{number}::/112"], table: fabric }}
tables: {{ fabric: {{ id: {7100 + number} }} }}
peers:
  tor: {{ address: 192.0.2.254, asn: 65001, import: default-route, export: blocks, passive: true }}
routing: {{ install: true }}
api: {{ socket: {WORK}/{name}.sock }}
paths: {{ state: {state}, run: {WORK}/{name}.run }}
""")
    log = open(f"{WORK}/{name}.log", "w")
    process = subprocess.Popen(["nsenter", f"--net=/var/run/netns/{host_of(number)}", "node", f"{dist}/underlayd.cjs",
                                "--config", f"{WORK}/{name}.yaml"], stdout=log, stderr=log)
    return added(name, dist, process, lambda family: {"pool": family})


def start_bare(name):
    """The CNI server alone, as the system tests have it."""
    os.makedirs(f"{WORK}/bundle")
    os.symlink(f"{ROOT}/dist", f"{WORK}/dist")
    sh(f"cd {ROOT} && node_modules/.bin/esbuild test/system/support/cni-daemon.ts --bundle --platform=node --target=node20 "
       f"--format=cjs --outfile={WORK}/bundle/daemon.cjs --log-level=error")
    options = {"pools": [{"name": "v4", "blocks": ["10.254.0.0/22"], "exclude": [], "table": 7100},
                         {"name": "dual", "blocks": ["10.254.4.0/22", "2001:db8:ff::/112"], "exclude": [], "table": 7100}],
               "stateDir": f"{ENV('STATE', WORK)}/{name}", "mtu": 1500, "socket": f"{WORK}/{name}.sock", "spoolDir": f"{WORK}/spool"}
    host = host_of(len(sides))
    sh(f"ip -n {host} rule add pref 1000 table 7000; ip -n {host} -6 rule add pref 1000 table 7000")
    process = subprocess.Popen(["nsenter", f"--net=/var/run/netns/{host}", "node", f"{WORK}/bundle/daemon.cjs",
                                json.dumps(options)], stdout=subprocess.DEVNULL)
    return added(name, f"{ROOT}/dist", process, lambda family: {"pool": family})


def added(name, dist, process, extra):
    sides.append(Side(name, f"{dist}/underlay", lambda family: {
        "cniVersion": "1.0.0", "name": "bench", "type": "underlay", "socket": f"{WORK}/{name}.sock", **extra(family)}, process))
    until = time.time() + 20
    while not os.path.exists(f"{WORK}/{name}.sock"):
        if process.poll() is not None or time.time() > until:
            sys.exit("the daemon did not start: " + open(f"{WORK}/{name}.log").read())
        time.sleep(0.02)
    time.sleep(0.5)
    return sides[-1]


def host_of(number):
    """Each daemon has a host of its own, because two cannot own the same rules."""
    name = f"{HOST}-host{number}"
    sh(f"ip netns add {name}; ip -n {name} link set lo up; ip -n {name} addr add 192.0.2.1/32 dev lo;"
       f"ip netns exec {name} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    hosts.append(name)
    return name


def enter(side):
    """Our children live where the side's daemon does, as a runtime would."""
    if libc.setns(namespaces[side.name], 0x40000000) != 0:
        sys.exit("setns failed: root is needed")


sides, hosts, namespaces = [], [], {}
libc = ctypes.CDLL(None, use_errno=True)
try:
    for pod in range(PODS):
        sh(f"ip netns add {HOST}-{pod}")
    start("underlay", f"{ROOT}/dist")
    if ENV("BASE"):
        start("base", ENV("BASE"))
    if ENV("BARE"):
        start_bare("bare")
    if os.path.exists("/usr/lib/cni/ptp") and ENV("PTP") != "0":
        ranges = {"v4": [[{"subnet": "10.99.0.0/16"}]]}
        ranges["dual"] = ranges["v4"] + [[{"subnet": "fd99::/112"}]]
        host_of(len(sides))
        sides.append(Side("ptp", "/usr/lib/cni/ptp", lambda family: {
            "cniVersion": "1.0.0", "name": f"ptp-{family}", "type": "ptp",
            "ipam": {"type": "host-local", "dataDir": f"{WORK}/host-local", "ranges": ranges[family]}}))
    for side, name in zip(sides, hosts):
        namespaces[side.name] = os.open(f"/var/run/netns/{name}", os.O_RDONLY)

    def each(work):
        for side in sides:
            enter(side)
            work(side)

    for family in FAMILIES:
        for step in range(SINGLE + LEAD):
            def one(side):
                if side.name == "ptp" and family == "dual" and step >= PTP_DUAL + LEAD:
                    return
                counted = step >= LEAD
                verbs = ["ADD", "CHECK", "DEL"] + (["STATUS", "VERSION"] if family == FAMILIES[0] else [])
                for verb in verbs:
                    if (side.name, verb) != ("ptp", "STATUS"):
                        side.batch(verb, family, [0], counted)
            if 1 in PARALLEL and not (step < LEAD - 1 and family == "dual"):
                each(one)
        for count in [n for n in PARALLEL if n > 1]:
            for step in range(ROUNDS + 1):
                def several(side):
                    if side.name == "ptp" and family == "dual" and step > 1:
                        return
                    for verb in ["ADD", "CHECK", "DEL"]:
                        side.batch(verb, family, range(count), step > 0, 0.2)
                each(several)

    def row(side):
        """One call right after the other: nothing that an earlier one has left to do may hold up the next."""
        for verb in ["ADD", "DEL"]:
            for pod in range(20):
                side.batch(verb, "v4", [pod], True, 0, f"{verb} in a row")
            time.sleep(0.2)

    if "v4" in FAMILIES and 1 in PARALLEL:
        for step in range(ROUNDS):
            each(row)
    report(sides)
finally:
    for side in sides:
        if side.process:
            side.process.kill()
            side.process.wait()
    for name in [f"{HOST}-{pod}" for pod in range(PODS)] + hosts:
        subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
    shutil.rmtree(WORK, ignore_errors=True)
