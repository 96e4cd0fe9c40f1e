//! Words that people use for the same thing when they ask a business for help: "postage" for shipping, "undo" for cancel,
//! and forms that no stemmer joins (buy, bought). For questions only, and worth less than the word itself.
//!
//! General vocabulary of customer service, one line a group; a word may stand in several. What is special to one trade
//! does not belong here: an embedding model covers it.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::stem::Language;
use super::tokens::{Term, terms};

type Groups = HashMap<u32, Vec<u32>>;

static ENGLISH: LazyLock<Groups> = LazyLock::new(|| groups(ENGLISH_WORDS, Language::English));
static INDONESIAN: LazyLock<Groups> =
    LazyLock::new(|| groups(INDONESIAN_WORDS, Language::Indonesian));

/// The token ids of words related to `term` in `languages`, without its own.
#[must_use]
pub fn related(term: &Term, languages: &[Language]) -> Vec<u32> {
    let mut ids: Vec<u32> = Vec::new();
    for language in languages {
        let groups = match language {
            Language::English => &*ENGLISH,
            Language::Indonesian => &*INDONESIAN,
            _ => continue,
        };
        ids.extend(term.forms.iter().filter_map(|form| groups.get(form)).flatten());
    }
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| !term.forms.contains(id));
    ids
}

/// From every form of every word to the stems of the words beside it.
fn groups(lines: &str, language: Language) -> Groups {
    let mut groups: Groups = HashMap::new();
    for line in lines.lines() {
        let words = terms(line, &[language]);
        for word in &words {
            for form in &word.forms {
                groups
                    .entry(*form)
                    .or_default()
                    .extend(words.iter().filter_map(|w| w.forms.last()));
            }
        }
    }
    groups
}

const ENGLISH_WORDS: &str = "\
ship shipping deliver delivery send sent dispatch post postage
parcel package box shipment
courier carrier driver
arrive arrived reach come came
refund reimburse reimbursement repay
cancel undo revoke stop terminate
pause suspend hold interrupt
skip omit
pay paid payment
cost price fee charge rate much expensive
buy bought purchase order
bill invoice receipt
login log sign signed
password passcode
break broke broken damage damaged crack shatter smash
fault faulty defect defective fail dead die
lose lost missing disappear
swap exchange replace replacement
repair fix mend service
return back
email mailbox mail inbox
phone call telephone ring
account profile
delete remove erase
address street house apartment flat
gift present
voucher coupon card
delay late stuck
customs duty import tax
abroad international overseas country foreign
class course lesson workshop
beginner novice starter
month monthly
week weekly
year annual yearly
subscription recurring automatic automatically regular
discount reduction deduction rebate promotion
instalment installment split
collect pickup fetch grab pick
firm company business
kilo kg kilogram
robot bot ai chatbot automated
human person people staff agent
store keep retain save
lamp light led
wrong incorrect mistake
change edit correct modify
postpone reschedule move later
expire expiry validity valid end
open opened unsealed
unopened sealed
guarantee warranty covered
wholesale bulk
give gave given
take took taken
choose chose chosen pick
forget forgot forgotten
write wrote written
leave left
keep kept
find found
teach taught
";

const INDONESIAN_WORDS: &str = "\
kirim antar ongkir ongkos
kurir ekspedisi
paket barang kiriman
sampai nyampe tiba terima
bayar pembayaran lunas
beli order pesan pesenan
batal cancel batalkan
retur kembalikan balikin balik pulang
refund uang dana duit
tukar ganti tuker
rusak pecah cacat
hilang lenyap raib
sandi password pasword
harga biaya tarif ongkos
jeda stop berhenti tunda setop
servis perbaiki perbaikan betulin
hadiah kado voucher
kelas kursus pelatihan
jadwal tanggal geser pindah
libur lebaran cuti
buka jam operasional
telepon hp nomor hubungi
resi lacak tracking
ambil jemput
bukti sertifikat
faktur kuitansi nota invoice
rutin langganan berkala
kilo kg sekilo
masuk login
poin point
saldo kredit
salah keliru
";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, other: &str, language: Language, wanted: bool) {
        let only = |text| terms(text, &[language]).remove(0);
        let found = related(&only(word), &[language]);
        let other = *only(other).forms.last().expect("has a form");
        assert_eq!(found.contains(&other), wanted, "{word} and {other}");
    }

    #[test]
    fn words_for_the_same_thing_are_related_in_any_form() {
        check("postage", "shipping", Language::English, true);
        check("undo", "cancelled", Language::English, true);
        check("bought", "buying", Language::English, true);
        check("ongkir", "pengiriman", Language::Indonesian, true);
        check("refund", "shipping", Language::English, false);
        check("ongkir", "kirim", Language::English, false);
    }

    #[test]
    fn a_word_is_not_related_to_itself() {
        check("refunds", "refund", Language::English, false);
    }
}
