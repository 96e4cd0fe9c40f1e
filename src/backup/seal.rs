//! The end of the file: a gzip member of fixed size that holds the SHA-256 of every byte before it. Made by hand, so that any
//! version makes the same bytes.

use flate2::Crc;
use sha2::{Digest, Sha256};

/// The line without the hash.
const LINE: usize = "{\"sha256\":\"\"}\n".len() + 64;
/// A gzip header, a stored block's header, the line, its checksum and its length.
pub(super) const LEN: usize = 10 + 5 + LINE + 8;

/// The seal of a file whose bytes have this hash.
pub(super) fn of(hash: Sha256) -> Vec<u8> {
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{{\"sha256\":\"{hash}\"}}\n");
    let length = u16::try_from(line.len()).unwrap_or(u16::MAX);
    let mut checksum = Crc::new();
    checksum.update(line.as_bytes());
    let mut seal = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    seal.extend(length.to_le_bytes());
    seal.extend((!length).to_le_bytes());
    seal.extend(line.as_bytes());
    seal.extend(checksum.sum().to_le_bytes());
    seal.extend(u32::from(length).to_le_bytes());
    seal
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_seal_is_gzip() {
        let seal = of(Sha256::new_with_prefix(b"everything before"));
        assert_eq!(seal.len(), LEN);
        let mut line = String::new();
        flate2::read::GzDecoder::new(&seal[..]).read_to_string(&mut line).expect("reads");
        assert!(line.starts_with("{\"sha256\":\"") && line.ends_with("\"}\n"), "{line}");
    }
}
