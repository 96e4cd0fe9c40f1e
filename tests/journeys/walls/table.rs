//! The table of `tests/walls/table.tsv`.

use std::collections::BTreeMap;

/// Who calls, in the order of the table's columns.
pub const COLUMNS: [&str; 8] =
    ["unsigned", "visitor", "other", "agent", "supervisor", "admin", "owner", "elsewhere"];

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Served.
    Allow,
    /// Served with what is the caller's own.
    Own,
    /// Refused with this status or close code.
    Refused(u16),
    /// A frame without effect.
    Ignored,
    /// A frame that is never sent to them.
    Never,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Row {
    cells: [Cell; COLUMNS.len()],
}

impl Row {
    /// What comes of a call by this column.
    #[track_caller]
    pub fn cell(&self, column: &str) -> Cell {
        let place = COLUMNS.iter().position(|name| *name == column);
        self.cells[place.unwrap_or_else(|| panic!("no column {column}"))]
    }

    /// What comes of a call by somebody of another workspace who is `kind` there: what is refused to their kind at home is
    /// refused here for the same reason, before anything is looked up.
    pub fn elsewhere(&self, kind: &str) -> Cell {
        match self.cell(kind) {
            refused @ (Cell::Refused(_) | Cell::Never) => refused,
            _ => self.cell("elsewhere"),
        }
    }
}

fn cell(text: &str) -> Cell {
    match text {
        "allow" => Cell::Allow,
        "own" => Cell::Own,
        "ignored" => Cell::Ignored,
        "never" => Cell::Never,
        number => Cell::Refused(number.parse().unwrap_or_else(|_| panic!("`{number}` is no cell"))),
    }
}

/// Every row by its call.
pub fn read() -> BTreeMap<String, Row> {
    let text = include_str!("../../walls/table.tsv");
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let head: Vec<&str> = lines.next().expect("a head").split('\t').collect();
    assert_eq!(head[0], "call");
    assert_eq!(head[1..=COLUMNS.len()], COLUMNS);
    let mut rows = BTreeMap::new();
    let mut last = String::new();
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        assert!(fields.len() > COLUMNS.len(), "a short line: {line}");
        let call = fields[0].to_owned();
        assert!(last < call, "not sorted, or twice: {call}");
        let cells = std::array::from_fn(|place| cell(fields[place + 1]));
        rows.insert(call.clone(), Row { cells });
        last = call;
    }
    rows
}
