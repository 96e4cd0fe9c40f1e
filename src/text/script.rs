//! What search needs to know about characters: which scripts write without spaces, and which marks may be dropped.

use unicode_normalization::UnicodeNormalization;

/// Written without spaces (or, for Hangul, with endings glued on): indexed as overlapping pairs of characters.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E01}'..='\u{0E4E}'                             // Thai
        | '\u{0E81}'..='\u{0ECE}'                           // Lao
        | '\u{1000}'..='\u{103F}'                           // Myanmar
        | '\u{1780}'..='\u{17D3}'                           // Khmer
        | '\u{1100}'..='\u{11FF}' | '\u{AC00}'..='\u{D7AF}' // Hangul
        | '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{3096}' | '\u{309D}'..='\u{309F}' // Hiragana
        | '\u{30A1}'..='\u{30FA}' | '\u{30FC}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' // Katakana
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' // Han
        | '\u{20000}'..='\u{323AF}')
}

/// Marks that readers drop when they type in a hurry: accents of Latin, Greek and Cyrillic, points of Hebrew and Arabic,
/// and the Arabic stretching line. Vowel signs of Indic scripts and Thai are letters and stay.
fn is_droppable_mark(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}'
        | '\u{FE20}'..='\u{FE2F}'
        | '\u{0591}'..='\u{05C7}'
        | '\u{0610}'..='\u{061A}' | '\u{064B}'..='\u{065F}' | '\u{0670}' | '\u{06D6}'..='\u{06ED}' | '\u{0640}'
        | '\u{200B}'..='\u{200D}' | '\u{00AD}')
}

/// Lower case, compatibility forms made plain, droppable marks gone. Composed again, so that Hangul and Kana stay whole.
pub(super) fn fold(word: &str) -> String {
    if word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return word.to_owned();
    }
    let marked: String = word.to_lowercase().nfkd().filter(|&c| !is_droppable_mark(c)).collect();
    marked
        .nfc()
        .map(|c| match c {
            'ø' => 'o',
            'ł' => 'l',
            'đ' => 'd',
            'ı' => 'i',
            'ς' => 'σ',
            'ة' => 'ه',
            'ى' => 'ي',
            other => other,
        })
        .flat_map(|c| if c == 'ß' { ['s', 's'].to_vec() } else { vec![c] })
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_what_people_leave_out_and_no_more() {
        for (word, folded) in [
            ("Solicitação", "solicitacao"),
            ("ΆΓΙΟΣ", "αγιοσ"),
            ("Ёлка", "елка"),
            ("مُحَمَّد", "محمد"),
            ("Straße", "strasse"),
            ("ｆｕｌｌ", "full"),
            ("हिन्दी", "हिन्दी"),
            ("ที่", "ที่"),
            ("がんばる", "がんばる"),
            ("한국어", "한국어"),
            ("Việt", "viet"),
        ] {
            assert_eq!(fold(word), folded);
        }
    }
}
