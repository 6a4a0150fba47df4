"""A program that signs in at a database 40 times a second, each time anew with what stands in its file at that moment.

signing_in.py RESULTS VARIABLE CONSUMER [BINARY]

VARIABLE names the file that has the connection string. A login that fails is tried again, with what the file has then, for
twenty seconds; where BINARY is given, the first one that is refused with a value says `BINARY report failed --consumer CONSUMER`.
Each login is a line of RESULTS: when it began, as whom it got in, how often it was refused, seconds until it was in. No line has a
password.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql

RESULTS, VARIABLE, CONSUMER, *BINARY = sys.argv[1:]
RATE, PATIENCE = 40, 20.0
over, lock, reported = threading.Event(), threading.Lock(), set()
results = open(RESULTS, "a", buffering=1)


def sign_in(url: str) -> None:
    """Fails with the driver's own error."""
    if url.startswith("postgres"):
        with psycopg.connect(url, connect_timeout=4) as connection:
            connection.execute("SELECT count(*) FROM store.orders").fetchone()
        return
    at = urlsplit(url)
    connection = pymysql.connect(
        host=at.hostname, port=at.port, user=unquote(at.username), password=unquote(at.password), database=at.path[1:], connect_timeout=4
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orders")


def report(url: str) -> None:
    mark = hashlib.sha256(url.encode()).digest()
    with lock:
        if mark in reported or not BINARY:
            return
        reported.add(mark)
    subprocess.run([*BINARY, "report", "failed", "--consumer", CONSUMER], stdin=subprocess.DEVNULL, capture_output=True)


def once() -> None:
    began, refused, why = time.time(), 0, ""
    while True:
        with open(os.environ[VARIABLE]) as file:
            url = file.read().strip()
        try:
            sign_in(url)
        except (psycopg.Error, pymysql.Error) as e:
            refused, why = refused + 1, f"{type(e).__name__} {getattr(e, 'sqlstate', None) or e.args[:1]}"
            report(url)
        else:
            told = {"at": began, "as": urlsplit(url).username, "refused": refused, "seconds": time.time() - began, "in": True, "why": why}
            break
        if time.time() - began > PATIENCE:
            told = {"at": began, "as": "", "refused": refused, "seconds": time.time() - began, "in": False, "why": why}
            break
        time.sleep(0.1)
    with lock:
        results.write(json.dumps(told) + "\n")


# Its file is renewed before it is told so: there is nothing to do.
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.signal(signal.SIGTERM, lambda *_: over.set())
threads, due = [], time.monotonic()
while not over.is_set():
    threads.append(threading.Thread(target=once))
    threads[-1].start()
    due += 1 / RATE
    time.sleep(max(0.0, due - time.monotonic()))
for thread in threads:
    thread.join()
