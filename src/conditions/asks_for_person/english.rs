//! English.

use std::sync::LazyLock;

use super::Patterns;

/// Words are separated by one space, marks stand as ` , `; every alternative ends with the space behind its last word.
pub(super) static PATTERNS: LazyLock<Option<Patterns>> =
    LazyLock::new(|| Patterns::new(&not_a_wish(), &wish(), &whole()));

/// Who may be asked for without saying that they must be human.
const PEOPLE: &str = "(?:(?:human|person|people|humans|someone|somebody|anyone|anybody|agents?|operators?|representatives?|\
reps?|advis[eo]rs?|managers?|supervisors?|staff|employees?|specialists?|consultants?|attendants?|associates?|colleagues?|\
coworkers?|workers?|assistants?|executives?|experts?|csr|team|department|boss|owner|individual|human beings?|\
(?:customer|costumer|client) (?:service|support|care)|(?:support|service|sales|help) (?:team|desk|line|staff|department)|\
support|sales|team members?|member of (?:your |the )?(?:team|staff)) )";

/// Who is human beyond doubt.
const HUMANS: &str = "(?:(?:(?:real|actual|live|living|proper|physical|true|genuine|human|flesh and blood) )+\
(?:(?:live|human|customer|costumer|service|support|care) )*\
(?:human beings?|humans?|persons?|people|someone|agents?|operators?|representatives?|reps?|advis[eo]rs?|assistants?|chat|support|\
assistance|help|being|worker|staff|employee|service|one) |humans? |human beings? |(?:someone|somebody|anyone|anybody) (?:real|human|alive) )";

/// What may stand between the verb and the people.
const BETWEEN: &str = "(?:(?:to|with|w|a|an|the|your|ur|one|of|real|actual|live|living|proper|different|another|other|any|\
some|senior|customer|costumer|service|support|care|sales|bank|bot|store|shop|human|physical|duty|available|actually|directly|\
about this|about it|on|in|by|from|this) )";

/// Words that talk is.
const TALK: &str = "(?:(?:talk|speak|speek|spek|tlk|chat|converse|communicate|have a (?:word|chat|talk|conversation)|\
discuss (?:this|it|that|my case|the matter)|be (?:connected|transferred|transfered|put through|passed|redirected|forwarded)|\
get (?:in touch|through|connected|transferred|hold)|get a hold|get ahold) )";

/// Words that move a visitor to somebody.
const MOVE: &str = "(?:(?:(?:connect|transfer|transfere|put|pass|switch|redirect|forward|route|refer|hand|link|direct|send|get|\
bring|patch|move|escalate|assign|give) (?:me|us|this|it|my (?:call|case|chat|issue|request)|(?:this|the) (?:call|case|chat|\
conversation|issue|to)) |escalate )(?:(?:through|thru|over|on|back|in touch|straight|directly|off|up) ){0,2})";

/// What a machine is called.
const BOT: &str = "(?:(?:chat ?bots?|bots?|robots?|machines?|ai|computers?|automated \\w+|virtual (?:agents?|assistants?)|\
algorithm|program|ai agents?) )";

fn not_a_wish() -> String {
    let parts = [
        // Asking what one is talking to, or telling that one has talked.
        "(?:am i|are we|was i|were we|is it) (?:really |actually |now |currently )?(?:talking|speaking|chatting) (?:to|with) .*".to_owned(),
        format!("(?:are|r) (?:you|u) (?:really |actually )?(?:a |an |the )?(?:real |actual |live )?(?:{PEOPLE}|{HUMANS}|{BOT}).*"),
        format!("(?:is|was) (?:this|it|that|there|he|she) (?:really |actually |just |only )?(?:a |an |some )?{BOT}"),
        "(?:told|asked|said|advised|instructed|supposed|meant|remember|recall|managed|tried|got) (?:me |us )?(?:i should |to )(?:talk|speak|chat) ".to_owned(),
        // Refusing, or asking whether one must.
        format!("(?:dont|do not|doesnt|didnt|not|never|wont|no longer|neednt) (?:really |actually |even )?(?:(?:need|want|wanna|have|wish|care|like|going|require|plan|ask(?:ed|ing)?|looking|trying) )(?:to |you to |for )*(?:{TALK}|{MOVE}|a |an |any ){BETWEEN}{{0,4}}(?:{PEOPLE}|{HUMANS})"),
        format!("(?:no need|not necessary|unnecessary|without|instead of|rather than|avoid|before|after|do i (?:really |actually )?(?:have|need)|must i|should i|do we (?:have|need)|does (?:he|she) (?:have|need)) (?:for |to |you to |having to )*(?:{TALK}|{MOVE}|talking |speaking |chatting |contacting |calling |transferring me ){BETWEEN}{{0,5}}(?:{PEOPLE}|{HUMANS})"),
        // People who are something else.
        "(?:human (?:resources?|hair|rights?|error|body|skin|consumption|trafficking)|agents? (?:fees?|id|code|number|commission|discount|price|program|bank|network|portal|account)|(?:support|sales|team|staff|manager|department|customer service|customer support|customer care) (?:hours?|numbers?|no|nos|num|contact|details|email|e mail|address|phone|id|discount|fee|name|policy|tax|price|plan|page|ticket)s?) ".to_owned(),
        "(?:real estate|travel|cleaning|insurance|booking|shipping|delivery|estate|letting|sales|raising|free) agents? ".to_owned(),
    ];
    format!(" (?:{})", parts.join("|"))
}

fn wish() -> String {
    let polite = "(?:(?:please|pls|plz|now|asap|immediately|instead|already|dammit|right|again|today|here|directly|,) )";
    let after = format!(
        "(?:$|{polite}|(?:to|who|that|not|for|about|on|in|and|because|since|rather|no|i|so|or|if|at|from|can|could|thank|thanks|with|help|tbh|ffs) )"
    );
    let ask = "(?:(?:i|we) )?(?:(?:would |d |id |really |just |still |only |,|do )*(?:id like|id love|want|need|wanna|demand|require|prefer|like|insist on|request|requesting|requested|asked for|asking for|looking for|get me|give me|find me|send me|bring me|have|gimme|may i have|can i have|can i get|could i get|let me have) (?:to have |to get |to see |with |it |this |that )?)";
    let parts = [
        // talk to a person
        format!("{TALK}{BETWEEN}{{0,6}}(?:{PEOPLE}|{HUMANS})"),
        format!("(?:prefer|rather|like|love|appreciate|enjoy|want|need|insist|way|chance|possibility|better|comfortable|interested|request|requesting|option|about|instead|with|happier|keen)(?: \\w+){{0,3}} (?:talking|speaking|chatting|dealing) {BETWEEN}{{1,6}}(?:{PEOPLE}|{HUMANS})"),
        format!("{TALK}(?:\\w+ |, ){{0,6}}(?:to|with) (?:a |an |one |some |your |the )?{HUMANS}"),
        format!("(?:reach|contact|find|access|message|get to) (?:a |an |the |some |any |your )?{HUMANS}"),
        format!("(?:can|could|will|would|let|have|may|want|need|please) (?:a |an |the |some |any )?{HUMANS}(?:please |to |just |here )*(?:help|answer|assist|respond|reply|look|check|take over|step in|handle|join|get on|write|read) "),
        // transfer me to a person
        format!("{MOVE}(?:to |with |of ){BETWEEN}{{0,5}}(?:{PEOPLE}|{HUMANS})"),
        format!("{MOVE}{BETWEEN}{{0,4}}{HUMANS}"),
        format!("(?:get|give|find|send|bring|fetch) (?:me )(?:a |an |the |your |some |another )?(?:{PEOPLE})(?:{after}|else )"),
        "(?:get|put) (?:me )?(?:someone|somebody|a (?:person|human|manager|colleague)|anyone)(?: else| real| new| different| competent)? (?:(?:on|to|who|that|here|in|from|for) |$)".to_owned(),
        // I want a person
        format!("{ask}(?:a |an |the |some |another |any )?{HUMANS}{after}"),
        format!("{ask}(?:a |an |the |your |another )?(?:person|agent|operator|representative|rep|manager|supervisor|live chat|(?:customer|costumer) (?:service|support|care)(?: (?:agent|rep|representative|person|advisor))?) {after}"),
        // is there a person
        format!("(?:is|are|isnt|arent) there (?:any |a |an |some |no )?(?:{HUMANS}|(?:person|someone|somebody|anyone|anybody|agent|representative|one) )(?:else |there |here |around |available )*(?:(?:that |who |whom )?(?:i|we) (?:can|could|may) (?:{TALK}|contact |reach )|(?:to|for me to) {TALK}|(?:that|who) (?:can|could) (?:actually |really )?(?:help|assist|talk|call))"),
        format!("(?:is|are) there (?:any |a |an )?{HUMANS}(?:{after}|there |available |around )"),
        // somebody should call
        format!("(?:can|could|will|would|have|let|may|please have|get|want|need|like) (?:a |an |the |your |some |to )*(?:(?:{PEOPLE}|{HUMANS})(?:from |in |at |of |on |your |the |team |staff |support |store |shop |customer |service |department |to |please |just )*)(?:call|phone|ring|contact|telephone|get back to|reach out to) me "),
        // no bots
        format!("(?:dont|do not|not|never|no longer|stop|tired of|sick of|fed up with|done with|hate|enough of|wont|refuse to|uncomfortable|isnt|arent)(?: \\w+){{0,3}} (?:talk|talking|speak|speaking|chat|chatting|deal|dealing|converse|discuss|conversing|arguing|argue|messaging|texting|share|sharing|give|giving|tell|telling|trust)(?: \\w+){{0,6}} (?:to|with|by|for) (?:a |an |this |the |some |your |these |stupid |any |just )*(?:{BOT}|you (?:anymore |any more |any longer |,|$))"),
        format!("(?:no|not|stop|enough|without) (?:more |with |of |another |the |these |your |a |an |stupid |this )*{BOT}(?:(?:please|pls|anymore|,|just|and|but) )*(?:i (?:want|need|said|asked for) )?(?:a |an |the |just |only |give me )*(?:{HUMANS}|person |someone |agent )"),
        format!("(?:{HUMANS}|person ),? ?(?:please )?(?:and )?(?:not|no) (?:a |an |another |the |this |some )?{BOT}"),
        format!("(?:dont|do not) (?:want|need|like)(?: to (?:use|have))? (?:a |an |this |your |any |stupid |the )*{BOT}(?:to |,|$|i want )"),
    ];
    format!(" (?:{})", parts.join("|"))
}

fn whole() -> String {
    let filler = "(?:(?:please|pls|plz|now|just|hi|hello|hey|ok|okay|no|yes|the|a|an|your|to|for|asap|immediately|only|i|said|want|need|\
thanks|thank|you|,|and|not|bot|bots|right|already|damn|ffs|here|help) )*";
    let person = format!(
        "(?:{HUMANS}|(?:agents?|operators?|representatives?|(?:a|real|live|actual|another) person|person please|\
(?:customer|costumer) (?:service|support|care)(?: (?:agent|rep|representative))?|manager please|supervisor please|live (?:chat|agent|support)|\
(?:talk|speak) to (?:agent|human|person|someone)) )"
    );
    let there = "(?:(?:to (?:talk|speak|chat|answer|help|assist|reply)(?: (?:to|with|me|us))?|available|there|around) )?";
    format!("{filler}{person}{there}{filler}")
}
