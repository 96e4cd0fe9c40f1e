//! The map stays true: every path that the documents name exists.

use std::path::Path;

#[test]
fn every_path_that_the_documents_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tops = ["src", "web", "prompts", "knowledge", "migrations", "tests", "docs", "tools"];
    let mut seen = 0;
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/ARCHITECTURE.md",
        "docs/OPERATIONS.md",
        "docs/RELIABILITY.md",
    ] {
        let text = std::fs::read_to_string(root.join(document)).expect("reads");
        let quoted = text.split('`').skip(1).step_by(2);
        let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for name in quoted.chain(linked) {
            let name = name.trim_end_matches('/');
            let top = name.split('/').next().unwrap_or_default();
            let is_path =
                tops.contains(&top) && !name.contains(|c: char| c.is_whitespace() || c == '*');
            if is_path && !name.contains("dist") {
                let here = if document.starts_with("docs/") && root.join("docs").join(name).exists()
                {
                    "docs"
                } else {
                    ""
                };
                assert!(
                    root.join(here).join(name).exists(),
                    "{document} names {name}, which is not there"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 15, "only {seen} paths found: does the test still read the documents?");
}
