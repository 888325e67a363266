#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends each datagram back, the first 512 bytes of it.

    datagram_server.py ADDRESS PORT [--per-second N] [--buffer BYTES]

--per-second: takes so many, at most. --buffer: where they wait meanwhile, in place of the kernel's default.
"""

import argparse
import socket
import time

SO_RCVBUFFORCE = 33


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--per-second", type=float)
    parser.add_argument("--buffer", type=int)
    options = parser.parse_args()

    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if options.buffer:
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, options.buffer)
    server.bind((options.address, options.port))
    due = time.monotonic()
    while True:
        datagram, client = server.recvfrom(512)
        server.sendto(datagram, client)
        if options.per_second:
            due = max(due + 1 / options.per_second, time.monotonic() - 0.1)
            time.sleep(max(0, due - time.monotonic()))


main()
