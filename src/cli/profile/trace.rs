//! A profile as a Chrome trace, the JSON that Perfetto and chrome://tracing open: two tracks, the host's (launching a
//! pass) and the device's (from enqueueing it to the sync after it).

use serde::Serialize;

use super::{Line, Span};

/// The process of all events.
const PROCESS: u32 = 1;
/// (track, name) in the order they are shown.
const TRACKS: [(u32, &str); 2] = [(HOST, "host"), (DEVICE, "device")];
const HOST: u32 = 1;
const DEVICE: u32 = 2;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trace<'a> {
    display_time_unit: &'static str,
    trace_events: Vec<Event<'a>>,
}

/// What an event says of itself.
#[derive(Serialize)]
#[serde(untagged)]
enum Detail {
    Name { name: &'static str },
    Step { step: usize },
    Work { step: usize, launches: u64, bytes: u64 },
}

/// `ph` "X" is a stretch of time from `ts`, `dur` long, in microseconds; "M" names a process or a track.
#[derive(Serialize)]
struct Event<'a> {
    ph: &'static str,
    name: &'a str,
    pid: u32,
    tid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    args: Detail,
}

fn called(what: &'static str, tid: u32, name: &'static str) -> Event<'static> {
    Event { ph: "M", name: what, pid: PROCESS, tid, ts: None, dur: None, args: Detail::Name { name } }
}

/// From `from` to `to`, in seconds.
fn stretch(name: &str, tid: u32, from: f64, to: f64, args: Detail) -> Event<'_> {
    Event { ph: "X", name, pid: PROCESS, tid, ts: Some(1e6 * from), dur: Some(1e6 * (to - from)), args }
}

/// The whole file.
pub fn chrome(lines: &[Line], spans: &[Span]) -> String {
    let mut trace_events = vec![called("process_name", HOST, "feynkac profile")];
    trace_events.extend(TRACKS.map(|(tid, name)| called("thread_name", tid, name)));
    for span in spans {
        let (name, step) = (lines[span.line].name.as_str(), span.step);
        let work = Detail::Work { step, launches: span.work.launches, bytes: span.work.bytes };
        trace_events.push(stretch(name, HOST, span.enqueued, span.queued, Detail::Step { step }));
        trace_events.push(stretch(name, DEVICE, span.enqueued, span.done, work));
    }
    let trace = Trace { display_time_unit: "ms", trace_events };
    serde_json::to_string(&trace).expect("a trace has text keys only") + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::measure::Measured;

    #[test]
    fn a_pass_is_an_event_of_each_track() {
        let lines = [Line { name: "init".to_string(), what: "" }];
        let work = Measured { launches: 2, bytes: 7, seconds: 0.5 };
        let spans = [Span { line: 0, step: 3, enqueued: 0.25, queued: 0.375, done: 0.75, work }];
        let trace: Value = serde_json::from_str(&chrome(&lines, &spans)).unwrap();
        let name = |what: &str, tid: u32, name: &str| {
            let args = json!({ "name": name });
            json!({ "ph": "M", "name": what, "pid": 1, "tid": tid, "args": args })
        };
        let init = |tid: u32, dur: f64, args: Value| {
            let (ph, ts) = ("X", 250000.0);
            json!({ "ph": ph, "name": "init", "pid": 1, "tid": tid, "ts": ts, "dur": dur, "args": args })
        };
        let events = [
            name("process_name", 1, "feynkac profile"),
            name("thread_name", 1, "host"),
            name("thread_name", 2, "device"),
            init(1, 125000.0, json!({ "step": 3 })),
            init(2, 500000.0, json!({ "step": 3, "launches": 2, "bytes": 7 })),
        ];
        let wanted = json!({ "displayTimeUnit": "ms", "traceEvents": events });
        assert_eq!(trace, wanted);
    }
}
