"""Every trick that a script could play on its surroundings, as a script that tries each and prints what came of it.

A trick is "open" where the attempt had its effect, else "closed". What is tried is undone or harmless: a signal that
does nothing, a file that is removed again.
"""

TITLES = {
    "log": "rewrite `log.txt`, `clock.csv`, `reads.csv` or `run.json` of its run",
    "outcome": "write an `outcome.json`",
    "ledger": "read or edit the ledger",
    "project": "read the project, its records or other runs",
    "harness": "leave a poisoned `__pycache__` in the harness",
    "environment": "write a `.pth` or a `sitecustomize` into the environment",
    "cache": "reach compile caches of other runs, or the user's files",
    "shards": "change a shard of the shared cache",
    "shard-link": "put another file in the place of its tokens",
    "signal": "stop or kill recorder, observer or harness",
    "trace": "trace recorder, observer or harness",
    "memory": "write into their memory",
    "descriptors": "write through their open files (`/proc/<pid>/fd`)",
    "accounts": "read `/etc/shadow`",
    "secrets": "read the environment of other processes",
    "processes": "see other processes",
    "modes": "change modes or times of files outside",
    "shm": "leave something in `/dev/shm` for the next run",
    "tmp": "leave something in `/tmp` for the next run",
    "network": "reach a server outside its own loopback",
    "capabilities": "hold a capability",
    "survivor": "leave a daemon that outlives the run",
    "chain": "outrun the killer by processes that fork and exit",
}

BODY = """
import ctypes, pathlib, socket, signal, stat, subprocess
ROOT, HARNESS, HOME, PORT = pathlib.Path({root!r}), pathlib.Path({harness!r}), pathlib.Path({home!r}), {port}
WORK = pathlib.Path(os.getcwd())
RUN = ROOT / ".runs" / WORK.parent.name
LIBC = ctypes.CDLL(None, use_errno=True)

def others():
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                command = open(f"/proc/{{entry}}/cmdline", "rb").read()
            except OSError:
                continue
            if (b"recorder" in command or b"observer" in command) and str(RUN).encode() in command:
                found.append(int(entry))
    return found

def writable(path):
    with open(path, "r+b"):
        return True

def made(path):
    with open(path, "w"):
        pass
    os.unlink(path)
    return True

def readable(path):
    with open(path, "rb") as file:
        file.read(1)
    return True

def signalled():
    reached = []
    for pid in others():
        try:
            parent = int(open(f"/proc/{{pid}}/status").read().split("PPid:")[1].split()[0])  # the harness
        except OSError:
            parent = None
        for target in (pid, parent):
            try:
                os.kill(target, signal.SIGCONT)
            except (OSError, TypeError):
                continue
            reached.append(target)
    return bool(reached)

def traced():
    done = [LIBC.ptrace(0x4206, pid, 0, 0) == 0 for pid in others()]
    for pid in others():
        os.kill(pid, signal.SIGSTOP); os.waitpid(pid, 0x40000000); LIBC.ptrace(17, pid, 0, 0); os.kill(pid, signal.SIGCONT)
    return any(done)

def through_descriptors():
    for pid in others():
        for number in os.listdir(f"/proc/{{pid}}/fd"):
            if os.readlink(f"/proc/{{pid}}/fd/{{number}}").endswith("log.txt"):
                os.close(os.open(f"/proc/{{pid}}/fd/{{number}}", os.O_WRONLY))
                return True
    return False

def environment():
    site = next(pathlib.Path(path) for path in sys.path if path.endswith("site-packages"))
    return made(site / "evil.pth")

def replaced():
    data = WORK / "data" / "tiny"
    link = next(path for path in data.iterdir() if path.is_symlink())
    target = os.readlink(link)
    link.unlink()
    link.symlink_to(target)
    return True

def capable():
    return int(open("/proc/self/status").read().split("CapEff:")[1].split()[0], 16) != 0

def connected():
    with socket.create_connection(("127.0.0.1", PORT), timeout=60):
        return True

def kept(folder):
    (pathlib.Path(folder) / {mark!r}).write_text("state")
    return True  # the test looks whether it is there after the run

TRICKS = dict(
    log=lambda: writable(RUN / "log.txt") or writable(RUN / "clock.csv"),
    outcome=lambda: kept(RUN),
    ledger=lambda: writable(ROOT / ".runs" / "ledger.jsonl"),
    project=lambda: readable(ROOT / "tracks" / "tiny.yaml"),
    harness=lambda: made(HARNESS / "__pycache__" / "evil.pyc"),
    environment=environment,
    cache=lambda: readable(HOME / "secret"),
    shards=lambda: writable(next(path for path in (WORK / "data" / "tiny").iterdir() if path.is_symlink())),
    accounts=lambda: readable("/etc/shadow"),
    signal=signalled,
    memory=lambda: any([writable(f"/proc/{{pid}}/mem") for pid in others()]),
    descriptors=through_descriptors,
    secrets=lambda: b"SPEEDRUN_TEST_SECRET" in open("/proc/{secret_pid}/environ", "rb").read(),
    processes=lambda: bool(others()),
    modes=lambda: os.chmod(HOME / "secret", 0o644) is None,
    shm=lambda: kept("/dev/shm"),
    tmp=lambda: kept("/tmp"),
    network=connected,
    capabilities=capable,
    **{{"shard-link": replaced}},
)
if {tracing}:
    TRICKS["trace"] = traced
for name, trick in TRICKS.items():
    try:
        outcome = "open" if trick() else "closed"
    except (OSError, StopIteration):
        outcome = "closed"
    print(f"trick:{{name}}:{{outcome}}", flush=True)
if os.fork() == 0:
    os.setsid()
    for number in range(3):
        os.close(number)
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", {nap!r}], {{}})
    os._exit(0)
if os.fork() == 0:
    for number in range(3):
        os.close(number)
    while True:  # each child forks and its parent exits
        if os.fork():
            os._exit(0)
"""
