#!/usr/bin/env python3
"""Time vmcoroner against the tools it replaces, on real dumps, in one run.

    cargo build --release
    benches/compare.py --vmlinux VMLINUX DUMP...
    benches/compare.py --crash "PATH/ld.so --library-path LIBS crash" --drgn VENV/bin/python --vmlinux VMLINUX DUMP

What is measured, for each dump:

    identify   vmcoroner identify DUMP
    log        vmcoroner log DUMP                                   (standard output to a file)
    mdf-log    makedumpfile --dump-dmesg DUMP FILE                  (the log only, no debuginfo)
    crash      crash -s VMLINUX DUMP, doing: sys, log, bt, quit
    drgn       a drgn script for the same facts: release, stack with registers, log

How:

  * Wall time and CPU time are of whole processes, from before the spawn to after the wait. The commands take turns
    (A B C A B C ...), so that whatever else the machine does falls on all of them alike. --warmups rounds come first and
    are not counted: the files are then in the page cache, and each command has shown that it works.
  * Peak memory is what the kernel reports for the ended process (ru_maxrss), the highest of three more runs under GNU
    time. A process that Python itself starts inherits Python's own peak, so without GNU time small values read "<=".
  * "rchar" is what the process read in all (/proc/PID/io at its end): dump, debuginfo, libraries. "dump" is what it read
    from the dump file alone, bytes and calls, from one more run under strace, which is too slow to be timed; "+ map" is
    what it mapped of it, of which it may have touched less.
  * A tool that is not there, or fails on this dump, is reported as "not measured" with the reason, and so are the targets
    that need it.

Ratios are medians against medians. Exit code: 0 every target that could be measured is met, 1 one is missed,
2 vmcoroner itself could not be measured. Needs Python 3.9 or newer and nothing else; GNU time and strace if present.
"""
import argparse
import glob
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))

CRASH_COMMANDS = "sys\nlog\nbt\nquit\n"

DRGN_SCRIPT = """\
import sys
import drgn
from drgn.helpers.linux.printk import get_dmesg

prog = drgn.Program()
prog.set_core_dump(sys.argv[2])
prog.load_debug_info([sys.argv[1]])
name = prog["init_uts_ns"].name
print(name.release.string_().decode(), name.nodename.string_().decode())
task = prog.crashed_thread()
print(task.object.pid.value_(), task.object.comm.string_().decode())
for frame in task.stack_trace():
    print(frame)
    if frame.interrupted:
        print(frame.registers())
print(get_dmesg(prog).decode(errors="replace"))
"""


class Command:
    """One competitor: its command line, and what it takes for a run of it to count."""

    def __init__(self, name, argv, good=(0,), output=None):
        self.name, self.argv, self.good = name, argv, good
        self.output = output  # a file that the command itself writes and will not overwrite
        self.why_not = None  # why there are no figures
        self.wall, self.cpu, self.rchar = [], [], []
        self.rss, self.rss_exact = 0, False
        self.dump_reads = None  # (bytes read, calls, bytes mapped)

    @classmethod
    def absent(cls, name, why):
        c = cls(name, [])
        c.why_not = why
        return c

    def wall_ms(self):
        return statistics.median(self.wall) * 1e3


def spawn(command, argv, stdout, timeout):
    """Run once; returns (wall s, cpu s, peak RSS in KiB, rchar, exit code). Standard error goes to STDOUT.err."""
    if command.output and os.path.exists(command.output):
        os.unlink(command.output)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, stdout, flags, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, stdout + ".err", flags, 0o600),
    ]
    began = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(timeout)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # ended, and its /proc entry still there
    wall = time.perf_counter() - began
    signal.alarm(0)
    try:
        with open("/proc/%d/io" % pid) as f:
            rchar = int(re.search(r"rchar: (\d+)", f.read()).group(1))
    except (OSError, AttributeError):
        rchar = None
    _, status, usage = os.wait4(pid, 0)
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, rchar, os.waitstatus_to_exitcode(status)


def telling_line(text):
    """The first line that is not blank; of a Python traceback the last, which says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0])[:100] if lines else ""


def telling_line_of(path):
    try:
        with open(path, errors="replace") as f:
            return telling_line(f.read(1 << 16))
    except OSError:
        return ""


def attempt(command, tmp, timeout):
    """A run that must succeed; on failure the command is out of the race, with the reason."""
    stdout = os.path.join(tmp, command.name + ".out")
    result = spawn(command, command.argv, stdout, timeout)
    text = command.output or stdout
    if result[4] not in command.good:
        said = telling_line_of(stdout + ".err") or telling_line_of(stdout)
        command.why_not = "exit code %d: %s" % (result[4], said)
    elif not os.path.exists(text) or os.path.getsize(text) == 0:
        command.why_not = "it printed nothing"
    return result


def measure(commands, tmp, runs, warmups, timeout):
    for turn in range(warmups + runs):
        for c in commands:
            if c.why_not:
                continue
            wall, cpu, rss, rchar, _ = attempt(c, tmp, timeout)
            if c.why_not or turn < warmups:
                continue
            c.wall.append(wall)
            c.cpu.append(cpu)
            c.rss = max(c.rss, rss)
            if rchar is not None:
                c.rchar.append(rchar)
        if sys.stderr.isatty():
            print("\r%d/%d " % (turn + 1, warmups + runs), end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r        \r", end="", file=sys.stderr)


def measure_memory(commands, tmp, timeout, gnu_time):
    """Peak RSS again, with a small parent in between: see the head of this file."""
    if not gnu_time:
        return
    note = os.path.join(tmp, "rss")
    for c in commands:
        if c.why_not:
            continue
        peaks = []
        for _ in range(3):
            spawn(c, [gnu_time, "-q", "-f", "%M", "-o", note] + c.argv, os.path.join(tmp, "rss.out"), timeout)
            try:
                peaks.append(int(telling_line_of(note)))
            except ValueError:
                pass
        if peaks:
            c.rss, c.rss_exact = max(peaks), True


READ = re.compile(r"^(?:read|pread64|readv|preadv2?)\(\d+<(.*?)>, .* = (\d+)$")
MAP = re.compile(r"^mmap\([^,]+, (\d+), [^,]+, [^,]+, \d+<(.*?)>, ")


def measure_reads(commands, dump, tmp, timeout, strace):
    if not strace:
        return
    dump = os.path.realpath(dump)
    for c in commands:
        if c.why_not:
            continue
        prefix = os.path.join(tmp, "strace-" + c.name)
        # a file for each thread, so that no call is split over two lines
        trace = [strace, "-ff", "-y", "-s", "0", "-e", "trace=read,pread64,readv,preadv,preadv2,mmap", "-o", prefix]
        spawn(c, trace + c.argv, os.path.join(tmp, "strace.out"), timeout * 10)
        got = calls = mapped = 0
        for name in glob.glob(prefix + ".*"):
            with open(name, errors="replace") as f:
                for line in f:
                    m = READ.match(line)
                    if m and m.group(1) == dump:
                        got += int(m.group(2))
                        calls += 1
                        continue
                    m = MAP.match(line)
                    if m and m.group(2) == dump:
                        mapped += int(m.group(1))
            os.unlink(name)
        if calls or mapped:
            c.dump_reads = (got, calls, mapped)


def resolve(command_line):
    """The words of a command with the program's full path, or None when there is no such program."""
    words = shlex.split(command_line)
    program = shutil.which(words[0]) if words else None
    return [os.path.abspath(program)] + words[1:] if program else None


def contestants(a, dump, tmp):
    vmcoroner = resolve(a.vmcoroner)
    if vmcoroner:
        yield Command("identify", vmcoroner + ["identify", dump], good=(0, 1))  # 1: no known bug, an answer all the same
        yield Command("log", vmcoroner + ["log", dump])
    else:
        for name in ("identify", "log"):
            yield Command.absent(name, "no program %s (cargo build --release, or --vmcoroner)" % a.vmcoroner)
    mdf = resolve(a.makedumpfile)
    if mdf:
        out = os.path.join(tmp, "dmesg")
        yield Command("mdf-log", mdf + ["--dump-dmesg", dump, out], output=out)
    else:
        yield Command.absent("mdf-log", "no program %s (--makedumpfile)" % a.makedumpfile)
    for name, command_line in (("crash", a.crash), ("drgn", a.drgn)):
        words = resolve(command_line)
        if not words:
            yield Command.absent(name, "no program %s (--%s)" % (command_line, name))
        elif not a.vmlinux:
            yield Command.absent(name, "no debuginfo given (--vmlinux)")
        elif name == "crash":
            script = os.path.join(tmp, "commands")
            with open(script, "w") as f:
                f.write(CRASH_COMMANDS)
            yield Command(name, words + ["-s", a.vmlinux, dump, "-i", script])
        else:
            script = os.path.join(tmp, "facts.py")
            with open(script, "w") as f:
                f.write(DRGN_SCRIPT)
            yield Command(name, words + [script, a.vmlinux, dump])


def millions(n):
    return "%.2f MB" % (n / 1e6)


def table(commands):
    rows = [("command", "wall ms: median (min-max)", "cpu ms", "peak RSS MiB", "rchar", "read from the dump")]
    for c in commands:
        if c.why_not:
            rows.append((c.name, "not measured: " + c.why_not, "", "", "", ""))
            continue
        dump = "not measured"
        if c.dump_reads:
            got, calls, mapped = c.dump_reads
            dump = "%s in %d calls" % (millions(got), calls) + (" + map %s" % millions(mapped) if mapped else "")
        rows.append((
            c.name,
            "%.2f (%.2f-%.2f)" % (c.wall_ms(), min(c.wall) * 1e3, max(c.wall) * 1e3),
            "%.1f" % (statistics.median(c.cpu) * 1e3),
            ("" if c.rss_exact else "<= ") + "%.1f" % (c.rss / 1024),
            millions(statistics.median(c.rchar)) if c.rchar else "not measured",
            dump,
        ))
    # a reason for no figures runs over the columns behind it
    widths = [max(len(r[i]) for r in rows if i == 0 or not r[1].startswith("not measured:")) for i in range(6)]
    for r in rows:
        print("  " + "  ".join(cell.ljust(w) for cell, w in zip(r, widths)).rstrip())


def verdicts(commands, a):
    """Prints one line a target; returns whether one was missed."""
    by = {c.name: c for c in commands}
    missed = False

    def target(text, needs, measured, met):
        nonlocal missed
        gone = [n for n in needs if by[n].why_not]
        if gone:
            print("  not measured  %s (no figures for %s)" % (text, ", ".join(gone)))
            return
        value, holds = measured(), met()
        missed = missed or not holds
        print("  %-12s  %s: %s" % ("PASS" if holds else "FAIL", text, value))

    identify, log, mdf, crash, drgn = (by[n] for n in ("identify", "log", "mdf-log", "crash", "drgn"))
    target("identify takes at least %gx less wall time than crash" % a.min_wall_ratio, ("identify", "crash"),
           lambda: "%.0fx" % (crash.wall_ms() / identify.wall_ms()),
           lambda: crash.wall_ms() >= a.min_wall_ratio * identify.wall_ms())
    target("identify takes at least %gx less memory than crash" % a.min_memory_ratio, ("identify", "crash"),
           lambda: "%.0fx" % (crash.rss / identify.rss),
           lambda: crash.rss >= a.min_memory_ratio * identify.rss)
    target("log is at most %g ms slower than makedumpfile --dump-dmesg" % a.max_log_ms, ("log", "mdf-log"),
           lambda: "%+.2f ms" % (log.wall_ms() - mdf.wall_ms()),
           lambda: log.wall_ms() - mdf.wall_ms() <= a.max_log_ms)
    if a.max_identify_ms is not None:
        target("identify takes at most %g ms" % a.max_identify_ms, ("identify",),
               lambda: "%.2f ms" % identify.wall_ms(),
               lambda: identify.wall_ms() <= a.max_identify_ms)
    if not identify.why_not and not drgn.why_not:
        print("  for comparison: drgn / identify: wall %.1fx, memory %.1fx" % (
            drgn.wall_ms() / identify.wall_ms(), drgn.rss / identify.rss))
    return missed


def version(words, *options):
    if not words:
        return "not found"
    try:
        p = subprocess.run(words + list(options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as e:
        return "not known: %s" % e
    return telling_line(p.stdout.decode(errors="replace")) or "not known"


def cpu_model():
    try:
        with open("/proc/cpuinfo") as f:
            return re.search(r"model name\s*: (.*)", f.read()).group(1)
    except (OSError, AttributeError):
        return "unknown CPU"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--vmcoroner", default=os.path.join(HERE, "..", "target", "release", "vmcoroner"), metavar="CMD")
    ap.add_argument("--makedumpfile", default="makedumpfile", metavar="CMD")
    ap.add_argument("--crash", default="crash", metavar="CMD")
    ap.add_argument("--drgn", default="python3", metavar="PYTHON", help="a Python that has drgn")
    ap.add_argument("--vmlinux", help="the dumped kernel with DWARF, for crash and drgn")
    ap.add_argument("--runs", type=int, default=20)
    ap.add_argument("--warmups", type=int, default=2)
    ap.add_argument("--timeout", type=int, default=300, help="seconds for one run")
    ap.add_argument("--min-wall-ratio", type=float, default=100, help="crash / identify")
    ap.add_argument("--min-memory-ratio", type=float, default=20, help="crash / identify")
    ap.add_argument("--max-log-ms", type=float, default=2, help="log - makedumpfile")
    ap.add_argument("--max-identify-ms", type=float, default=None, help="no such target unless given")
    ap.add_argument("dumps", nargs="+", metavar="DUMP")
    a = ap.parse_args()
    if a.runs < 1:
        ap.error("--runs must be at least 1")

    gnu_time, strace = shutil.which("time"), shutil.which("strace")
    print("machine       %s, %d CPUs, load %.2f at the start" % (cpu_model(), os.cpu_count(), os.getloadavg()[0]))
    print("runs          %d each after %d warm-ups, taking turns; files in the page cache" % (a.runs, a.warmups))
    for name, command_line, options in (
        ("vmcoroner", a.vmcoroner, ["--version"]),
        ("makedumpfile", a.makedumpfile, ["-v"]),
        ("crash", a.crash, ["--version"]),
        ("drgn", a.drgn, ["-c", "import drgn; print(drgn.__version__)"]),
    ):
        print("%-13s %s" % (name, version(resolve(command_line), *options)))
    for name, found, loses in (("GNU time", gnu_time, "exact peak memory"), ("strace", strace, "bytes read from the dump")):
        if not found:
            print("%-13s not found: no %s" % (name, loses))

    missed = failed = False
    for dump in a.dumps:
        print("\n%s (%s)" % (os.path.basename(dump), millions(os.path.getsize(dump))))
        with tempfile.TemporaryDirectory(prefix="compare-") as tmp:
            commands = list(contestants(a, os.path.abspath(dump), tmp))
            measure(commands, tmp, a.runs, a.warmups, a.timeout)
            measure_memory(commands, tmp, a.timeout, gnu_time)
            measure_reads(commands, dump, tmp, a.timeout, strace)
            table(commands)
            missed = verdicts(commands, a) or missed
            failed = failed or any(c.why_not for c in commands if c.name in ("identify", "log"))
    print("\nload          %.2f at the end" % os.getloadavg()[0])
    return 2 if failed else 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
