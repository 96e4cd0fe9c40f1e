//! What a process asked of the kernel, as strace wrote it down, and whether it kept its word: a message is on disk before
//! anybody is told that it is stored.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What strace is asked for: threads, times, durations, the paths behind descriptors, every byte of a string.
pub fn strace(file: &Path) -> Vec<String> {
    let file = file.display().to_string();
    let calls = "trace=write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync";
    // As a grandchild: the traced program stays the child of whoever started it.
    let words = [
        "strace",
        "-D",
        "-f",
        "-ttt",
        "-T",
        "-y",
        "-s",
        "1000000",
        "--seccomp-bpf",
        "-e",
        calls,
        "-o",
        &file,
        "--",
    ];
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// One call that has ended, with the times of its beginning and end in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    /// What its first descriptor is.
    pub on: String,
    /// Its arguments as they were shown.
    pub shown: String,
    pub succeeded: bool,
    pub from: u64,
    pub to: u64,
}

impl Call {
    /// Puts these bytes somewhere.
    fn writes(&self, marker: &str) -> bool {
        self.succeeded && !self.is_sync() && self.shown.contains(marker)
    }

    fn is_sync(&self) -> bool {
        self.name == "fsync" || self.name == "fdatasync"
    }

    /// Tells somebody over HTTP that their request was done.
    fn acknowledges(&self, marker: &str) -> bool {
        self.on.starts_with("socket:") && self.shown.contains("HTTP/1.1 2") && self.writes(marker)
    }
}

/// Every call in the order of its beginning. Lines that are no calls (exits, signals) are left out.
pub fn calls(text: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, (u64, &str)> = HashMap::new();
    let mut all = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((at, rest)) = rest.trim_start().split_once(' ') else { continue };
        let Some(at) = micros(at) else { continue };
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (at, start));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((from, start)) = begun.remove(thread) else { continue };
            let end = resumed.split_once(" resumed>").map_or("", |(_, end)| end);
            all.extend(call(from, &format!("{start}{end}")));
        } else {
            all.extend(call(at, rest));
        }
    }
    all.sort_by_key(|call| call.from);
    all
}

/// `name(7</path>, "…", 3) = 3 <0.000042>`
fn call(from: u64, text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (shown, result) = rest.rsplit_once(") = ").or_else(|| {
        // strace lines results up.
        let at = rest.rfind(") ")?;
        Some((&rest[..at], rest[at + 2..].trim_start().strip_prefix("= ")?))
    })?;
    let on = shown.split_once('<').and_then(|(_, path)| path.split_once('>')).map(|(on, _)| on)?;
    let took = result.rsplit_once('<').and_then(|(_, took)| micros(took.strip_suffix('>')?))?;
    Some(Call {
        name: name.to_owned(),
        on: on.to_owned(),
        shown: shown.to_owned(),
        succeeded: !result.starts_with('-'),
        from,
        to: from + took,
    })
}

/// `1763658000.123456`
fn micros(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.')?;
    if fraction.len() != 6 {
        return None;
    }
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + fraction.parse::<u64>().ok()?)
}

/// Messages by what became of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// On disk before the acknowledgement.
    pub kept: usize,
    /// What is wrong with the others.
    pub broken: Vec<String>,
}

/// Judges each marked message. `disk` is the trace of whoever writes the log at a path that contains `log`; `network` the trace
/// of whoever acknowledges.
pub fn prove(disk: &[Call], log: &str, network: &[Call], markers: &[String]) -> Proof {
    let mut proof = Proof::default();
    for marker in markers {
        match judge(disk, log, network, marker) {
            Ok(()) => proof.kept += 1,
            Err(why) => proof.broken.push(format!("{marker} {why}")),
        }
    }
    proof
}

fn judge(disk: &[Call], log: &str, network: &[Call], marker: &str) -> Result<(), String> {
    let told = network.iter().find(|call| call.acknowledges(marker));
    let told = told.ok_or("was never acknowledged: the trace is not whole")?;
    let written = disk.iter().find(|call| call.on.contains(log) && call.writes(marker));
    let written = written.ok_or("was acknowledged and never written")?;
    if written.from > told.from {
        return Err("was acknowledged before it was written".to_owned());
    }
    let on_disk = |call: &&Call| {
        call.is_sync()
            && call.succeeded
            && call.on == written.on
            && call.from >= written.to
            && call.to <= told.from
    };
    match disk.iter().find(on_disk) {
        Some(_) => Ok(()),
        None => Err("was acknowledged before it was on disk".to_owned()),
    }
}

/// The trace that strace writes to `file`, once everything that is wanted stands in it.
pub async fn read(file: PathBuf, whole: impl Fn(&str) -> bool) -> Vec<Call> {
    let text = super::eventually("the whole trace", || async {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if whole(&text) { Ok(text) } else { Err(format!("{} bytes", text.len())) }
    })
    .await;
    calls(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: &str =
        r#"11 1000.000100 pwrite64(7</d/baton.db-wal>, "..m1..", 4096, 32) = 4096 <0.000010>"#;
    const SYNC: &str = "11 1000.000200 fdatasync(7</d/baton.db-wal>) = 0 <0.000050>";
    const TOLD: &str = r#"12 1000.000300 sendto(9<socket:[5]>, "HTTP/1.1 200 OK\r\n..m1..", 90, MSG_NOSIGNAL, NULL, 0) = 90 <0.000010>"#;

    fn check(lines: &[&str], wanted: Result<(), &str>) {
        let all = calls(&lines.join("\n"));
        let found = judge(&all, "-wal", &all, "m1");
        assert_eq!(found.as_ref().copied().map_err(String::as_str), wanted, "{lines:#?}");
    }

    #[test]
    fn a_message_is_kept_only_if_a_sync_ended_between_its_write_and_its_acknowledgement() {
        const EARLY: Result<(), &str> = Err("was acknowledged before it was on disk");
        check(&[WRITE, SYNC, TOLD], Ok(()));
        check(&[WRITE, TOLD], EARLY);
        check(&[WRITE, TOLD, &SYNC.replace(".000200", ".000400")], EARLY);
        // It had not ended when the acknowledgement left; it began before the write; it failed; it was another file's.
        check(&[WRITE, &SYNC.replace("<0.000050>", "<0.000150>"), TOLD], EARLY);
        check(&[&SYNC.replace(".000200", ".000090"), WRITE, TOLD], EARLY);
        check(&[WRITE, &SYNC.replace("= 0", "= -1 EIO (Input/output error)"), TOLD], EARLY);
        check(&[WRITE, &SYNC.replace("baton.db-wal", "other"), TOLD], EARLY);
        check(&[SYNC, TOLD], Err("was acknowledged and never written"));
        check(&[WRITE, SYNC], Err("was never acknowledged: the trace is not whole"));
        let late = WRITE.replace(".000100", ".000400");
        check(&[&late, SYNC, TOLD], Err("was acknowledged before it was written"));
    }

    #[test]
    fn calls_that_other_threads_interrupt_are_put_together() {
        let started = "11 1000.000200 fdatasync(7</d/baton.db-wal> <unfinished ...>";
        let ended = "11 1000.000290 <... fdatasync resumed>) = 0 <0.000090>";
        check(&[WRITE, started, ended, TOLD], Ok(()));
        let all = calls(&[started, TOLD, ended].join("\n"));
        assert_eq!((all[0].from, all[0].to), (1_000_000_200, 1_000_000_290));
        assert_eq!(
            calls("11 1000.000200 +++ exited with 0 +++\n11 1000.000201 --- SIGTERM {} ---"),
            []
        );
    }
}
