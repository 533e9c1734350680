//! What web pages and mails do to a text: entities and tags, soft line breaks, typographic signs.

use super::super::scan;

/// Tags that end a line, and tags that mean nothing here. None of them can be a byte of code (`<dd>` could) or one of
/// the kernel's own marks, which are in capitals.
const ENDING: [&str; 9] = ["br", "p", "div", "li", "tr", "pre", "h1", "h2", "h3"];
const OTHER: [&str; 18] = [
    "a", "b", "i", "u", "em", "tt", "td", "th", "ul", "ol", "font", "span", "code", "text", "strong", "samp", "table",
    "tbody",
];
/// No tag is longer.
const LONGEST_TAG: usize = 300;

/// A page's source without its tags and with its entities read; `None` for any other text.
pub fn without_tags(text: &str) -> Option<String> {
    // A kernel's text has angle brackets; a page has them escaped.
    if scan::find(text, "&lt;").is_none() && scan::find(text, "&gt;").is_none() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<']) {
        let (before, from) = rest.split_at_checked(at)?;
        out.push_str(before);
        if let Some((sign, after)) = entity(from) {
            out.push(sign);
            rest = after;
        } else if let Some((ends_line, after)) = tag(from) {
            if ends_line && !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
            rest = after;
        } else {
            let mut chars = from.chars();
            out.extend(chars.next());
            rest = chars.as_str();
        }
    }
    out.push_str(rest);
    Some(out)
}

/// The character that an entity at the start of `text` stands for, and what follows it.
fn entity(text: &str) -> Option<(char, &str)> {
    const NAMED: [(&str, char); 9] = [
        ("lt;", '<'),
        ("gt;", '>'),
        ("amp;", '&'),
        ("nbsp;", ' '),
        ("quot;", '"'),
        ("apos;", '\''),
        ("#39;", '\''),
        ("#x27;", '\''),
        ("#160;", ' '),
    ];
    let name = text.strip_prefix('&')?;
    NAMED
        .iter()
        .find_map(|(entity, sign)| Some((*sign, name.strip_prefix(entity)?)))
}

/// Whether a tag at the start of `text` ends a line, and what follows it.
fn tag(text: &str) -> Option<(bool, &str)> {
    let inner = text.strip_prefix('<')?;
    let name = inner.strip_prefix('/').unwrap_or(inner);
    let length = name.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let (name, tail) = name.split_at_checked(length)?;
    let ends = ENDING.contains(&name);
    if !ends && !OTHER.contains(&name) || !tail.starts_with(['>', ' ', '/']) {
        return None;
    }
    let close = tail.bytes().take(LONGEST_TAG).position(|byte| byte == b'>')?;
    Some((ends, tail.get(close + 1..)?))
}

/// A text in mail's quoted-printable form (RFC 2045, 6.7) as it was; `None` for any other text.
pub fn without_soft_breaks(text: &str) -> Option<String> {
    if scan::find(text, "=\n").is_none() && scan::find(text, "=\r\n").is_none() {
        return None;
    }
    // A line goes on on the next one behind an equals sign, and is never longer than 76 characters.
    let is_soft = |line: &&str| {
        let line = line.trim_end_matches('\r');
        (60..=76).contains(&line.len()) && line.ends_with('=') && !line.ends_with("==")
    };
    if !text.lines().any(|line| is_soft(&line)) {
        return None;
    }
    // Any other equals sign is written as its code, apart from a few in the mail's own head.
    let signs = text.bytes().filter(|byte| *byte == b'=').count();
    let coded = text.split('=').skip(1).filter(|after| code(after).is_some()).count();
    if coded * 10 < signs * 8 {
        return None;
    }
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut parts = text.split('=');
    out.extend(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        match code(part) {
            Some((byte, rest)) => {
                out.extend(byte);
                out.extend(rest.as_bytes());
            }
            None => {
                out.push(b'=');
                out.extend(part.as_bytes());
            }
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// What an equals sign before `text` stands for: a byte, or nothing at a line's end; and what follows.
fn code(text: &str) -> Option<(Option<u8>, &str)> {
    if let Some(rest) = text.strip_prefix('\n').or_else(|| text.strip_prefix("\r\n")) {
        return Some((None, rest));
    }
    let (digits, rest) = text.split_at_checked(2)?;
    let sound = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte));
    let byte = u8::from_str_radix(digits, 16).ok().filter(|_| sound)?;
    Some((Some(byte), rest))
}

/// A text in which a page's typesetter has taken the `x` of `0x` for a multiplication, set right; `None` for any other.
pub fn with_plain_signs(text: &str) -> Option<String> {
    (!text.is_ascii() && text.contains("0×")).then(|| text.replace("0×", "0x"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_it_was_shown() {
        let page = "<pre class=\"log\"><code>[    1.0] IP: [&lt;ffffffff810aca65&gt;] lab_get+0x5/0x50<br/>[    1.0] &lt;TASK&gt;</code></pre>";
        assert_eq!(
            without_tags(page).unwrap(),
            "[    1.0] IP: [<ffffffff810aca65>] lab_get+0x5/0x50\n[    1.0] <TASK>\n"
        );
        let quoted = "<div>&gt; [&nbsp;&nbsp; 0.1] PGD 0</div>\n<div>&gt; <b>Oops</b> &amp; <0f> <dd> <IRQ> <a</div>";
        assert_eq!(
            without_tags(quoted).unwrap(),
            "> [   0.1] PGD 0\n\n> Oops & <0f> <dd> <IRQ> <a\n"
        );
        assert_eq!(without_tags("<TASK> (&dev->lock){+.+.}, at: lab_get <br>"), None);
    }

    #[test]
    fn a_mails_soft_breaks_are_joined() {
        let mail = "[   23.133876] Unable to handle kernel pointer dereference in virtu=\nal kernel address space=20\nt=3D5 =C3=A4\n";
        assert_eq!(
            without_soft_breaks(mail).unwrap(),
            "[   23.133876] Unable to handle kernel pointer dereference in virtual kernel address space \nt=5 ä\n"
        );
        let separators =
            "==================================================================\n[  1.0] (t=5252 jiffies g=12)\n";
        assert_eq!(without_soft_breaks(separators), None);
        let wrapped = "[    1.000000] lab: a line that ends by chance in a sign of equality, value=\n[    2.000000] t=52 g=12 q=3 c=4\n";
        assert_eq!(without_soft_breaks(wrapped), None);
    }

    #[test]
    fn a_typesetters_multiplication_is_a_hex_number() {
        assert_eq!(with_plain_signs("lab_get+0×5/0×50").unwrap(), "lab_get+0x5/0x50");
        assert_eq!(with_plain_signs("lab_get+0x5/0x50 ä"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(&lt;|&gt;|<br>|</div|<|&|=\n|=3D|=|[a-z]{0,70}|é|\n){0,60}") {
            without_tags(&text);
            without_soft_breaks(&text);
        }
    }
}
