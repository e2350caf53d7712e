//! Every kernel as PTX and through ptxas for sm_80 and sm_90a, on a machine with no GPU.
//!
//! Left to itself ptxas trims registers until one more cube fits on a multiprocessor (128, 80, 64,
//! 48, 40 for cubes of 256) and may spill a few bytes for it, as the driver does at a launch. The
//! table shows that. What the test refuses is a kernel that *must* spill: one that still does when
//! allowed all 255 registers of a unit.
//!
//! `scripts/setup.sh --ptx` installs what it needs. cubecl finds libdevice through `CUDA_PATH`, so
//! the test runs itself once more with that set. The table it prints goes to the file that
//! `FEYNKAC_PTX_RECORD` names, where it is set (the records are `bench/records/ptx/<date>.md`).
//! `FEYNKAC_PTX_ONLY` names the one kernel, or key, to assemble, while one works on it. Without either, the keys of
//! a kernel take the targets in turn: a kernel is assembled for both, a key for one, in half the time.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use feynkac::kernels::offline::{Offline, all};

/// Compute capability and ptxas's name for it.
const TARGETS: [(u32, &str); 2] = [(80, "sm_80"), (90, "sm_90a")];

/// What ptxas says of a kernel.
#[derive(Clone, Debug, Default, PartialEq)]
struct Usage {
    registers: u32,
    barriers: u32,
    stack: u32,
    /// Bytes stored and bytes loaded.
    spills: u32,
    shared: u32,
}

/// A kernel as ptxas likes it, and where that spills also with every register allowed.
#[derive(Clone, Debug)]
struct Assembled {
    chosen: Usage,
    roomy: Option<Usage>,
}

/// Most registers of a unit, in cubes of 256.
const ROOMY: &str = ".maxnreg 255";

#[test]
fn the_registry_forgets_no_kernel() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/src");
    let mut written = BTreeSet::new();
    launched(&source, &mut written);
    assert!(written.contains("step_kernel"), "kernels were looked for in {}", source.display());
    let listed: BTreeSet<String> = all().iter().map(|entry| entry.kernel.to_owned()).collect();
    let forgotten: Vec<_> = written.difference(&listed).collect();
    assert!(forgotten.is_empty(), "kernels/src/offline.rs has no entry for {forgotten:?}");
}

#[test]
fn every_kernel_assembles_and_need_not_spill() {
    let toolkit = toolkit().unwrap_or_else(|why| panic!("{why}"));
    if env::var_os("CUDA_PATH").is_none_or(|path| path != *toolkit) {
        let run = Command::new(env::current_exe().expect("the path of this binary"))
            .args(["--exact", "ptx::every_kernel_assembles_and_need_not_spill", "--nocapture"])
            .env("CUDA_PATH", &toolkit)
            .output()
            .expect("this binary runs once more");
        print!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "see the output of the second run above");
        return;
    }
    let only = env::var("FEYNKAC_PTX_ONLY").unwrap_or_default();
    let asked = |e: &Offline| [e.kernel, &e.variant, ""].contains(&only.as_str());
    let entries: Vec<Offline> = all().into_iter().filter(asked).collect();
    assert!(!entries.is_empty(), "FEYNKAC_PTX_ONLY: found {only}, wanted a kernel or a key");
    let record = env::var_os("FEYNKAC_PTX_RECORD");
    let jobs = jobs(&entries, record.is_some() || !only.is_empty());
    let found = assemble_all(&toolkit, &entries, &jobs);
    let table = table(&toolkit, &entries, &jobs, &found);
    println!("{table}");
    if let Some(record) = record {
        let record = PathBuf::from(record);
        fs::create_dir_all(record.parent().expect("a folder")).expect("a folder for the record");
        fs::write(&record, &table).expect("the record is written");
    }
    let mut faults = Vec::new();
    for ((at, (_, target)), result) in jobs.iter().zip(&found) {
        let entry = &entries[*at];
        match result {
            Err(why) => faults.push(format!("{target}: {why}")),
            Ok(Assembled { roomy: Some(usage), .. }) if usage.spills > 0 => {
                faults.push(format!("{target}: {entry:?} must spill: {usage:?}"));
            }
            Ok(_) => {}
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Adds the name of every function under `#[cube(... launch ...)]` below `folder`.
fn launched(folder: &Path, names: &mut BTreeSet<String>) {
    for item in fs::read_dir(folder).expect("the sources of the kernels") {
        let path = item.expect("an entry of the folder").path();
        if path.is_dir() {
            launched(&path, names);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            for (at, mark) in text.match_indices("#[cube(") {
                let alone = text[..at].rsplit('\n').next().is_none_or(|line| line.trim().is_empty());
                let (how, after) = text[at + mark.len()..].split_once(")]").unwrap_or_default();
                if alone && how.contains("launch") {
                    let name = after.split_once("fn ").map_or("", |(_, rest)| rest);
                    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
                    names.insert(name[..end].to_owned());
                }
            }
        }
    }
}

/// The folder with bin/ptxas and nvvm/libdevice: `CUDA_PATH`, or the venv of `scripts/setup.sh`.
fn toolkit() -> Result<PathBuf, String> {
    let whole = |root: &PathBuf| {
        root.join("bin/ptxas").is_file() && root.join("nvvm/libdevice/libdevice.10.bc").is_file()
    };
    let venv = env::var_os("FEYNKAC_PTX_VENV")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache/feynkac/ptx-venv")));
    let below =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|item| item.path());
    let installed = venv.into_iter().flat_map(|venv| below(venv.join("lib")));
    let installed = installed.flat_map(|python| below(python.join("site-packages/nvidia")));
    env::var_os("CUDA_PATH").map(PathBuf::from).into_iter().chain(installed).find(whole).ok_or_else(|| {
        "ptxas and libdevice were not found: run `scripts/setup.sh --ptx`, \
         or set CUDA_PATH to a CUDA toolkit that has both"
            .to_owned()
    })
}

/// Which entry for which target, entry by entry: each for every target where `whole`, else for one in turn, and for
/// every target where its kernel has no other key.
fn jobs(entries: &[Offline], whole: bool) -> Vec<(usize, (u32, &'static str))> {
    let mut jobs = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let alone = entries.iter().filter(|e| e.kernel == entry.kernel).count() == 1;
        let nth = entries[..at].iter().filter(|e| e.kernel == entry.kernel).count();
        let wanted = |target: &usize| whole || alone || *target == nth % TARGETS.len();
        jobs.extend((0..TARGETS.len()).filter(wanted).map(|target| (at, TARGETS[target])));
    }
    jobs
}

/// The jobs' results, in their order.
fn assemble_all(
    toolkit: &Path,
    entries: &[Offline],
    jobs: &[(usize, (u32, &str))],
) -> Vec<Result<Assembled, String>> {
    let folder = env::temp_dir().join(format!("feynkac-ptx-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            let Some((entry, target)) = jobs.get(job) else { return done };
            let file = folder.join(format!("{job}.ptx"));
            done.push((job, assemble(toolkit, &file, &entries[*entry], *target)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker ends")).collect()
    });
    let _ = fs::remove_dir_all(&folder);
    done.sort_by_key(|(job, _)| *job);
    done.into_iter().map(|(_, result)| result).collect()
}

fn assemble(toolkit: &Path, file: &Path, entry: &Offline, target: (u32, &str)) -> Result<Assembled, String> {
    let ptx = entry.compile(target.0)?;
    let run = |text: &str| -> Result<Usage, String> {
        let mut usage = ptxas(toolkit, file, text, target.1).map_err(|why| format!("{entry:?}: {why}"))?;
        // cubecl gives a kernel its shared memory at the launch, where ptxas does not see it.
        usage.shared += ptx.shared as u32;
        Ok(usage)
    };
    let chosen = run(&ptx.text)?;
    let roomy = if chosen.spills > 0 {
        let bounds = ptx.text.lines().find(|line| line.starts_with(".reqntid"));
        let bounds = bounds.ok_or_else(|| format!("{entry:?}: no .reqntid in the PTX"))?;
        Some(run(&ptx.text.replace(bounds, &format!("{bounds}\n{ROOMY}")))?)
    } else {
        None
    };
    Ok(Assembled { chosen, roomy })
}

fn ptxas(toolkit: &Path, file: &Path, text: &str, arch: &str) -> Result<Usage, String> {
    fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))?;
    let run = Command::new(toolkit.join("bin/ptxas"))
        .arg(format!("-arch={arch}"))
        .arg("-v")
        .arg("-o")
        .arg(file.with_extension("cubin"))
        .arg(file)
        .output()
        .map_err(|e| format!("ptxas: {e}; run `scripts/setup.sh --ptx`"))?;
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if !run.status.success() {
        return Err(format!("ptxas refused it:\n{said}"));
    }
    usage(&said).ok_or_else(|| format!("ptxas said\n{said}"))
}

/// Reads the report of `ptxas -v` on one kernel.
fn usage(said: &str) -> Option<Usage> {
    let before = |what: &str| -> Option<u32> {
        let words = said[..said.find(what)?].trim_end();
        words.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some(Usage {
        registers: before(" registers")?,
        barriers: before(" barriers").unwrap_or(0),
        stack: before(" bytes stack frame")?,
        spills: before(" bytes spill stores").zip(before(" bytes spill loads")).map(|(a, b)| a + b)?,
        shared: before(" bytes smem").unwrap_or(0),
    })
}

#[test]
fn the_report_of_ptxas_is_read() {
    let said = "ptxas info    : 0 bytes gmem\n\
                ptxas info    : Function properties for k\n    \
                16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n\
                ptxas info    : Used 255 registers, used 1 barriers, 4096 bytes smem, 400 bytes cmem[0]\n";
    let wanted = Usage { registers: 255, barriers: 1, stack: 16, spills: 20, shared: 4096 };
    assert_eq!(usage(said), Some(wanted));
    assert_eq!(usage("ptxas fatal"), None);
}

/// A row a kernel and key, in markdown; `a / b` where the targets differ.
fn table(
    toolkit: &Path,
    entries: &[Offline],
    jobs: &[(usize, (u32, &str))],
    found: &[Result<Assembled, String>],
) -> String {
    let version = Command::new(toolkit.join("bin/ptxas")).arg("--version").output().expect("ptxas runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = version.lines().find(|line| line.contains("release")).unwrap_or("of unknown version");
    let names = TARGETS.map(|target| target.1).join(" / ");
    let mut text = format!(
        "# PTX of every kernel\n\ncubecl 0.11.3, ptxas {version}; {names}, one number where they agree or only one was asked. \
         Stack, spills (stores and loads) and shared memory in bytes. The last column: registers that a spilling \
         kernel takes when allowed 255, and what it then spills.\n\n\
         | kernel | key | registers | stack | spills | shared | barriers | roomy |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for (at, entry) in entries.iter().enumerate() {
        let row: Vec<_> = jobs.iter().zip(found).filter(|((e, _), _)| *e == at).map(|(_, r)| r).collect();
        let column = |cell: fn(&Assembled) -> String| {
            let mut cells: Vec<_> =
                row.iter().map(|r| r.as_ref().map_or("failed".to_owned(), cell)).collect();
            cells.dedup();
            cells.join(" / ")
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} |",
            entry.kernel,
            entry.variant,
            column(|a| a.chosen.registers.to_string()),
            column(|a| a.chosen.stack.to_string()),
            column(|a| a.chosen.spills.to_string()),
            column(|a| a.chosen.shared.to_string()),
            column(|a| a.chosen.barriers.to_string()),
            column(|a| a.roomy.as_ref().map_or("-".to_owned(), |u| format!("{}, {}", u.registers, u.spills))),
        );
    }
    text
}
