"""A long, bad cable: frames between a network card and the switch are delayed, and some are lost.

    python wire.py PORT TAP DELAY_S LOSS SEED

PORT is the switch's end of the cable, which is detached from the switch; TAP is created here and
attached instead. The kernel's netem does the same, but not every kernel has it.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time

_TUNSETIFF, _TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
_TAP, _NO_PROTOCOL, _VNET_HEADER = 0x0002, 0x1000, 0x4000
_SOL_PACKET, _PACKET_VNET_HDR, _ALL = 263, 15, socket.htons(3)
_OUTGOING = 4
# Each frame keeps this header on both sides: work that the sender left to the card (checksums) is
# then left to the receiver, and need not be done here.
_HEADER = 10
_MOST = _HEADER + (1 << 16) + 64


def main(port: str, tap: str, delay_s: float, loss: float, seed: int) -> None:
    left, right = _card(port), _tap(tap)
    chance = random.Random(seed)
    # (when it arrives, order of arrival, to which side, frame)
    in_flight: list[tuple[float, int, bool, bytes]] = []
    sent = lost = 0
    print("ready", flush=True)
    while True:
        wait_s = max(0.0, in_flight[0][0] - time.monotonic()) if in_flight else 1.0
        for ready in select.select([left, right], [], [], wait_s)[0]:
            to_right = ready is left
            if to_right:
                frame, (_, _, kind, _, _) = left.recvfrom(_MOST)
                if kind == _OUTGOING:  # our own, sent to the host
                    continue
            else:
                frame = os.read(right, _MOST)
            if chance.random() < loss:
                lost += 1
                continue
            sent += 1
            heapq.heappush(in_flight, (time.monotonic() + delay_s, sent, to_right, frame))
        while in_flight and in_flight[0][0] <= time.monotonic():
            _, _, to_right, frame = heapq.heappop(in_flight)
            try:
                if to_right:
                    os.write(right, frame)
                else:
                    left.send(frame)
            except OSError:
                lost += 1  # a full queue or a card that is down, as with a real cable


def _card(port: str) -> socket.socket:
    card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, _ALL)
    card.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    card.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    card.bind((port, 0))
    return card


def _tap(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR)
    flags = _TAP | _NO_PROTOCOL | _VNET_HEADER
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(tap, _TUNSETVNETHDRSZ, struct.pack("i", _HEADER))
    fcntl.ioctl(tap, _TUNSETOFFLOAD, 1)  # checksums may be left open, no large frames
    for words in (["master", "switch"], ["txqueuelen", "10000"], ["up"]):
        subprocess.run(["ip", "link", "set", name, *words], check=True)
    return tap


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
