#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A client of a name server: bursts of queries, open-loop.

    datagram_client.py --target ADDRESS:PORT [--bursts N] [--datagrams N] [--every SECONDS] [--first-phase N]

A query that has no answer when the next burst is due has failed; none is sent again. stdout: JSON, one line for each
phase: the first bursts, the rest, all.
"""

import argparse
import json
import select
import socket
import struct
import sys
import time

NAME = b"\x04lab0\x04test\x00"  # lab0.test
QUESTION = NAME + struct.pack("!HH", 1, 1)  # A, IN
ROOM = 64 << 20  # the answers wait here while queries are sent


def query(number):
    recursion_desired = 0x0100
    return struct.pack("!6H", number, recursion_desired, 1, 0, 0, 0) + QUESTION


def open_socket(target):
    address, port = target.rsplit(":", 1)
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    so_rcvbufforce = 33
    client.setsockopt(socket.SOL_SOCKET, so_rcvbufforce, ROOM)
    client.connect((address, int(port)))
    return client


def burst(client, queries, due):
    """Seconds that each answer took."""
    sent = {}
    for packet in queries:
        sent[packet[:2]] = time.monotonic()
        client.send(packet)
    took = []
    while (left := due - time.monotonic()) > 0 and sent:
        if not select.select([client], [], [], left)[0]:
            break
        at = sent.pop(client.recv(512)[:2], None)
        if at is not None:
            took.append(time.monotonic() - at)
    return took


def phase(name, datagrams, bursts):
    took = sorted(each for answers in bursts for each in answers)
    sent = datagrams * len(bursts)
    p99 = round(took[len(took) * 99 // 100] * 1000, 3) if took else None
    return {"phase": name, "sent": sent, "ok": len(took), "failed": sent - len(took), "p99_ms": p99}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True)
    parser.add_argument("--bursts", type=int, default=60)
    parser.add_argument("--datagrams", type=int, default=2000)
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--first-phase", type=int, default=20)
    options = parser.parse_args()
    ids = 65536
    if 2 * options.datagrams > ids:
        sys.exit(f"--datagrams: at most {ids // 2}, so that a late answer is not taken for another's")

    client = open_socket(options.target)
    bursts = []
    due = time.monotonic()
    for index in range(options.bursts):
        first = index * options.datagrams
        queries = [query((first + i) % ids) for i in range(options.datagrams)]
        time.sleep(max(0, due - time.monotonic()))
        due += options.every
        bursts.append(burst(client, queries, due))
        time.sleep(max(0, due - time.monotonic()))
    for name, part in (("first", bursts[: options.first_phase]), ("rest", bursts[options.first_phase :]), ("all", bursts)):
        print(json.dumps(phase(name, options.datagrams, part), separators=(",", ":")))


main()
