//! Plain text in columns, and numbers short enough for them.

/// Rows of cells, each column as wide as its longest cell; the last column runs on.
pub fn columns<S: AsRef<str>>(rows: &[Vec<S>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length = |cell: &S| cell.as_ref().chars().count();
    // The last cell of a row does not widen its column: it may be a sentence.
    let widest = |k: usize| rows.iter().filter(|row| k + 1 < row.len()).map(|row| length(&row[k])).max();
    let widths: Vec<usize> = (0..count).map(|k| widest(k).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{:<width$}  ", cell.as_ref()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Bytes for people.
pub fn bytes(n: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = n as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && size < 100.0 && size.fract() > 0.05);
    format!("{size:.decimals$} {}", units[unit])
}

/// A number with about four digits that count.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e6).contains(&size) {
        let decimals = (3.0 - size.max(1e-3).log10().floor()).clamp(0.0, 6.0) as usize;
        let text = format!("{value:.decimals$}");
        return match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
            false => text,
        };
    }
    format!("{value:.3e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_sentences_do_not_widen_them() {
        let rows = vec![
            vec!["a", "bb", "c"],
            vec!["long", "x", "a long sentence"],
            vec!["b", "a very long sentence"],
        ];
        assert_eq!(columns(&rows), "a     bb  c\nlong  x   a long sentence\nb     a very long sentence\n");
        assert_eq!(columns::<&str>(&[]), "");
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-3.21987, "-3.22"),
            (40213.4, "40213"),
            (0.0125, "0.0125"),
            (1.5e9, "1.500e9"),
            (f64::NAN, "NaN"),
            (-1e-7, "-1.000e-7"),
            (100.0, "100"),
        ] {
            assert_eq!(short(value), text);
        }
        for (n, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 20, "1 MiB"), (u64::MAX, "16777216 TiB")]
        {
            assert_eq!(bytes(n), text);
        }
    }
}
