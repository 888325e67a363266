#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A client of bulk transfers: iperf3 from a server of it, one transfer after the other, the first one long.

    bulk_client.py --target ADDRESS:PORT [--first SECONDS] [--later SECONDS] [--transfers N]

What counts is what arrives: the server sends, and the bytes are those that the client has read. stdout: JSON, one line
for each phase: the first 10 s, the rest, all.
"""

import argparse
import json
import subprocess
import sys
import time

PHASE_INTERVALS = 10  # of a second each
START_TRIES = 100  # the end of a transfer comes to the server late, and it listens anew after each: busy, reset, refused


def transfer(target, seconds):
    """(seconds, bytes) of each second of it, the last one short, and its retransmitted segments."""
    address, port = target.rsplit(":", 1)
    command = ["iperf3", "--json", "--reverse", "--client", address, "--port", port, "--time", str(seconds)]
    for _ in range(START_TRIES):
        result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)
        if "error" not in result or result.get("intervals"):
            break
        time.sleep(0.1)
    if "error" in result:
        sys.exit(f"iperf3: {result['error']}")
    intervals = [(each["sum"]["seconds"], each["sum"]["bytes"]) for each in result["intervals"]]
    return intervals, result["end"]["sum_sent"]["retransmits"]


def phase(name, intervals):
    seconds = sum(each for each, _ in intervals)
    transferred = sum(each for _, each in intervals)
    return {"phase": name, "seconds": round(seconds, 3), "bytes": transferred,
            "bits_per_second": round(transferred * 8 / seconds)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True)
    parser.add_argument("--first", type=int, default=20)
    parser.add_argument("--later", type=int, default=4)
    parser.add_argument("--transfers", type=int, default=3)
    options = parser.parse_args()

    transfers = [transfer(options.target, options.first)]
    transfers += [transfer(options.target, options.later) for _ in range(options.transfers - 1)]
    intervals = [each for of_transfer, _ in transfers for each in of_transfer]
    whole = phase("all", intervals) | {
        "retransmits": sum(retransmits for _, retransmits in transfers),
        "intervals": [[{"seconds": seconds, "bytes": size} for seconds, size in each] for each, _ in transfers],
    }
    for line in (phase("first", intervals[:PHASE_INTERVALS]), phase("rest", intervals[PHASE_INTERVALS:]), whole):
        print(json.dumps(line, separators=(",", ":")))


if __name__ == "__main__":
    main()
