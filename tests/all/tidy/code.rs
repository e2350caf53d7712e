//! Rust as words and paths, without comments and texts.

/// The text without what is in comments, strings and characters; lines stay where they are.
pub fn code(text: &str) -> String {
    let all: Vec<char> = text.chars().collect();
    let (mut out, mut i) = (String::new(), 0);
    let follows = |i: usize, what: &str| what.chars().enumerate().all(|(j, c)| all.get(i + j) == Some(&c));
    while i < all.len() {
        let begin = i;
        let hashes = all[i..].iter().skip(1).take_while(|c| **c == '#').count();
        let word = i > 0 && (all[i - 1].is_alphanumeric() || all[i - 1] == '_');
        if follows(i, "//") {
            i += all[i..].iter().take_while(|c| **c != '\n').count();
        } else if follows(i, "/*") {
            i += 2;
            while i < all.len() && !follows(i, "*/") {
                i += 1;
            }
            i += 2;
        } else if all[i] == 'r' && !word && all.get(i + 1 + hashes) == Some(&'"') {
            let end = format!("\"{}", "#".repeat(hashes));
            i += 2 + hashes;
            while i < all.len() && !follows(i, &end) {
                i += 1;
            }
            i += end.len();
        } else if all[i] == '"' {
            i += 1;
            while i < all.len() && all[i] != '"' {
                i += if all[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if all[i] == '\'' && (follows(i + 1, "\\") || all.get(i + 2) == Some(&'\'')) {
            i += 3;
            if all[begin + 1] == '\\' {
                i += 1 + all[i.min(all.len())..].iter().take_while(|c| **c != '\'').count();
            }
        } else {
            out.push(all[i]);
            i += 1;
            continue;
        }
        let skipped = &all[begin..i.min(all.len())];
        out.push(' ');
        out.extend(skipped.iter().filter(|c| **c == '\n'));
    }
    out
}

#[test]
fn code_is_told_from_text() {
    let text = "a // unsafe\n\"un\\\"safe\" b /* unsafe\n*/ r#\"unsafe \" \"# 'x' '\\'' &'a c";
    assert_eq!(code(text).split_whitespace().collect::<Vec<_>>(), ["a", "b", "&'a", "c"]);
    assert_eq!(code(text).lines().count(), text.lines().count());
}

/// Words and single signs of code.
pub fn tokens(code: &str) -> Vec<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut out, mut rest) = (Vec::new(), code.trim_start());
    while let Some(first) = rest.chars().next() {
        let end = if word(first) { rest.find(|c| !word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        out.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    out
}

/// Every path of the code, `use a::{b, c::d}` as a::b and a::c::d.
pub fn paths(code: &str) -> Vec<String> {
    let tokens = tokens(code);
    // Prefixes of the open braces of a `use`, the path so far, whether a `::` came last.
    let (mut open, mut path, mut joined) = (Vec::<String>::new(), String::new(), false);
    let (mut out, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        let token = tokens[i];
        let name = token.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if token == ":" && tokens.get(i + 1) == Some(&":") {
            (joined, i) = (true, i + 2);
            continue;
        } else if name && joined && !path.is_empty() {
            path = format!("{path}::{token}");
        } else if token == "{" && joined {
            open.push(std::mem::take(&mut path));
            path.clone_from(&open[open.len() - 1]);
            (joined, i) = (true, i + 1);
            continue;
        } else {
            out.push(std::mem::take(&mut path));
            let inside = open.last().cloned();
            match token {
                "," if inside.is_some() => {
                    path = inside.unwrap_or_default();
                    (joined, i) = (true, i + 1);
                    continue;
                }
                "}" if inside.is_some() => drop(open.pop()),
                _ if name => token.clone_into(&mut path),
                _ => {}
            }
        }
        (joined, i) = (false, i + 1);
    }
    out.push(path);
    out.retain(|p| !p.is_empty());
    out
}

#[test]
fn paths_are_read() {
    let found = paths("use a::{b, c::{d, e as f}, g}; fn h() { std::fs::read(x::y, z) }");
    for wanted in ["a::b", "a::c::d", "a::c::e", "a::g", "std::fs::read", "x::y", "z"] {
        assert!(found.iter().any(|p| p == wanted), "{wanted} in {found:?}");
    }
}
