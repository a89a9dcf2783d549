//! What the code says, without its comments and literals.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

impl Token<'_> {
    pub(super) fn is_identifier(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// Identifiers, numbers, `::` and single signs. Comments, literals and lifetimes are left out.
pub(super) fn read(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let ignored = ignored_length(rest);
        let length = if ignored > 0 { ignored } else { token_length(rest, first) };
        let (lexeme, tail) = rest.split_at(length);
        if ignored == 0 {
            found.push(Token { text: lexeme, line });
        }
        line += lexeme.matches('\n').count();
        rest = tail;
    }
    found
}

fn token_length(rest: &str, first: char) -> usize {
    match first {
        ':' if rest.starts_with("::") => 2,
        _ => word_length(rest).max(first.len_utf8()),
    }
}

fn word_length(rest: &str) -> usize {
    rest.find(|sign: char| !sign.is_alphanumeric() && sign != '_').unwrap_or(rest.len())
}

/// How much of the beginning is white space, a comment, a literal or a lifetime.
fn ignored_length(rest: &str) -> usize {
    let to_end_of_line = || rest.find('\n').unwrap_or(rest.len());
    match rest.as_bytes() {
        [b' ' | b'\t' | b'\r' | b'\n', ..] => 1,
        [b'/', b'/', ..] => to_end_of_line(),
        [b'/', b'*', ..] => block_comment_length(rest),
        [b'\'', ..] => quote_length(rest),
        _ => string_length(rest),
    }
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// A character (`'x'`, `'\''`) or a lifetime (`'x`).
fn quote_length(rest: &str) -> usize {
    let mut inside = rest.chars().skip(1);
    match (inside.next(), inside.next()) {
        (Some('\\'), _) => escaped_length(rest, '\''),
        (Some(character), Some('\'')) => 2 + character.len_utf8(),
        _ => 1 + rest.get(1..).map_or(0, word_length),
    }
}

/// A string of any kind (`""`, `b""`, `c""`, `r#""#`), or 0.
fn string_length(rest: &str) -> usize {
    let body = rest.trim_start_matches(['b', 'c', 'r']);
    let prefix = rest.len() - body.len();
    if prefix > 2
        || !rest.get(..prefix).is_some_and(|prefix| ["", "b", "c", "r", "br", "cr"].contains(&prefix))
    {
        return 0;
    }
    let quoted = body.trim_start_matches('#');
    let hashes = body.len() - quoted.len();
    if !quoted.starts_with('"') {
        return 0;
    }
    if rest.get(..prefix).is_some_and(|prefix| prefix.ends_with('r')) {
        let end = format!("\"{}", "#".repeat(hashes));
        let length =
            quoted.get(1..).and_then(|inside| inside.find(&end)).map(|inside| 1 + inside + end.len());
        return prefix + hashes + length.unwrap_or(quoted.len());
    }
    if hashes == 0 { prefix + escaped_length(quoted, '"') } else { 0 }
}

fn escaped_length(rest: &str, end: char) -> usize {
    let mut signs = rest.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => drop(signs.next()),
            _ if sign == end => return at + sign.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// `#[...]` or `#![...]`.
pub(super) struct Attribute<'t, 'a> {
    pub(super) line: usize,
    inside: &'t [Token<'a>],
    after: &'t [Token<'a>],
}

impl Attribute<'_, '_> {
    pub(super) fn names(&self, name: &str) -> bool {
        self.inside.first().is_some_and(|token| token.text == name)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.inside.iter().any(|token| token.text == name)
    }

    /// Whether it calls `name(...)` anywhere, as in `cfg_attr(test, name(...))`.
    pub(super) fn calls(&self, name: &str) -> bool {
        self.inside
            .windows(2)
            .any(|pair| matches!(pair, [call, open] if call.text == name && open.text == "("))
    }

    /// Whether the item that it stands on is a module with its code, not one in another file.
    pub(super) fn opens_module(&self) -> bool {
        let opening = self.after.iter().position(|token| ["{", ";"].contains(&token.text));
        let head = opening.and_then(|end| self.after.get(..=end)).unwrap_or_default();
        matches!(head, [.., keyword, _, open] if keyword.text == "mod" && open.text == "{")
    }
}

pub(super) fn attributes<'t, 'a>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = Attribute<'t, 'a>> {
    tokens.iter().enumerate().filter(|(_, token)| token.text == "#").filter_map(|(at, hash)| {
        let rest = tokens.get(at + 1..)?;
        let rest = rest.split_first().filter(|(bang, _)| bang.text == "!").map_or(rest, |(_, rest)| rest);
        let (_, rest) = rest.split_first().filter(|(open, _)| open.text == "[")?;
        let mut depth = 1_usize;
        let end = rest.iter().position(|token| {
            match token.text {
                "[" => depth += 1,
                "]" => depth -= 1,
                _ => {}
            }
            depth == 0
        })?;
        let (inside, after) = rest.split_at_checked(end)?;
        Some(Attribute { line: hash.line, inside, after })
    })
}

#[test]
fn comments_literals_and_lifetimes_are_no_tokens() {
    let cases = [
        ("a // b\nc", "a c"),
        ("a /* b /* c */ d */ e", "a e"),
        (r#"a "b \" c" d"#, "a d"),
        (r##"a r#"b " c"# d br"e" f"##, "a d f"),
        (r#"b"x" c"y" z"#, "z"),
        (r"a '\'' b 'c' d 'e: f", "a b d : f"),
        ("fn f<'a>(x: &'static str) {}", "fn f < > ( x : & str ) { }"),
        ("std::env :: var", "std :: env :: var"),
        ("r#type 1.0 é", "r # type 1 . 0 é"),
        ("a /* never closed", "a"),
        ("a \"never closed", "a"),
    ];
    for (text, expected) in cases {
        let found: Vec<&str> = read(text).iter().map(|token| token.text).collect();
        assert_eq!(found.join(" "), expected, "{text}");
    }
}

#[test]
fn a_token_knows_its_line_after_comments_and_strings_of_several() {
    let tokens = read("/* 1\n2 */\n\"3\n4\" a\nb");
    assert_eq!(tokens, [Token { text: "a", line: 4 }, Token { text: "b", line: 5 }]);
}
