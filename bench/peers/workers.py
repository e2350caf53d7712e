"""The processes that answer requests: how each peer is started, asked, and found missing."""

import importlib.util
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
HOME = pathlib.Path(os.environ.get("PEERS_HOME") or pathlib.Path.home() / ".cache" / "feynkac-peers")
NATIVE = HOME / "native"
# The package behind each Python worker.
PACKAGES = {"numpy": "numpy", "jax": "jax", "torch": "torch"}


def unet_folder():
    """The image network that is asked."""
    return os.environ.get("PEERS_UNET") or str(HERE.parent.parent / "weights" / "mnist-ddpm")


class Gone(Exception):
    """The worker ended, or answered something that is not of the protocol."""


class Process:
    """A worker that reads JSON requests."""

    def __init__(self, command, env, cwd=None):
        self.stderr = tempfile.TemporaryFile(mode="w+")
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=self.stderr, text=True, env=env, cwd=cwd
            )
        except OSError as e:
            raise Gone(str(e)) from e

    @property
    def pid(self):
        return self.process.pid

    def encode(self, request):
        return json.dumps(request)

    def ask(self, request):
        try:
            self.process.stdin.write(self.encode(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        try:
            answer = json.loads(line)
        except ValueError as e:
            raise Gone(self._last_words() if not line else f"answered {line[:100]!r}") from e
        if not answer.get("times") and "skip" not in answer and "error" not in answer:
            raise Gone(f"answered without times: {line[:100]!r}")
        return answer

    def _last_words(self):
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "closed its stdout"
        self.stderr.seek(0)
        lines = self.stderr.read().strip().splitlines()
        return (lines[-1] if lines else f"ended with code {self.process.returncode}")[:300]

    def close(self):
        try:
            self.process.stdin.write("quit\n")
            self.process.stdin.close()
            self.process.wait(timeout=10)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.stderr.close()


class NativeProcess(Process):
    """The C++ worker, whose requests are seven words."""

    def __init__(self, command, env, threads):
        super().__init__(command, env)
        self.threads = threads

    def encode(self, request):
        threads = request.get("threads", self.threads)
        return " ".join(str(request[k]) for k in ("op", "n", "d", "h", "steps", "reps")) + f" {threads}"


class Workers:
    """All workers by name, started when they are first asked. `extra`: further workers, name to command."""

    def __init__(self, extra, threads, core):
        self.extra = extra
        self.threads = threads
        self.prefix = ["taskset", "-c", core] if core is not None else []
        self.env = dict(os.environ, OMP_NUM_THREADS=str(threads))
        if core is not None:
            self.env["PEERS_CLOCK"] = "cpu"
        self.running = {}

    def missing(self, name):
        """Why there is no such worker, or None."""
        if name in self.extra:
            return None
        if name == "native" and not NATIVE.exists():
            return "not built: run setup.sh"
        package = PACKAGES.get(name)
        if package and importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
        return None

    def get(self, name):
        """The running worker of this name. Raises Gone."""
        if name not in self.running:
            self.running[name] = self._start(name)
        return self.running[name]

    def _start(self, name):
        if name in self.extra:
            return Process(self.prefix + shlex.split(self.extra[name]), self.env)
        if name == "native":
            return NativeProcess(self.prefix + [str(NATIVE)], self.env, self.threads)
        env = self.env
        if name == "torch" and os.environ.get("PEERS_DEVICE", "cpu") == "cpu":
            # torch_stubs.py; only for torch, as the stand-ins would hide a real driver from others.
            paths = [str(HOME / "stubs"), os.environ.get("LD_LIBRARY_PATH", "")]
            env = dict(env, LD_LIBRARY_PATH=":".join(p for p in paths if p))
        return Process(self.prefix + [sys.executable, f"worker_{name}.py"], env, cwd=HERE)

    def drop(self, name):
        """Ends a worker; the next request starts it anew."""
        if name in self.running:
            self.running.pop(name).close()

    def close(self):
        for name in list(self.running):
            self.drop(name)
