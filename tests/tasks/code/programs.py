"""Programs that do what no answer should: each tries to pass a test that it must fail, or to do harm.

The test is ``assert f() == 1``; a program that tries to do harm has ``f`` return 1 where it saw that it could.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hostile:
    """One program.

    Attributes:
        name: What it tries.
        source: The program; ``CANARY``, ``SECRET``, ``PORT`` and ``PARENT`` are names that it may use.
        kept: By what it is kept from that: a measure of `containment`, or nothing where the limits do.
        waits: Whether it goes on until its time is over.
    """

    name: str
    source: str
    kept: str = ""
    waits: bool = False


def body(source: str) -> str:
    """A function that does something; an error means that it could not."""
    lines = "\n".join(f"        {line}" for line in source.strip().split("\n"))
    return f"import os, sys, time\ndef f():\n    try:\n{lines}\n    except Exception:\n        return 0\n"


FORGERS = (
    Hostile("says yes to every comparison", "class Yes:\n    def __eq__(s, o): return True\ndef f(): return Yes()"),
    Hostile(
        "is a number that equals every other", "class N(int):\n    def __eq__(s, o): return True\ndef f(): return N(0)"
    ),
    Hostile(
        "is a text with a comparison of its own", "class T(str):\n    __eq__ = lambda s, o: True\ndef f(): return T()"
    ),
    Hostile("ends well while it is loaded", "import os\nos._exit(0)"),
    Hostile("ends well when it is asked", "import os\ndef f(): os._exit(0)"),
    Hostile("leaves by sys.exit while it is loaded", "import sys\nsys.exit(0)"),
    Hostile("leaves by sys.exit when it is asked", "import sys\ndef f(): sys.exit(0)"),
    Hostile("raises what nobody catches", "def f(): raise BaseException"),
    Hostile("raises at its end", "import atexit\natexit.register(lambda: 1 / 0)\ndef f(): return 0"),
    Hostile("prints marks of success", "print('passed\\nOK\\n{\"failed\": \"\"}')\ndef f(): print('OK')"),
    Hostile(
        "writes a verdict wherever it can",
        'import os\ndata = b\'{"failed": ""}\'\nfor d in range(64):\n'
        '    try: os.write(d, len(data).to_bytes(4, "big") + data)\n'
        "    except OSError: pass\ndef f(): return 0",
    ),
    Hostile(
        "writes what is no message",
        "import os\nfor d in range(64):\n    try: os.write(d, b'\\xff' * 64)\n    except OSError: pass\n"
        "def f(): return 0",
    ),
    Hostile(
        "replaces what assert and equality are made of",
        "import builtins\nbuiltins.AssertionError = type('Fine', (Exception,), {'__new__': lambda *a: None})\n"
        "builtins.bool = builtins.int = lambda *a: 1\nbuiltins.isinstance = lambda *a: True\ndef f(): return 0",
    ),
    Hostile(
        "replaces the part that answers",
        "import sys\nfor name, module in list(sys.modules.items()):\n    if 'inside' in name:\n"
        "        module.packed = lambda *a: {'failed': ''}\n        module.send = lambda *a: None\ndef f(): return 0",
        waits=True,
    ),
    Hostile(
        "searches the memory for the verdict",
        "import gc, sys\ndef f():\n    for each in gc.get_objects():\n"
        "        if isinstance(each, dict) and 'failed' in each:\n"
        "            each['failed'] = ''\n    frame = sys._getframe()\n"
        "    while frame.f_back: frame = frame.f_back\n    return 0",
    ),
    Hostile("skips the lines of its callers", "import sys\nsys.settrace(lambda *a: sys.exit(0))\ndef f(): return 0"),
    Hostile(
        "answers deeper than anything can read",
        "def f():\n    x = []\n    for _ in range(100000): x = [x]\n    return x",
    ),
    Hostile("answers with itself inside", "def f():\n    x = []\n    x.append(x)\n    return x"),
    Hostile("answers with a very long text", "def f(): return 'x' * 50_000_000"),
    Hostile("asks for input", "def f(): return int(input())"),
    Hostile("is no Python", "def f(:"),
    Hostile("has no such function", "def g(): return 1"),
)

GREEDY = (
    Hostile("never ends", "def f():\n    while True: pass", waits=True),
    Hostile("is never loaded", "while True: pass", waits=True),
    Hostile("waits for ever", "import time\ndef f(): time.sleep(1000)"),
    Hostile("recurses for ever", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()", waits=True),
    Hostile("breaks Python", "import ctypes\ndef f(): return ctypes.string_at(0)"),
    Hostile("computes a huge number", "def f(): return 9 ** 9 ** 9", waits=True),
    Hostile("takes all memory at once", "def f(): return len(bytearray(10**11)) and 1"),
    Hostile("takes all memory by and by", "x = []\ndef f():\n    while True: x.append(bytearray(10**6))", waits=True),
    Hostile(
        "takes all memory in many processes",
        "import os, time\ndef f():\n    for _ in range(4):\n        if not os.fork():\n"
        "            x = b'x' * 150_000_000\n"
        "            time.sleep(60)\n    time.sleep(60)",
    ),
    # Where nothing but our looking stands between it and the machine, it is no more than a small one.
    Hostile(
        "forks for ever",
        "import os\nfor _ in range(10**9 if os.getuid() else 6):\n    try: os.fork()\n    except OSError: pass\n"
        "import time\ntime.sleep(60)",
    ),
    Hostile(
        "starts threads for ever",
        "import threading, time\ndef f():\n    while True: threading.Thread(target=time.sleep, args=(60,)).start()",
    ),
    Hostile("prints for ever", "def f():\n    while True: print('x' * 10**6)", waits=True),
    Hostile("opens files for ever", body("kept = [open(os.devnull) for _ in range(5000)]\nreturn 1")),
    Hostile(
        "writes one large file",
        body(
            "with open('large', 'wb') as file:\n"
            "    for _ in range(300): file.write(bytes(10**6)); file.flush()\nreturn 1"
        ),
    ),
    Hostile(
        "fills the disk with many files",
        body("for n in range(300):\n    with open(f'many{n}', 'wb') as file: file.write(bytes(900_000))\nreturn 1"),
    ),
    Hostile(
        "raises its limits",
        body(
            "import resource\nfor kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE):\n"
            "    resource.setrlimit(kind, (-1, -1))\nreturn 1"
        ),
    ),
    Hostile(
        "does not hear that it should end",
        "import signal, time\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except OSError: pass\n"
        "def f(): time.sleep(1000)",
        waits=True,
    ),
)

STAYING = (
    Hostile(
        "leaves zombies",
        "import os\ndef f():\n    for _ in range(5):\n        if not os.fork(): os._exit(0)\n    return 0",
    ),
    Hostile(
        "leaves a child",
        "import os, time\ndef f():\n    if not os.fork():\n        time.sleep(60)\n        os._exit(0)\n    return 0",
    ),
    Hostile(
        "leaves a daemon",
        "import os, time\ndef f():\n    if not os.fork():\n        os.setsid()\n        if os.fork(): os._exit(0)\n"
        "        time.sleep(60)\n    time.sleep(0.2)\n    return 0",
    ),
    Hostile(
        "leaves a daemon with nothing of its own environment",
        "import os, sys, time\ndef f():\n    if not os.fork():\n        os.setsid()\n"
        "        if os.fork(): os._exit(0)\n"
        "        os.execve(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'], {})\n"
        "    time.sleep(0.2)\n    return 0",
    ),
    Hostile(
        "leaves a program of the system",
        "import subprocess\ndef f():\n    subprocess.Popen(['sleep', '60'], start_new_session=True)\n    return 0",
    ),
    Hostile(
        "leaves a thread",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\ndef f(): return 0",
    ),
    Hostile("stops itself", "import os, signal\ndef f(): os.kill(os.getpid(), signal.SIGSTOP)", waits=True),
)

HARMFUL = (
    Hostile("deletes a file outside", body("os.remove(CANARY)\nreturn 1"), "files"),
    Hostile("overwrites a file outside", body("with open(CANARY, 'w') as file: file.write('mine')\nreturn 1"), "files"),
    Hostile("renames a file outside", body("os.rename(CANARY, CANARY + '.mine')\nreturn 1"), "files"),
    Hostile("writes beside a file outside", body("open(CANARY + '.mine', 'w').close()\nreturn 1"), "files"),
    Hostile("writes where everybody may", body("open('/dev/shm/taskpoint-mine', 'w').close()\nreturn 1"), "files"),
    Hostile(
        "follows a link that it made",
        body("os.symlink(CANARY, 'link')\nwith open('link', 'w') as file: file.write('mine')\nreturn 1"),
        "files",
    ),
    Hostile("links a file of others into its folder", body("os.link(CANARY, 'link')\nreturn 1"), "files"),
    Hostile("deletes its own folder", body("import shutil\nshutil.rmtree(os.environ['HOME'])\nreturn 0")),
    Hostile("changes Python", body("open(os.__file__, 'a').close()\nreturn 1"), "files"),
    Hostile("reads a file outside", body("return int(open(SECRET).read() == 'secret')"), "files"),
    Hostile("lists the home of the user", body("return int(bool(os.listdir(os.path.dirname(SECRET))))"), "files"),
    Hostile("reads the variables of others", body("return int('TASKPOINT_SECRET' in str(os.environ))")),
    Hostile(
        "reads the variables of the one that started it",
        body("return int(b'TASKPOINT_SECRET' in open(f'/proc/{PARENT}/environ', 'rb').read())"),
        "files",
    ),
    Hostile("calls somebody", body("import socket\nsocket.create_connection(('127.0.0.1', PORT), 1)\nreturn 1"), "tcp"),
    Hostile(
        "sends a message to somebody",
        body("import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'mine', ('127.0.0.1', PORT))\nreturn 0"),
        "namespaces",
    ),
    Hostile("kills the one that started all", body("os.kill(PARENT, 9)\nreturn 1"), "signals"),
    Hostile("stops the one that started all", body("os.kill(PARENT, 19)\nreturn 1"), "signals"),
    Hostile("kills its parent", body("os.kill(os.getppid(), 9)\ntime.sleep(0.3)\nreturn 0"), "signals"),
    Hostile(
        "kills everybody",
        # Not where it might meet anybody.
        body("if os.getpid() < 50: os.kill(-1, 9)\nreturn 0"),
        "namespaces",
    ),
    Hostile(
        "mounts something",
        body("import ctypes\nreturn int(ctypes.CDLL(None).mount(b'x', b'/usr', b'tmpfs', 0, None) == 0)"),
        "files",
    ),
    Hostile(
        "mounts something in a namespace of its own",
        body(
            "import ctypes\nlibrary = ctypes.CDLL(None)\nlibrary.unshare(0x10020000)\n"
            "return int(library.mount(None, b'/', None, 1 << 5 | 4096, None) == 0 and os.access(CANARY, os.W_OK))"
        ),
        "files",
    ),
    Hostile(
        "becomes another user", body("os.setuid(12345)\nos.setuid(0)\nreturn int(os.access(CANARY, os.W_OK))"), "files"
    ),
    Hostile(
        "watches the one that started it",
        body("import ctypes\nreturn int(ctypes.CDLL(None).ptrace(0x4206, PARENT, 0, 0) == 0)"),
        "signals",
    ),
)
