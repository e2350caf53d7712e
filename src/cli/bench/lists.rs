//! Flags that take a list with commas, and counts that have a range.

use crate::cli::names::whole;
use crate::error::{Error, Result};

/// The values of a list, each by `parse`, a value parser of the other subcommands: its message is `wanted ...`.
pub fn list<T>(
    flag: &str,
    text: &str,
    parse: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<Vec<T>> {
    let value = |item: &str| {
        parse(item.trim()).map_err(|message| {
            let found = if item == text { format!("{item:?}") } else { format!("{item:?} in {text:?}") };
            let wanted = message.strip_prefix("wanted ").unwrap_or(&message);
            Error::input(flag, found, format!("{wanted}; commas between several"))
        })
    };
    text.split(',').map(value).collect()
}

/// A list of whole numbers from 1 to `most`.
pub fn counts(flag: &str, text: &str, most: usize) -> Result<Vec<usize>> {
    list(flag, text, |item| {
        let count = whole::<usize>(item).ok().filter(|count| (1..=most).contains(count));
        count.ok_or_else(|| format!("wanted a whole number, 1 to {most}"))
    })
}

/// Refuses a count that is not 1 to `most`.
pub fn within(flag: &str, count: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    Err(Error::input(flag, count, format!("a whole number, 1 to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::names::named;
    use crate::options::{Policy, Rule};

    #[test]
    fn lists_come_apart_at_commas() {
        assert_eq!(counts("--dim", "2, 64", 99).unwrap(), [2, 64]);
        assert_eq!(counts("--dim", "99", 99).unwrap(), [99]);
        assert_eq!(list("--rule", "left,exact", named::<Rule>).unwrap(), [Rule::Left, Rule::Exact]);
        let policies = list("--resample", "window:1:2,never", named::<Policy>).unwrap();
        assert_eq!(policies, [Policy::Window(1.0, 2.0), Policy::Never]);
    }

    #[test]
    fn a_bad_list_names_the_flag_what_was_found_and_what_was_wanted() {
        let numbers = "wanted a whole number, 1 to 9; commas between several";
        for (text, found) in [
            ("", "\"\""),
            ("0", "\"0\""),
            ("1,,2", "\"\" in \"1,,2\""),
            ("1,10", "\"10\" in \"1,10\""),
            ("-1", "\"-1\""),
            ("1.5", "\"1.5\""),
            ("1;2", "\"1;2\""),
            ("99999999999999999999", "\"99999999999999999999\""),
        ] {
            let error = counts("--dim", text, 9).unwrap_err();
            assert_eq!(error.to_string(), format!("--dim: found {found}, {numbers}"));
            assert_eq!(error.exit_code(), 2);
        }
        let error = list("--rule", "left,mid", named::<Rule>).unwrap_err().to_string();
        let wanted = "wanted one of left, right, trap, exact; commas between several";
        assert_eq!(error, format!("--rule: found \"mid\" in \"left,mid\", {wanted}"));
        let error = within("--repeats", 0, 9).unwrap_err().to_string();
        assert_eq!(error, "--repeats: found 0, wanted a whole number, 1 to 9");
        assert!(within("--repeats", 9, 9).is_ok() && within("--repeats", 10, 9).is_err());
    }
}
