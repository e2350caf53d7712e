//! `feynkac devices`: what is linked, what was found, and for what was not, why.

use feynkac_kernels::device::{Backend, Found, Limits, list};

use super::print;
use super::table::{bytes, columns};

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_string()
}

fn limits(name: &str, limits: &Limits, software: bool) -> Vec<String> {
    let (least, most) = limits.plane;
    vec![
        limits.units_per_cube.to_string(),
        if least == most { least.to_string() } else { format!("{least}-{most}") },
        bytes(limits.shared_memory as u64),
        limits.load_width.to_string(),
        yes(limits.f16),
        yes(limits.f64),
        yes(limits.plane_ops),
        bytes(limits.max_binding),
        limits.memory.map_or("unknown".to_string(), bytes),
        format!("{name}{}", if software { " (software, only when named)" } else { "" }),
    ]
}

/// What `--device auto` takes: CUDA, else a GPU through wgpu, else the CPU.
fn best(found: &[Found]) -> Option<Backend> {
    let usable = |row: &&Found| row.device.is_ok() && !row.software;
    let rank = |row: &&Found| match row.backend {
        Backend::Cuda(_) => 0,
        Backend::Wgpu(_) => 1,
        Backend::Cpu(_) => 2,
    };
    found.iter().filter(usable).min_by_key(rank).map(|row| row.backend)
}

/// The table, then what is missing.
fn text(found: &[Found]) -> String {
    let titles = [
        "name",
        "units/cube",
        "plane",
        "shared",
        "load bits",
        "f16",
        "f64",
        "plane ops",
        "buffer",
        "memory",
        "device",
    ];
    let mut rows = vec![titles.map(String::from).to_vec()];
    let mut missing = Vec::new();
    for row in found {
        match &row.device {
            Ok((name, limit)) => {
                let name = limits(name, limit, row.software);
                rows.push([row.backend.to_string()].into_iter().chain(name).collect());
            }
            Err(why) => {
                missing.push(vec![row.backend.to_string(), format!("not available: {}", reason(why))])
            }
        }
    }
    let auto = best(found).map_or("nothing".to_string(), |backend| backend.to_string());
    format!("{}{}\n--device auto takes {auto}\n", columns(&rows), columns(&missing))
}

/// The reason alone, where the message repeats the device's name.
fn reason(message: &str) -> &str {
    message.split_once("is not available: ").map_or(message, |(_, why)| why)
}

/// Runs the subcommand.
pub fn run() {
    print(&text(&list()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(backend: Backend, device: Result<&str, &str>, software: bool) -> Found {
        let limits = Limits {
            units_per_cube: 1024,
            plane: (8, 32),
            shared_memory: 32768,
            load_width: 128,
            f16: true,
            f64: false,
            plane_ops: true,
            max_binding: 1 << 31,
            memory: None,
        };
        let device = device.map(|name| (name.to_string(), limits)).map_err(str::to_string);
        Found { backend, device, software }
    }

    #[test]
    fn what_is_found_and_what_is_missing_is_shown() {
        let found = [
            row(Backend::Cpu(0), Ok("a processor"), false),
            row(Backend::Wgpu(0), Ok("llvmpipe"), true),
            row(Backend::Cuda(0), Err("device 'cuda:0' is not available: no driver; install it"), false),
        ];
        let text = text(&found);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("name") && lines[1].starts_with("cpu ") && lines[2].starts_with("wgpu:0")
        );
        assert!(
            lines[1].contains("8-32") && lines[1].contains("32 KiB") && lines[1].ends_with("a processor")
        );
        assert!(lines[2].ends_with("llvmpipe (software, only when named)"));
        assert_eq!(lines[3], "cuda:0  not available: no driver; install it");
        assert_eq!(*lines.last().unwrap(), "--device auto takes cpu");
    }

    #[test]
    fn auto_prefers_a_gpu_that_is_one() {
        let cpu = row(Backend::Cpu(0), Ok("c"), false);
        let software = row(Backend::Wgpu(0), Ok("s"), true);
        let gpu = row(Backend::Wgpu(1), Ok("g"), false);
        let cuda = row(Backend::Cuda(0), Ok("n"), false);
        let missing = row(Backend::Cuda(0), Err("no"), false);
        assert_eq!(best(&[cpu.clone(), software.clone(), missing]), Some(Backend::Cpu(0)));
        assert_eq!(best(&[cpu.clone(), software, gpu.clone()]), Some(Backend::Wgpu(1)));
        assert_eq!(best(&[cpu, gpu, cuda]), Some(Backend::Cuda(0)));
        assert_eq!(best(&[]), None);
    }
}
