//! Indonesian, as people type it.

use std::sync::LazyLock;

use super::Patterns;

/// See the English ones for how patterns are written.
pub(super) static PATTERNS: LazyLock<Option<Patterns>> =
    LazyLock::new(|| Patterns::new(&not_a_wish(), &wish(), &whole()));

/// Who may be asked for; `-nya` and friends may hang on.
const PEOPLE: &str = "(?:(?:orang|manusia|cs|customer service|customer care|customer support|costumer service|admin|min|mimin|petugas|\
operator|agen|agent|staf|staff|karyawan|pegawai|manajer|manager|supervisor|spv|atasan|tim|team|seseorang|perwakilan|\
call center|helpdesk|owner|pemilik|kasir|barista|bagian \\w+|tim \\w+)(?:nya|mu|ku| nya)? )";

/// Who is human beyond doubt.
const HUMANS: &str = "(?:(?:(?:orang|admin|cs|petugas|agen|operator|customer service|staf|staff) (?:asli|beneran|betulan|sungguhan|nyata|langsung|manusia)|\
manusia(?: asli| beneran| langsung| betulan)?|live (?:agent|chat)|orangnya langsung)(?:nya| nya)? )";

/// What may stand between verb and people.
const BETWEEN: &str = "(?:(?:dengan|dgn|dg|sama|ama|ke|kepada|kpd|pada|oleh|langsung|aja|saja|lagi|dong|donk|seorang|salah|satu|pihak|si|para|\
yang|yg|kak|mas|mbak|bagian|dari|saya|aku|gue|gw|kami|kita|ini|chat|percakapan|obrolan|keluhan|masalah|pesan|tolong|dulu|sekarang) )";

const TALK: &str = "(?:(?:bicara|berbicara|bicarain|ngomong|ngomongin|omong|ngobrol|mengobrol|obrol|chat|chatting|chatan|chattingan|\
komunikasi|berkomunikasi|diskusi|berdiskusi|konsultasi|berkonsultasi|konsul|curhat|terhubung|tersambung|dihubungkan|dihubungin|\
disambungkan|disambungin|dialihkan|diteruskan|ditransfer|dipindahkan|dioper|dilayani|dibantu|dijawab|dibalas|dibales|ditangani|\
ketemu|bertemu|telponan|teleponan|telepon|telpon|komplain langsung) )";

const MOVE: &str = "(?:(?:tolong |mohon |bisa |boleh |minta |mau )*(?:sambungkan|sambungin|sambung|hubungkan|hubungin|alihkan|alihin|teruskan|terusin|\
oper|operkan|operin|transferkan|pindahkan|pindahin|arahkan|arahin|panggilkan|panggilin|panggil|carikan|cariin|kasih|kasihkan|\
konekin|koneksikan|eskalasi|eskalasikan|lempar) )";

const BOT: &str = "(?:(?:bot|robot|mesin penjawab|mesin|ai|chatbot|asisten virtual|komputer|sistem otomatis|auto ?reply)(?:nya|mu)? )";

const NO: &str = "(?:tidak|gak|ga|gk|g|nggak|ngga|enggak|engga|tak|ndak|nda|gamau|ogah|jangan|jgn|males|malas|capek|cape|bosan|bosen|stop)";

fn not_a_wish() -> String {
    let parts = [
        // Telling that one has talked, asking whether one must, or refusing.
        format!("(?:sudah|udah|sdh|udh|telah|tadi|pernah|habis|abis|kemarin|barusan|sempat)(?: pernah| sempat| saya| aku)? {TALK}{BETWEEN}{{0,4}}{PEOPLE}"),
        format!("(?:apakah|apa) (?:saya |aku |kita |kami )?(?:harus|perlu|mesti|wajib) (?:{TALK}|{MOVE}){BETWEEN}{{0,4}}{PEOPLE}"),
        format!("{NO} (?:perlu|usah|harus|mau|ingin) (?:{TALK}|{MOVE}){BETWEEN}{{0,5}}(?:{PEOPLE}|{HUMANS})"),
        format!("(?:tanpa|daripada|sebelum|setelah) {TALK}{BETWEEN}{{0,4}}{PEOPLE}"),
        // Asking what this is.
        format!("(?:ini|kamu|kak|anda|situ|kakak|apakah ini|ini sama|lagi chat sama) (?:itu |sama |dengan |dijawab |dibalas |pakai |pake |cuma |adalah |benar |beneran |bukan )*(?:{BOT}|manusia |orang )(?:(?:atau|apa|ya|kah|kan|asli|beneran|bukan|dong|sih|,) )*(?:{BOT}|manusia |orang )?(?:(?:ya|kah|kan|asli|beneran|bukan|sih) )*$"),
        "(?:saya|aku|gue|gw|kami) bukan (?:bot|robot) ".to_owned(),
        // People who are something else.
        "(?:orang (?:lain|tua|rumah|kantor|dewasa|yang|yg|indonesia|bule|pertama|kedua)|orangtua|biaya admin|admin (?:fee|bank)|agen (?:resmi|properti|penjualan|jnt|jne|pos|travel)|jadi agen|\\w+ orang(?:nya)? (?:tidak|belum|sudah|lagi)|petugas (?:kurir|pengiriman|kebersihan|gudang)|nomor (?:wa |whatsapp |telepon |hp )?(?:cs|admin)|tim (?:sepak|bola|kantor|saya|kami)|(?:dua|tiga|empat|lima|berapa|\\d+) orang) ".to_owned(),
    ];
    format!(" (?:{})", parts.join("|"))
}

fn wish() -> String {
    let after = "(?:$|(?:dong|donk|ya|yah|aja|saja|sekarang|langsung|dulu|please|pls|plis|tolong|deh|lah|nih|kak|bukan|jangan|untuk|buat|yang|yg|karena|soalnya|biar|supaya|dari|di|segera|sih|,) )";
    let want = "(?:(?:saya|aku|gue|gw|kami|kita) )?(?:mau|ingin|pengen|pengin|pingin|minta|butuh|perlu|mohon|kasih|pilih|carikan|mendingan|mending|lebih suka|maunya|pinginnya|pengennya) (?:(?:dong|ya|dulu|saja|aja|sama|dengan|dgn|ke|ada|yang|yg|bantuan|dibantu|dilayani|dari|oleh|saya|langsung) )*";
    let parts = [
        // bicara dengan orang
        format!(
            "{TALK}(?:(?:langsung|aja|saja|lagi|dong|dulu|kak|soal ini|tentang ini) )*(?:dengan|dgn|dg|sama|ama|ke|kepada|kpd|pada|oleh) {BETWEEN}{{0,4}}(?:{PEOPLE}|{HUMANS})"
        ),
        format!(
            "(?:mau|ingin|pengen|pengin|bisa|boleh|tolong|minta) (?:{TALK}){BETWEEN}{{0,2}}(?:{HUMANS}|(?:cs|customer service|admin|operator)(?:nya)? )"
        ),
        // sambungkan ke petugas
        format!(
            "{MOVE}{BETWEEN}{{0,6}}(?:ke|kepada|kpd|pada|dengan|dgn|sama) {BETWEEN}{{0,4}}(?:{PEOPLE}|{HUMANS})"
        ),
        format!(
            "(?:panggilkan|panggilin|carikan|cariin|sambungkan|sambungin|hubungkan|hubungin) {BETWEEN}{{0,3}}(?:{PEOPLE}|{HUMANS})"
        ),
        format!(
            "(?:mau|ingin|pengen|perlu) (?:hubungi|menghubungi|kontak|telepon|telpon) {BETWEEN}{{0,3}}(?:{PEOPLE}|{HUMANS})"
        ),
        // mau orang
        format!(
            "{want}(?:{HUMANS}|(?:orang|cs|customer service|operator|petugas|manajer|supervisor)(?:nya)? ){after}"
        ),
        // ada orang yang bisa diajak bicara
        format!(
            "(?:ada|adakah|apa ada|apakah ada) (?:{PEOPLE}|{HUMANS})(?:(?:asli|manusia|beneran|di sini|disini) )*(?:yang |yg )?(?:bisa |dapat |boleh )?(?:saya |aku |gue |gw |kita )?(?:diajak |ajak |langsung )*(?:bicara|ngomong|ngobrol|chat|diskusi|berbicara|dihubungi) "
        ),
        format!("(?:ada|adakah) {HUMANS}(?:yang|yg|di|disini|gak|ga|nggak|tidak|ya|$)"),
        "(?:cs|customer service)(?:nya| nya)? mana ".to_owned(),
        "mana (?:cs|customer service|manusia)(?:nya| nya)? ".to_owned(),
        // bukan bot
        format!(
            "{NO} (?:mau |ingin |suka |terus |lagi |usah |nyaman |perlu |,)*(?:{TALK}|sama |dengan |ke |pakai |pake |dari )(?:sama |dengan |dgn |oleh |ke |terus |lagi |mulu |ama )*{BOT}"
        ),
        format!("{NO} {BOT}(?:terus|lagi|mulu|melulu|dong|,|$)"),
        format!(
            "(?:{HUMANS}|{PEOPLE})(?:asli |dong |ya |aja |, )*(?:bukan|jangan|bkn) (?:sama |dengan |dari |oleh |si )?{BOT}"
        ),
        format!(
            "(?:bukan|jangan|bkn) (?:sama |dengan |dari |oleh |si |pakai )?{BOT}(?:terus |lagi |, |tapi |tp |dong )*(?:saya |aku |gue )?(?:mau |minta |ingin |pengen )?(?:sama |dengan )?(?:{HUMANS}|orang )"
        ),
    ];
    format!(" (?:{})", parts.join("|"))
}

fn whole() -> String {
    let filler = "(?:(?:tolong|mohon|dong|donk|ya|kak|min|mas|mbak|mau|minta|please|pls|plis|aja|saja|sekarang|langsung|ke|sama|dengan|hai|halo|yang|bukan|bot|robot|,) )*";
    let person = format!(
        "(?:{HUMANS}|(?:operator|customer service|cs dong|cs please|cs manusia|minta cs|orang asli|orang dong) )"
    );
    format!("{filler}{person}{filler}")
}
