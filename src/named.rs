//! Enums that are spelt by a table.

/// `FromStr` and `Display` of an enum from rows that begin with (name, value): what is displayed can be parsed again.
macro_rules! named {
    ($kind:ty, $what:literal, $rows:expr) => {
        impl std::str::FromStr for $kind {
            type Err = $crate::error::Error;

            fn from_str(text: &str) -> $crate::error::Result<Self> {
                match $rows.iter().find(|row| row.0 == text.trim()) {
                    Some(row) => Ok(row.1),
                    None => {
                        let names: Vec<&str> = $rows.iter().map(|row| row.0).collect();
                        let wanted = format!("one of {}", names.join(", "));
                        Err($crate::error::Error::input($what, format!("{text:?}"), wanted))
                    }
                }
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match $rows.iter().find(|row| row.1 == *self) {
                    Some(row) => f.write_str(row.0),
                    None => write!(f, "{self:?}"),
                }
            }
        }
    };
}
