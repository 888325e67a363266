#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A client of a name server: bursts of queries, open-loop.

    datagram_client.py --target ADDRESS:PORT [--bursts N] [--datagrams N] [--every SECONDS] [--first-phase N]
                       [--senders N] [--targets N]

--senders: so many sockets, in turn. --targets: so many consecutive addresses, from that one on, in turn.
A query that has no answer when the next burst is due has failed; none is sent again. stdout: JSON, one line for each
phase: the first bursts, the rest, all.
"""

import argparse
import ipaddress
import json
import select
import socket
import struct
import sys
import time

NAME = b"\x04lab0\x04test\x00"  # lab0.test
QUESTION = NAME + struct.pack("!HH", 1, 1)  # A, IN
IDS = 65536
ROOM = 64 << 20  # the answers wait here while queries are sent
SO_RCVBUFFORCE = 33


def query(number):
    recursion_desired = 0x0100
    return struct.pack("!6H", number, recursion_desired, 1, 0, 0, 0) + QUESTION


def open_socket():
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    return client


def split(target):
    address, port = target.rsplit(":", 1)
    return address, int(port)


def answers(clients, sent, due):
    """Seconds that each took which came before `due`. `sent` has when, by the first two bytes."""
    took = []
    while (left := due - time.monotonic()) > 0 and sent:
        for client in select.select(clients, [], [], left)[0]:
            at = sent.pop(client.recv(512)[:2], None)
            if at is not None:
                took.append(time.monotonic() - at)
    return took


def burst(clients, targets, first, count, due):
    queries = [query((first + i) % IDS) for i in range(count)]
    sent = {}
    for i, packet in enumerate(queries):
        sent[packet[:2]] = time.monotonic()
        clients[i % len(clients)].sendto(packet, targets[i % len(targets)])
    return answers(clients, sent, due)


def phase(name, bursts):
    """Of bursts, each how many were sent and what their answers took."""
    took = sorted(each for _, of_burst in bursts for each in of_burst)
    sent = sum(count for count, _ in bursts)
    p99 = round(took[len(took) * 99 // 100] * 1000, 3) if took else None
    return {"phase": name, "sent": sent, "ok": len(took), "failed": sent - len(took), "p99_ms": p99}


def print_phases(bursts, first_phase):
    for name, part in (("first", bursts[:first_phase]), ("rest", bursts[first_phase:]), ("all", bursts)):
        print(json.dumps(phase(name, part), separators=(",", ":")))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True)
    parser.add_argument("--bursts", type=int, default=60)
    parser.add_argument("--datagrams", type=int, default=2000)
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--first-phase", type=int, default=20)
    parser.add_argument("--senders", type=int, default=1)
    parser.add_argument("--targets", type=int, default=1)
    options = parser.parse_args()
    if 2 * options.datagrams > IDS:
        sys.exit(f"--datagrams: at most {IDS // 2}, so that a late answer is not taken for another's")

    address, port = split(options.target)
    targets = [(str(ipaddress.ip_address(address) + i), port) for i in range(options.targets)]
    clients = [open_socket() for _ in range(options.senders)]
    bursts = []
    due = time.monotonic()
    for index in range(options.bursts):
        time.sleep(max(0, due - time.monotonic()))
        due += options.every
        bursts.append((options.datagrams, burst(clients, targets, index * options.datagrams, options.datagrams, due)))
        time.sleep(max(0, due - time.monotonic()))
    print_phases(bursts, options.first_phase)


if __name__ == "__main__":
    main()
