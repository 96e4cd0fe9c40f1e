//! The program's own commands, as an operator runs them.

use std::process::{Output, Stdio};

use tokio::process::Command;

use super::PATIENCE;

/// What a command said.
#[derive(Debug, Clone)]
pub struct Ended {
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Ended {
    /// Runs a command to its end.
    pub async fn of(command: &mut Command) -> Self {
        let ended = tokio::time::timeout(PATIENCE, command.output()).await;
        let Output { status, stdout, stderr } =
            ended.expect("ends in time").expect("runs the command");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: status.code(), output: text(&stdout), errors: text(&stderr) }
    }
}

/// The program with arguments, and without settings of whoever runs the tests.
pub fn baton(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
    command.args(args);
    clean(&mut command);
    command
}

/// Takes away what the environment would set.
pub fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BATON_") {
            command.env_remove(&name);
        }
    }
    command.current_dir(std::env::temp_dir()).stdin(Stdio::null()).kill_on_drop(true);
}
