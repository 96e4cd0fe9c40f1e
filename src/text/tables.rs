//! Markdown tables as lists: what a chat can show, and what can be quoted row by row.

/// The text with every table written as a list, one item a row: `- first: second`, or `- first — name: cell; name: cell`
/// where a row has more than two cells. Everything else stays as it is.
#[must_use]
pub fn tables_as_lists(markdown: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut lines = markdown.lines().peekable();
    let mut in_code = false;
    while let Some(line) = lines.next() {
        in_code ^= line.trim_start().starts_with("```");
        let rule = lines.peek().is_some_and(|next| is_rule(next));
        if in_code || !rule || !line.contains('|') {
            out.push(line.to_owned());
            continue;
        }
        let header = cells(line);
        lines.next();
        if out.last().is_some_and(|before| !before.trim().is_empty()) {
            out.push(String::new());
        }
        while let Some(row) = lines.next_if(|next| next.contains('|')) {
            out.extend(item(&header, &cells(row)));
        }
    }
    out.join("\n")
}

fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.contains('-')
        && line.contains('|')
        && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ' | '\t'))
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let line = line.strip_suffix('|').unwrap_or(line);
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn item(header: &[String], row: &[String]) -> Option<String> {
    let (first, rest) = row.split_first()?;
    let filled: Vec<(usize, &String)> =
        rest.iter().enumerate().filter(|(_, cell)| !cell.is_empty()).collect();
    let named = filled.len() > 1;
    let rest: Vec<String> = filled
        .into_iter()
        .map(|(at, cell)| match header.get(at + 1).filter(|name| named && !name.is_empty()) {
            Some(name) => format!("{name}: {cell}"),
            None => cell.clone(),
        })
        .collect();
    match (first.is_empty(), rest.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("- {first}")),
        (true, false) => Some(format!("- {}", rest.join("; "))),
        (false, false) => {
            let sign = if named { " —" } else { ":" };
            Some(format!("- {first}{sign} {}", rest.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(markdown: &str, expected: &str) {
        assert_eq!(tables_as_lists(markdown), expected);
    }

    #[test]
    fn rows_become_items() {
        check(
            "Times:\n| You paid by | Money in |\n|---|---|\n| QRIS | 1–3 days |\n| Card | 5–10 days |\n\nAsk us.",
            "Times:\n\n- QRIS: 1–3 days\n- Card: 5–10 days\n\nAsk us.",
        );
        check(
            "| Matter | Role | Within |\n|:--|:-:|--:|\n| Refunds | Finance | 4 h |\n| Lost | | 1 d |",
            "- Refunds — Role: Finance; Within: 4 h\n- Lost: 1 d",
        );
    }

    #[test]
    fn what_is_no_table_stays() {
        for text in ["a | b", "plain\n\n---\n\ntext", "```\n| a | b |\n|---|---|\n| 1 | 2 |\n```"] {
            check(text, text);
        }
    }
}
