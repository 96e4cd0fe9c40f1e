//! Words that carry grammar rather than subject. IDF alone cannot tell them in a small base: in a hundred chunks of
//! written help, a chatty "wanna" or "aja" is as rare as "warranty" (measured: leaving them out of questions moved the
//! right article into the top three for 8 of 78 chatty questions more).
//!
//! They are left out of questions only, and only in the languages a base is written in, so that the French "son" does not
//! cost an English base its sons. Folded, as tokens are.

use super::stem::Language;

/// Whether a folded word is one of these in any of `languages`.
pub(super) fn is_common(word: &str, languages: &[Language]) -> bool {
    languages.iter().any(|language| list(*language).split_ascii_whitespace().any(|w| w == word))
}

fn list(language: Language) -> &'static str {
    match language {
        Language::English => {
            "a an the and or but if of to in on at for from by with as is are was were be been being am do does did done \
             doing have has had having can could will would shall should may might must i im ive me my mine you your \
             yours u ur he him his she her it its we us our ours they them their this that these those there here what \
             which who whom whose when where why how not no nor don dont cant wont doesn doesnt didn didnt isn isnt won \
             wasn ll ve re so than then too very just also only any some all about into out up off over now get got \
             getting hi hey hello please pls thanks thank still want wanna need going gonna go been tell because while \
             much many let say says said yes ok okay really know \
             long take takes taking took"
        }
        Language::Indonesian => {
            "yang yg dan di ke dari untuk utk buat dengan dgn atau tapi ini itu ada adalah apa apakah siapa berapa brp \
             kapan dimana mana bagaimana gimana gmn kenapa mengapa saya aku anda kamu kak kakak min admin kami kita dia \
             mereka nya ya yah gak ga nggak ngga enggak tidak tdk bukan belum blm sudah sdh udah akan bisa bs boleh harus \
             mau pas kok sih kalau kalo jika saat pada dalam oleh sebagai juga jg lagi lg masih aja saja lah kan dong \
             deh nih tuh pake banget bgt sama tolong mohon tetap tetep jadi karena krn seperti langsung terus trus halo"
        }
        Language::French => {
            "un une des le la les et ou mais si de du au aux en dans sur pour par avec sans est sont etait suis es etes \
             etre ai as a avons avez ont avoir je j me moi mon ma mes tu te toi ton ta tes vous votre vos il elle on nous \
             notre nos ils elles se leur leurs ce cet cette ces cela ca qui que quoi quel quelle quels quelles quand \
             comment pourquoi combien ne pas plus y est-ce bonjour merci svp peux peut puis pouvez dois veux"
        }
        Language::Portuguese => {
            "um uma uns umas o a os as e ou mas se de do da dos das em no na nos nas por para pra pelo pela com sem ao aos \
             que qual quais quem quando onde como quanto porque e sao era foi ser estar esta estao estou tem tenho ter \
             eu me meu minha meus minhas voce voces seu sua seus suas ele ela nos nosso nossa eles elas este esta isso \
             isto esse essa nao sim ja mais ola obrigado obrigada posso pode quero favor"
        }
        Language::Spanish => {
            "un una unos unas el la los las y o u pero si de del al en por para con sin que cual cuales quien cuando donde \
             como cuanto cuanta porque es son era fue ser estar esta estan estoy he ha han tengo tiene tener yo me mi mis \
             tu te tus usted ustedes su sus el ella nosotros nuestro nuestra ellos ellas este esta esto eso ese esa no ya \
             mas muy lo le les se hola gracias puedo puede quiero favor"
        }
        Language::German => {
            "ein eine einen einem einer eines der die das den dem des und oder aber wenn von vom zu zum zur in im an am auf \
             fur aus bei mit nach ohne ist sind war waren sein bin bist seid habe hast hat haben hatte kann konnen will \
             wollen soll muss darf wird werden ich mich mir mein meine du dich dir dein ihr ihre er sie es wir uns unser \
             sich dieser diese dieses was wer wie wo wann warum welche welcher nicht kein keine ja nein noch schon auch \
             nur so hallo danke bitte mochte"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_in_the_languages_of_the_base() {
        assert!(is_common("the", &[Language::English]));
        assert!(is_common("aja", &[Language::English, Language::Indonesian]));
        assert!(!is_common("son", &[Language::English]));
        assert!(!is_common("refund", &[Language::English]));
        assert!(!is_common("the", &[]));
    }
}
