#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slow_datagram_server.py ADDRESS PORT PER_SECOND: takes so many datagrams a second, and sends each back."""

import socket
import sys
import time

address, port, per_second = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((address, port))
due = time.monotonic()
while True:
    datagram, client = server.recvfrom(512)
    server.sendto(datagram, client)
    due = max(due + 1 / per_second, time.monotonic() - 0.1)
    time.sleep(max(0, due - time.monotonic()))
