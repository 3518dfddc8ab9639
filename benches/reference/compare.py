"""Times the project's code and PyTorch side by side and writes a Markdown table.

    python compare.py --threads 2 --cases xl_block_space,linear --out table.md

Both sides of a case are running while it is timed and take turns, so that whatever slows the machine down slows both.
A pair during which other programs took more than a seventh of the machine is repeated, for as long as `--patience`
allows. Run it with the interpreter that has torch, or name that one with `--python`.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CARGO = ["cargo", "run", "--release", "--quiet", "--package", "cola-benches", "--bin", "side", "--"]
# What PyTorch's user can choose; the first of each is where the search for the fastest starts.
CHOICES = {"attention": ["sdpa", "plain"], "optimizer": ["fused", "foreach"], "malloc": ["keep", "default"],
           "mkl": ["unlocked", "stock"]}
# glibc hands large blocks back at once, and every step pays for fresh pages; with these it keeps them, as a user who
# preloads another allocator has it.
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
# MKL, which PyTorch multiplies matrices with, takes a road half as fast on processors that are not Intel's. A library
# that answers its question about the maker, loaded first, puts both sides on the same instructions.
UNLOCK = "int mkl_serv_intel_cpu_true(void) { return 1; }"
CHECKED = ["xl_block_space_forward", "xl_block_time_forward", "idm_paper_encode"]
DISTURBED = 1 / 7
TURN_MS = 30
REST = 0.06


def busy_seconds() -> float:
    """Processor time that the whole machine has spent."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, soft = map(int, stat.readline().split()[1:8])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


class Turn(NamedTuple):
    """Milliseconds of one iteration: on the wall, and of processor time, which other programs hardly change."""

    wall: float
    cpu: float


class Side:
    """A running server for one case."""

    def __init__(self, command: list[str], threads: int, extra: dict[str, str]):
        env = os.environ | {"RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": "1"} | extra
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.read()
        self.peak = 0.0

    def read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(self.process.args)}: ended without an answer")
        return json.loads(line)

    def cpu_seconds(self) -> float:
        """Of all threads, finer than the clock ticks of `/proc/PID/stat`."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def turn(self) -> Turn:
        """One iteration, or as many as fit in a short turn: their median, and the processor time of each."""
        times, start = [], self.cpu_seconds()
        while sum(times) < TURN_MS and len(times) < 20:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            answer = self.read()
            times.append(answer["ms"])
            self.peak = max(self.peak, answer["peak_mb"])
        cpu = 1000 * (self.cpu_seconds() - start) / len(times)
        time.sleep(REST)  # threads that spin while they wait for work go to sleep
        return Turn(statistics.median(times), cpu)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def check(args: argparse.Namespace) -> None:
    """Compares results where the Rust side stores them."""
    for case in CHECKED:
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder, "example.safetensors"))
            subprocess.run([*CARGO, case, "--save", file], cwd=ROOT, check=True)
            for attention in CHOICES["attention"]:
                answer = subprocess.run([args.python, str(HERE / "side.py"), case, f"--attention={attention}", "--check", file],
                                        check=True, capture_output=True, text=True).stdout
                found = json.loads(answer)["difference"]
                print(f"{case}, {attention}: largest difference {found:.1e}", flush=True)
                if not found < 1e-4:
                    sys.exit(f"{case}: the two sides compute different things")


def torch_side(args: argparse.Namespace, case: str, chosen: dict[str, str]) -> Side:
    flags = [f"--{name}={chosen[name]}" for name in ("attention", "optimizer")]
    command = [args.python, str(HERE / "side.py"), case, "--threads", str(args.threads), *flags]
    extra = dict(KEEP) if chosen["malloc"] == "keep" else {}
    if chosen["mkl"] == "unlocked" and args.unlock:
        extra["LD_PRELOAD"] = args.unlock
    return Side(command, args.threads, extra)


def unlock(folder: str) -> str | None:
    """The library of `UNLOCK`; none where it is not needed or cannot be made."""
    if "GenuineIntel" in Path("/proc/cpuinfo").read_text() or not shutil.which("cc"):
        return None
    source, library = Path(folder, "unlock.c"), Path(folder, "unlock.so")
    source.write_text(UNLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return str(library)


def fastest(args: argparse.Namespace, case: str) -> tuple[Side, dict[str, str]]:
    """The PyTorch side with each open choice made by trying, one choice after the other."""
    chosen = {name: options[0] if getattr(args, name) == "best" else getattr(args, name)
              for name, options in CHOICES.items()}
    general = ["malloc", "mkl"] if args.unlock else ["malloc"]
    best = torch_side(args, case, chosen)
    open_choices = [name for name in [*best.ready["choices"], *general] if getattr(args, name) == "best"]
    for name in open_choices:
        rival_choice = chosen | {name: CHOICES[name][1]}
        rival = torch_side(args, case, rival_choice)
        best.turn(), rival.turn()
        times = [(best.turn(), rival.turn()) for _ in range(args.trials)]
        if statistics.median(b.wall for _, b in times) < statistics.median(a.wall for a, _ in times):
            best, rival, chosen = rival, best, rival_choice
        rival.close()
    best.peak = 0.0
    relevant = {name: value for name, value in chosen.items() if name in [*best.ready["choices"], *general]}
    return best, relevant


def pairs(args: argparse.Namespace, sides: list[Side]) -> tuple[list[list[Turn]], float]:
    """Times of the undisturbed pairs (of all, where there were too few) and the others' share of the machine."""
    for _ in range(2):
        [side.turn() for side in sides]
    found, deadline = [], time.monotonic() + args.patience
    for round_ in itertools.count(1):
        start, busy, own = time.monotonic(), busy_seconds(), sum(side.cpu_seconds() for side in sides)
        times = [side.turn() for side in sides]
        own = sum(side.cpu_seconds() for side in sides) - own
        share = (busy_seconds() - busy - own) / (time.monotonic() - start) / os.cpu_count()
        found.append((times, max(share, 0.0)))
        calm = [pair for pair in found if pair[1] <= DISTURBED]
        enough = len(calm) >= args.pairs or (round_ >= args.pairs and time.monotonic() > deadline)
        print(f"\r  pair {min(len(calm), args.pairs)}/{args.pairs}, {round_} tried ", end="", file=sys.stderr, flush=True)
        if enough:
            break
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    used = calm if len(calm) >= 3 else found
    return [pair[0] for pair in used], statistics.median(pair[1] for pair in used)


def row(args: argparse.Namespace, case: str, ours: bool) -> str:
    torch, chosen = fastest(args, case)
    variant = ", ".join(chosen.values())
    if not ours:
        times, others = pairs(args, [torch])
        torch.close()
        median, low, high = (f(t[0].wall for t in times) for f in (statistics.median, min, max))
        return (f"| {case} | {torch.ready['parameters']:,} | {median:.2f} | {low:.2f} to {high:.2f} | {torch.peak:.0f} "
                f"| {variant} | {others:.0%} |")
    rust = Side([*CARGO, case, "--threads", str(args.threads)], args.threads, {})
    counts = [side.ready["parameters"] for side in (rust, torch)]
    if counts[0] != counts[1]:
        sys.exit(f"{case}: {counts[0]:,} parameters here, {counts[1]:,} in PyTorch: not the same model")
    times, others = pairs(args, [rust, torch])
    rust.close(), torch.close()
    ratios = [a.wall / b.wall for a, b in times]
    medians = [statistics.median(turn.wall for turn in column) for column in zip(*times)]
    processor = statistics.median(a.cpu / b.cpu for a, b in times)
    return (f"| {case} | {counts[0]:,} | {medians[0]:.2f} | {medians[1]:.2f} | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} to {max(ratios):.2f} | {processor:.2f} | {rust.peak:.0f} | {torch.peak:.0f} | {variant} | {others:.0%} |")


BOTH = ["case", "parameters", "Rust ms", "PyTorch ms", "ratio", "ratios", "CPU ratio", "Rust MB", "PyTorch MB", "PyTorch with", "others"]
ALONE = ["case", "parameters", "PyTorch ms", "range", "PyTorch MB", "PyTorch with", "others"]


def table(args: argparse.Namespace, names: list[str]) -> None:
    """Prints rows as they are found, and keeps the file up to date."""
    heading = ALONE if args.only_torch else BOTH
    lines = [f"| {' | '.join(heading)} |", "|---|" + "---:|" * (len(heading) - 1)]
    print("\n".join(lines), flush=True)
    for name in names:
        lines.append(row(args, name, not args.only_torch))
        print(lines[-1], flush=True)
        if args.out:
            args.out.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="of either side")
    parser.add_argument("--pairs", type=int, default=9, help="timed after the first two, which are dropped")
    parser.add_argument("--cases", help="names with commas between; all that both sides have without it")
    parser.add_argument("--out", type=Path, help="Markdown file for the table")
    parser.add_argument("--python", default=sys.executable, help="interpreter with torch")
    parser.add_argument("--only-torch", action="store_true", help="PyTorch alone, without a Rust build")
    parser.add_argument("--check", action="store_true", help="compare results instead of times")
    parser.add_argument("--patience", type=float, default=30, help="seconds a case may wait for a quiet machine")
    parser.add_argument("--trials", type=int, default=3, help="turns by which the faster choice is found")
    for name, options in CHOICES.items():
        parser.add_argument(f"--{name}", choices=[*options, "best"], default="best", help="PyTorch's choice")
    args = parser.parse_args()
    if not args.only_torch:
        subprocess.run(["cargo", "build", "--release", "--package", "cola-benches", "--bin", "side"], cwd=ROOT, check=True)
    if args.check:
        check(args)
        return
    lister = [args.python, str(HERE / "side.py"), "--list"] if args.only_torch else [*CARGO, "--list"]
    known = subprocess.run(lister, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    names = args.cases.split(",") if args.cases else known
    if unknown := sorted(set(names) - set(known)):
        sys.exit(f"no case {', '.join(unknown)}; there are {', '.join(known)}")
    with tempfile.TemporaryDirectory() as folder:
        args.unlock = unlock(folder)
        table(args, names)


if __name__ == "__main__":
    main()
