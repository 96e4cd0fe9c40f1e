//! What the kernel says of this process, under the names that Prometheus' own clients use.

use std::fmt::Write as _;
use std::fs;

use super::catalogue as c;

/// Of `/proc`'s clock; Linux shows every program this many a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds what can be read; a system without `/proc` has none of it.
pub(super) fn render(text: &mut String) {
    let cpu = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat));
    let status = fs::read_to_string("/proc/self/status").ok();
    let memory = status.and_then(|status| resident_bytes(&status));
    let files = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
    // A count of files or bytes is far below 2^52.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let all = [
        (&c::PROCESS_CPU, cpu),
        (&c::PROCESS_MEMORY, memory.map(|bytes| bytes as f64)),
        (&c::PROCESS_FILES, files.map(|files| files as f64)),
    ];
    for (metric, value) in all {
        let c::Metric { name, kind, help, .. } = *metric;
        let Some(value) = value else { continue };
        let kind = kind.as_str();
        let _written =
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
}

/// User and kernel time. The name may hold spaces; what counts comes after its closing bracket.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 1 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("7 (cut"), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   30 kB\n"), Some(30 * 1024));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }
}
