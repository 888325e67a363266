#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bursts of large datagrams from several clients, open-loop. The fragments of some come at once, one datagram after the
other. Those of others take their time, as from behind a slow link: all of a burst are put together at the same time.

    fragment_client.py --target ADDRESS:PORT [--bursts N] [--at-once N] [--slow N] [--every SECONDS]
                       [--over SECONDS] [--source-addresses N] [--first-phase N]

--over: how long the slow ones take. --source-addresses: consecutive ones, from the one that the route prefers. A
datagram that has no answer when the next burst is due has failed; none is sent again. stdout: as of datagram_client.py.
"""

import argparse
import ipaddress
import itertools
import socket
import struct
import time

from datagram_client import IDS, answers, open_socket, print_phases, split

PIECE = 1480  # of a packet of 1500 bytes
PORT = 40000
MORE = 0x2000
IDENTIFICATION = slice(4, 6)  # of a packet, and the first two bytes of its datagram
AT_ONCE_BYTES = 8192
SLOW_BYTES = 32768


def addresses(target, count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(target)
        first = ipaddress.ip_address(probe.getsockname()[0])
    return [str(first + i) for i in range(count)]


def fragments(source, target, number, size):
    """The packets of a datagram that begins with its number. The kernel fills in their lengths and checksums."""
    address, port = target
    whole = struct.pack("!4H", PORT, port, 8 + size, 0) + struct.pack("!H", number).ljust(size, b"\0")
    pieces = [whole[at : at + PIECE] for at in range(0, len(whole), PIECE)]
    ends = socket.inet_aton(source) + socket.inet_aton(address)
    return [
        struct.pack("!BBHHHBBH", 0x45, 0, 0, number, at * PIECE // 8 | (MORE if at + 1 < len(pieces) else 0), 64,
                    socket.IPPROTO_UDP, 0) + ends + piece
        for at, piece in enumerate(pieces)
    ]


def burst(raw, clients, target, at_once, slow, begun, options):
    """Of the slow ones the first packet of each, the second of each, and so on."""
    sent = {packets[0][IDENTIFICATION]: time.monotonic() for packets in at_once + slow}
    for packet in (packet for packets in at_once for packet in packets):
        raw.sendto(packet, target)
    rounds = list(zip(*slow))
    for at, packets in enumerate(rounds):
        time.sleep(max(0, begun + options.over * at / len(rounds) - time.monotonic()))
        for packet in packets:
            raw.sendto(packet, target)
    return answers(clients, sent, begun + options.every)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True)
    parser.add_argument("--bursts", type=int, default=34)
    parser.add_argument("--at-once", type=int, default=150)
    parser.add_argument("--slow", type=int, default=120)
    parser.add_argument("--every", type=float, default=0.6)
    parser.add_argument("--over", type=float, default=0.4)
    parser.add_argument("--source-addresses", type=int, default=4)
    parser.add_argument("--first-phase", type=int, default=17)
    options = parser.parse_args()

    target = split(options.target)
    sources = itertools.cycle(addresses(target, options.source_addresses))
    clients = [open_socket() for _ in range(options.source_addresses)]
    for client in clients:
        client.bind((next(sources), PORT))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    numbers = itertools.cycle(range(1, IDS))  # 0 would be replaced by the kernel
    bursts = []
    due = time.monotonic()
    for _ in range(options.bursts):
        at_once = [fragments(next(sources), target, next(numbers), AT_ONCE_BYTES) for _ in range(options.at_once)]
        slow = [fragments(next(sources), target, next(numbers), SLOW_BYTES) for _ in range(options.slow)]
        time.sleep(max(0, due - time.monotonic()))
        bursts.append((len(at_once) + len(slow), burst(raw, clients, target, at_once, slow, due, options)))
        due += options.every
        time.sleep(max(0, due - time.monotonic()))
    print_phases(bursts, options.first_phase)


main()
