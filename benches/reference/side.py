"""The PyTorch side: builds a case, then runs one iteration for every line on stdin.

    python side.py CASE --threads 2

Prints a line of JSON once it is ready and one for each iteration; `peak_mb` is resident memory above that of the
interpreter with its imports.
"""

import argparse
import json
import os
import sys
import time


def resident(field: str) -> float:
    """`VmRSS` or `VmHWM` in MB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))


def reset_peak() -> None:
    """Sets the high-water mark to what is resident now, where the system lets us."""
    try:
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
    except OSError:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--check", help="compare with what the Rust side wrote with --save (needs safetensors)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--attention", choices=["plain", "sdpa"], default="sdpa")
    parser.add_argument("--optimizer", choices=["fused", "foreach"], default="fused")
    args = parser.parse_args()
    # OpenMP reads these when it is loaded.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(args.threads)

    import torch

    import cases
    from layers import Options

    if args.list:
        print(*cases.CASES)
        return
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.case not in cases.CASES:
        sys.exit(f"case `{args.case}`: expected one of {', '.join(cases.CASES)}")
    base = resident("VmRSS")
    options = Options(args.attention, args.optimizer)
    case = cases.CASES[args.case](options)
    if args.check:
        print(json.dumps({"difference": cases.difference(case, args.check)}))
        return
    ready = {"ready": True, "parameters": case.parameters, "base_mb": base, "choices": sorted(options.asked)}
    print(json.dumps(ready), flush=True)
    for _ in sys.stdin:
        reset_peak()
        start = time.perf_counter()
        case.run()
        ms = 1000 * (time.perf_counter() - start)
        print(json.dumps({"ms": ms, "peak_mb": resident("VmHWM") - base}), flush=True)


if __name__ == "__main__":
    main()
