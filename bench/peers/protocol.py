"""The worker's side of the line protocol: one JSON request a line in, one JSON answer a line out.

The README lists the fields. A worker hands `serve` a function from a request to a pair (call, check): `call` does
the whole work once and returns when the result is ready, `check` then says what came out.
"""

import json
import os
import sys
import time

# Wall clock, or the CPU seconds of the process (for one-thread runs on a shared machine).
clock = time.process_time if os.environ.get("PEERS_CLOCK") == "cpu" else time.perf_counter


def operation_of(table, request, worker):
    """What `table` has under the name of the request's operation; a skip where it has nothing."""
    if request["op"] not in table:
        raise NotImplementedError(f"{worker} has no {request['op']}")
    return table[request["op"]]


def serve(make):
    """Answers requests until "quit" or the end of stdin. Two calls warm up before the first timed one."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # stray prints go to stderr
    prepared = {}  # the last request without its repeats, and what was made for it
    for line in sys.stdin:
        line = line.strip()
        if not line:
            continue
        if line == "quit":
            break
        request = json.loads(line)
        answer = {"op": request["op"], "variant": request.get("variant")}
        try:
            answer.update(_timed(make, request, prepared))
        except (NotImplementedError, ModuleNotFoundError) as e:
            answer["skip"] = str(e)
        except Exception as e:  # report, do not die
            answer["error"] = f"{type(e).__name__}: {e}"[:300]
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _timed(make, request, prepared):
    key = json.dumps({k: request[k] for k in sorted(request) if k != "reps"})
    if key not in prepared:
        prepared.clear()
        start = time.perf_counter()
        call, check = make(request)
        call()
        warmup = time.perf_counter() - start
        call()
        prepared[key] = call, check, warmup
    call, check, warmup = prepared[key]
    times = []
    for _ in range(request["reps"]):
        start = clock()
        call()
        times.append(clock() - start)
    return {"times": times, "warmup_s": round(warmup, 3), "check": check()}
