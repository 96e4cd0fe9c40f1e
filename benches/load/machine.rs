//! What the machine is, and what its kernel says of a process.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::judgement::Latencies;

/// What was measured on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    processor: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    filesystem: String,
    rust: String,
    server: String,
    /// How much of all processors' time other programs took before this one began, in percent.
    others_percent: f64,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} × {}, {:.0} GiB, Linux {}, data on {}; {}, {}; other programs took {:.0} % of the processors just before",
            self.cores,
            self.processor,
            self.memory_gib,
            self.kernel,
            self.filesystem,
            self.server,
            self.rust,
            self.others_percent
        )
    }
}

/// How long the machine is looked at before anything runs.
const LOOK: Duration = Duration::from_secs(2);

/// How busy all processors are together for a while, in percent.
fn busy_percent(time: Duration) -> anyhow::Result<f64> {
    let ticks = || -> anyhow::Result<(f64, f64)> {
        let stat = fs::read_to_string("/proc/stat")?;
        let first = stat.lines().next().context("an empty /proc/stat")?;
        let each: Vec<f64> = first.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        // Fourth and fifth are idle time and waiting for the disk; what follows the eighth is counted before already.
        let all: f64 = each.iter().take(8).sum();
        let idle: f64 = each.iter().skip(3).take(2).sum();
        Ok((all - idle, all))
    };
    let before = ticks()?;
    std::thread::sleep(time);
    let after = ticks()?;
    Ok((after.0 - before.0) / (after.1 - before.1).max(1.0) * 100.0)
}

/// Lets this program and its children open as many files as they ever may.
pub fn most_files() -> anyhow::Result<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

/// Describes this machine, with `folder` as the place of the data.
pub fn describe(server: &Path, folder: &Path) -> anyhow::Result<Machine> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let processor = field(&cpu, "model name").unwrap_or("unknown processor").to_owned();
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib: f64 = field(&memory, "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    let said = |program: &str, args: &[&str]| -> anyhow::Result<String> {
        let out = std::process::Command::new(program).args(args).output();
        let out = out.with_context(|| format!("{program} cannot be run"))?;
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let folder = folder.display().to_string();
    let filesystem = said("stat", &["--file-system", "--format=%T", &folder])?;
    Ok(Machine {
        processor,
        cores: std::thread::available_parallelism()?.get(),
        memory_gib: kib / 1024.0 / 1024.0,
        kernel,
        filesystem,
        rust: said("rustc", &["--version"]).unwrap_or_default(),
        server: said(&server.display().to_string(), &["--version"])?,
        others_percent: busy_percent(LOOK)?,
    })
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// The processor time a process has used.
pub fn cpu_of(process: u32) -> anyhow::Result<Duration> {
    /// Of `/proc`'s clock; Linux shows every program this many a second.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold spaces; what counts comes after its closing bracket.
    let (_, rest) = stat.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
    let used = ticks(11).zip(ticks(12)).context("no times")?;
    Ok(Duration::from_secs_f64((used.0 + used.1) / TICKS_PER_SECOND))
}

/// The resident memory of a process, in bytes.
pub fn memory_of(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib: u64 = field(&status, "VmRSS")
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .context("no VmRSS")?;
    Ok(kib * 1024)
}

/// How long the disk takes to make 4 KiB more of a file durable.
pub fn fsync(folder: &Path, time: Duration) -> anyhow::Result<Latencies> {
    let path = folder.join("fsync");
    let mut file = fs::File::create(&path)?;
    let mut latencies = Latencies::default();
    let started = Instant::now();
    while started.elapsed() < time {
        file.write_all(&[7; 4096])?;
        let one = Instant::now();
        file.sync_data()?;
        latencies.add(one.elapsed());
    }
    fs::remove_file(path)?;
    Ok(latencies)
}
