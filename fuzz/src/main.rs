//! libFuzzer over one of `baton::fuzzing::TARGETS`: the one that `BATON_TEST_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static FEED: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("BATON_TEST_TARGET").unwrap_or_default();
    let target = baton::fuzzing::target(&name);
    target.unwrap_or_else(|| panic!("BATON_TEST_TARGET={name}: there is no such target")).feed
});

fuzz_target!(|bytes: &[u8]| FEED(bytes));
